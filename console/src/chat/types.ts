// A conversation as it is kept in the browser.
import type { Timings } from "../chart";
import type { EndEvent, Priority } from "../wire";

export interface Settings {
  /** The pool's id; empty for the first pool that serves the request. */
  pool: string;
  priority: Priority;
  system: string;
  max_tokens: string;
  temperature: string;
  top_p: string;
  top_k: string;
  min_p: string;
  repeat_penalty: string;
  seed: string;
  /** One stop text a line. */
  stop: string;
  json_schema: string;
}

/** An empty field leaves the value to the daemon. */
export const DEFAULTS: Settings = {
  pool: "",
  priority: "interactive",
  system: "",
  max_tokens: "",
  temperature: "",
  top_p: "",
  top_k: "",
  min_p: "",
  repeat_penalty: "",
  seed: "",
  stop: "",
  json_schema: "",
};

export interface ToolCall {
  name: string;
  /** JSON, as far as it has arrived. */
  arguments: string;
}

export interface Answer {
  text: string;
  reasoning: string;
  calls: ToolCall[];
  /** The pool that was asked. */
  pool: string;
  /** Its task, once the daemon has one. A page that is opened again reads its stream from the start. */
  task: string | null;
  /** Milliseconds since 1970. */
  asked_at: number;
  timings: Timings;
  end: EndEvent | null;
  /** Why there is no answer, or no more of it. */
  problem: string | null;
}

export interface Turn {
  id: string;
  question: string;
  /** `data:` URLs. */
  images: string[];
  answers: Answer[];
  /** Which of the answers is shown, and sent along with later questions. */
  chosen: number;
}

/** What a base model added to a text. */
export interface Continuation {
  /** Where it begins in the text. */
  from: number;
  answer: Answer;
}

export interface Chat {
  id: string;
  /** `raw` is a text that the model continues, without a chat template. */
  kind: "chat" | "raw";
  title: string;
  /** Whether a person has chosen the title. */
  named: boolean;
  created: number;
  updated: number;
  /** Keeps its tasks on the replica that has its KV cache. */
  session: string;
  settings: Settings;
  turns: Turn[];
  /** The text of a `raw` one, without the last continuation. */
  text: string;
  last: Continuation | null;
}

/** What the list shows of a conversation. */
export type Head = Pick<Chat, "id" | "kind" | "title" | "updated">;

export const headOf = ({ id, kind, title, updated }: Chat): Head => ({ id, kind, title, updated });

/** Where a request stands before its first token. */
export type Standing =
  | { at: "sending" }
  | { at: "waiting"; ahead: number; start_ms: number; p90_ms: number | undefined }
  | { at: "reading"; tokens: number; read: number | undefined; since_ms: number };

export const chosenOf = (turn: Turn): Answer | undefined => turn.answers[turn.chosen];

export const isOpen = (answer: Answer | undefined): boolean => answer !== undefined && answer.end === null && answer.problem === null;
