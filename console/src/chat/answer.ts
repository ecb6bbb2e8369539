// Answers: asked for, followed, stopped, and taken up again where the page was closed meanwhile.
//
// Rules: ORCH-CON-5, ORCH-CON-8
import { Refused, ask, cancelTask } from "../api";
import { failed, look, signedOut, storeNow } from "../store";
import { type Output, type Reader, complete, follow } from "../stream";
import type { EndEvent, Task } from "../wire";
import { setStanding, touch } from "./chats";
import { chatCompletion, chatTask, hasImages, rawTask } from "./request";
import { type Answer, type Chat, type Turn, isOpen } from "./types";

const REDRAW_MS = 50;
const STANDING_MS = 1000;
/** Times of tokens that are kept of one answer. */
const TIMES = 8192;
const GONE = "the daemon does not have this answer any more; ask again";

/** What stops an answer that is being read here. */
const readers = new Map<Answer, () => void>();
/** Answers that this page has asked for. */
const begun = new WeakSet<Answer>();
/** Answers of chat completions, which end with their connection. */
const completions = new WeakSet<Answer>();
/** Answers that were read again from their start: when their tokens came is not known. */
const replayed = new WeakSet<Answer>();

function begin(pool: string): Answer {
  const written: Answer = { text: "", reasoning: "", calls: [], pool, task: null, asked_at: Date.now(), timings: { asked: performance.now(), tokens: [] }, end: null, problem: null };
  begun.add(written);
  return written;
}

/** Asks for one more answer of the last turn. */
export async function answer(chat: Chat, turn: Turn): Promise<void> {
  const written = begin(poolOf(chat));
  turn.answers.push(written);
  turn.chosen = turn.answers.length - 1;
  setStanding(chat.id, { at: "sending" });
  await touch(chat, true);
  const turns = chat.turns.slice(0, chat.turns.indexOf(turn) + 1);
  if (hasImages(turns)) await seeing(chat, turns, written);
  else await submit(chat, written, chatTask(chat, turns));
}

/** Has the model continue the text of a raw conversation. */
export async function continueText(chat: Chat): Promise<void> {
  if (chat.last) chat.text = chat.text.slice(0, chat.last.from) + chat.last.answer.text;
  const written = begin(poolOf(chat));
  chat.last = { from: chat.text.length, answer: written };
  setStanding(chat.id, { at: "sending" });
  await touch(chat, true);
  await submit(chat, written, rawTask(chat, chat.text));
}

/** The pool that a conversation goes to, as far as that is known here. */
function poolOf(chat: Chat): string {
  return chat.settings.pool || (storeNow().health?.pools?.find((pool) => pool.model_state === "Active")?.id ?? "");
}

async function submit(chat: Chat, written: Answer, task: string): Promise<void> {
  try {
    const { body } = await ask<{ task_id: string; queue_position: number; predicted_start_ms: number }>("POST", "/v1/tasks", task);
    written.task = body.task_id;
    setStanding(chat.id, { at: "waiting", ahead: body.queue_position, start_ms: body.predicted_start_ms, p90_ms: undefined });
    void touch(chat, true);
    read(chat, written);
  } catch (error) {
    stopped(chat, written, error);
  }
}

async function seeing(chat: Chat, turns: Turn[], written: Answer): Promise<void> {
  const abort = new AbortController();
  completions.add(written);
  readers.set(written, () => abort.abort());
  const stop = standing(chat, () => storeNow().list?.tasks.find((task) => task.session_id === chat.session && task.state !== "ended"));
  try {
    await complete(chatCompletion(chat, turns, written.pool), reader(chat, written, stop), (task) => (written.task = task), abort.signal);
  } catch (error) {
    stop();
    stopped(chat, written, error);
  }
}

/** Reads the task of an answer from its first token on. */
function read(chat: Chat, written: Answer): void {
  const task = written.task!;
  const stop = standing(chat, async () => (await ask<{ task: Task }>("GET", `/v1/tasks/${task}`)).body.task);
  const leave = follow(task, reader(chat, written, stop));
  readers.set(written, () => {
    leave();
    stop();
  });
}

function reader(chat: Chat, written: Answer, stopStanding: () => void): Reader {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const redraw = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      void touch(chat, false);
    }, REDRAW_MS);
  };
  const over = () => {
    clearTimeout(timer);
    stopStanding();
    readers.delete(written);
    setStanding(chat.id, null);
    void touch(chat, true);
    void look();
  };
  return {
    output(output, at) {
      if (written.text === "" && written.reasoning === "" && written.calls.length === 0) {
        stopStanding();
        setStanding(chat.id, null);
      }
      if (written.timings.tokens.length < TIMES && !replayed.has(written)) written.timings.tokens.push(at);
      add(written, output, chat.kind === "raw");
      redraw();
    },
    end(end: EndEvent) {
      const { asked, tokens } = written.timings;
      // Times of this page mean nothing to a later one.
      written.timings = { asked: 0, tokens: tokens.map((at) => Math.round((at - asked) * 10) / 10) };
      written.end = end;
      over();
    },
    gone() {
      written.problem = GONE;
      over();
    },
  };
}

function add(written: Answer, output: Output, raw: boolean): void {
  written.text += raw ? output.raw : output.text;
  written.reasoning += raw ? "" : output.reasoning;
  for (const part of output.calls) {
    const call = (written.calls[part.index] ??= { name: "", arguments: "" });
    call.name += part.name ?? "";
    call.arguments += part.arguments;
  }
}

/** Says once a second where a request stands, until it is stopped. */
function standing(chat: Chat, find: () => Promise<Task | undefined> | Task | undefined): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const tick = async () => {
    const task = await Promise.resolve(find()).catch(() => undefined);
    if (over) return;
    if (task?.state === "waiting") {
      setStanding(chat.id, { at: "waiting", ahead: task.queue_position ?? 0, start_ms: task.predicted_start_ms ?? 0, p90_ms: task.predicted_start_p90_ms });
    } else if (task?.state === "running") {
      setStanding(chat.id, { at: "reading", tokens: task.tokens_in, read: task.tokens_read, since_ms: task.age_ms - (task.started_ms ?? task.age_ms) });
    }
    timer = setTimeout(tick, STANDING_MS);
  };
  timer = setTimeout(tick, STANDING_MS / 4);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

function stopped(chat: Chat, written: Answer, error: unknown): void {
  readers.delete(written);
  setStanding(chat.id, null);
  if (error instanceof Refused && error.status === 401) signedOut();
  written.problem = error instanceof Error ? error.message : String(error);
  void touch(chat, true);
}

/** Ends the answer that is being written; what it has said so far stays. */
export function stop(chat: Chat): void {
  const written = [chat.last?.answer, ...chat.turns.flatMap((turn) => turn.answers)].find(isOpen);
  if (!written) return;
  if (written.task && !completions.has(written)) void cancelTask(written.task).catch(failed);
  else readers.get(written)?.();
}

/** Takes up the answers that were being written when the page was closed: their tasks went on without it. */
export function takeUp(chat: Chat): void {
  for (const written of [chat.last?.answer, ...chat.turns.flatMap((turn) => turn.answers)]) {
    if (!written || !isOpen(written) || begun.has(written)) continue;
    begun.add(written);
    if (written.task === null) {
      // Whether it was sent at all is not known; a chat completion was canceled with the page.
      written.problem = "the page was closed before the answer came; ask again";
      void touch(chat, true);
      continue;
    }
    replayed.add(written);
    Object.assign(written, { text: "", reasoning: "", calls: [], timings: { asked: performance.now(), tokens: [] } });
    read(chat, written);
  }
}

/** Reads nothing more of a conversation, as before it is deleted. Its task is canceled. */
export function abandon(chat: Chat): void {
  stop(chat);
  for (const written of [chat.last?.answer, ...chat.turns.flatMap((turn) => turn.answers)]) {
    if (written) readers.get(written)?.();
    if (written) readers.delete(written);
  }
  setStanding(chat.id, null);
}
