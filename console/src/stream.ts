// One task's stream: its three events, each with the time at which it came.
import type { EndEvent } from "./wire";

export interface Hearer {
  started(standing: { queue_position: number; predicted_start_ms: number }): void;
  token(output: Output, at: number): void;
  end(end: EndEvent, at: number): void;
  /** The stream is not there, or not any more. */
  gone(): void;
}

/** What a token adds to the answer and to the reasoning before it. */
export interface Output {
  text: string;
  reasoning: string;
}

interface Token {
  t: string;
  output?: { text?: string; reasoning?: string }[];
}

/** Without `output`, all of the raw text is text of the answer. */
function outputOf({ t, output }: Token): Output {
  if (output === undefined) return { text: t, reasoning: "" };
  const joined = (field: "text" | "reasoning") => output.map((part) => part[field] ?? "").join("");
  return { text: joined("text"), reasoning: joined("reasoning") };
}

/** Reads a task from its first token on. The browser takes a broken stream up again where it was. */
export function follow(task: string, hearer: Hearer): () => void {
  const source = new EventSource(`/v1/tasks/${task}/stream`);
  const data = <T>(event: Event) => JSON.parse((event as MessageEvent<string>).data) as T;
  source.addEventListener("started", (event) => hearer.started(data(event)));
  source.addEventListener("token", (event) => hearer.token(outputOf(data<Token>(event)), performance.now()));
  source.addEventListener("end", (event) => {
    source.close();
    hearer.end(data(event), performance.now());
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) hearer.gone();
  });
  return () => source.close();
}
