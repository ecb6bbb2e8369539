// Where the daemon is, and what all libraries ask it.

export const MODEL = "starter";
export const URL = process.env.LLAMA_ORCH_URL;
export const TOKEN = process.env.LLAMA_ORCH_TOKEN;

/** The most tokens of an answer whose sense does not matter. */
export const SHORT = 24;

/** The starter model's ends of a turn and of a text, which are banned so that an answer goes on. */
export const ENDS = { 0: -100, 2: -100 };

/** Slots in use and interactive tasks that wait. */
async function busy() {
  const answer = await fetch(`${URL}/health`, { headers: { Authorization: `Bearer ${TOKEN}` } });
  const [pool] = (await answer.json()).pools;
  return [pool.replicas.reduce((sum, replica) => sum + replica.slots_busy, 0), pool.queue.interactive.depth];
}

/** Waits until so many slots are in use and so many tasks wait. */
export async function until(slots, waiting) {
  const begun = Date.now();
  for (;;) {
    const [running, depth] = await busy();
    if (running === slots && depth === waiting) return;
    if (Date.now() - begun > 120_000) throw new Error(`the daemon is at ${running}, ${depth}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
