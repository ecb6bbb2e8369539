// The stream of one answer: each part of it with the time at which it came.
import { Refused, events } from "./api";
import type { EndEvent } from "./wire";

export interface Reader {
  output(output: Output, at: number): void;
  end(end: EndEvent, at: number): void;
  /** The stream is not there, or not any more. */
  gone(): void;
}

/** What one event adds to an answer. */
export interface Output {
  /** As the model wrote it. */
  raw: string;
  text: string;
  reasoning: string;
  calls: CallPart[];
}

export interface CallPart {
  index: number;
  name?: string;
  arguments: string;
}

interface Token {
  t: string;
  output?: { text?: string; reasoning?: string; tool_call?: CallPart }[];
}

/** Without `output`, all of the raw text is text of the answer. */
function outputOf({ t, output }: Token): Output {
  if (output === undefined) return { raw: t, text: t, reasoning: "", calls: [] };
  const joined = (field: "text" | "reasoning") => output.map((part) => part[field] ?? "").join("");
  return { raw: t, text: joined("text"), reasoning: joined("reasoning"), calls: output.flatMap((part) => part.tool_call ?? []) };
}

/** Reads a task from its first token on. The browser takes a broken stream up again where it was. */
export function follow(task: string, reader: Reader): () => void {
  const source = new EventSource(`/v1/tasks/${task}/stream`);
  const data = <T>(event: Event) => JSON.parse((event as MessageEvent<string>).data) as T;
  source.addEventListener("token", (event) => reader.output(outputOf(data<Token>(event)), performance.now()));
  source.addEventListener("end", (event) => {
    source.close();
    reader.end(data(event), performance.now());
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) reader.gone();
  });
  return () => source.close();
}

interface Chunk {
  id: string;
  choices: { delta?: { content?: string | null; reasoning_content?: string | null; tool_calls?: { index: number; function?: { name?: string; arguments?: string } }[] }; finish_reason?: string | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  error?: { message: string; code?: string | null };
}

/** Asks for a chat completion and reads it. `named` gets its task's id with the first chunk. The request is canceled when `signal` aborts. */
export async function complete(body: string, reader: Reader, named: (task: string) => void, signal: AbortSignal): Promise<void> {
  let finish: EndEvent["finish_reason"] = "stop";
  let usage: Chunk["usage"];
  let first: number | undefined;
  try {
    for await (const data of events("/v1/chat/completions", body, signal)) {
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) throw new Refused(0, chunk.error.message, chunk.error.code ?? null);
      named(chunk.id.replace(/^chatcmpl-/, ""));
      usage = chunk.usage ?? usage;
      const choice = chunk.choices[0];
      if (choice?.finish_reason) finish = choice.finish_reason === "length" ? "length" : "stop";
      const output = outputOfDelta(choice?.delta);
      if (output) reader.output(output, (first ??= performance.now(), performance.now()));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    finish = "canceled";
  }
  const at = performance.now();
  reader.end({ tokens_out: usage?.completion_tokens ?? 0, tokens_in: usage?.prompt_tokens ?? 0, decode_ms: Math.round(at - (first ?? at)), queue_ms: 0, finish_reason: finish }, at);
}

function outputOfDelta(delta: Chunk["choices"][number]["delta"]): Output | null {
  const text = delta?.content ?? "";
  const reasoning = delta?.reasoning_content ?? "";
  const calls = (delta?.tool_calls ?? []).map((call) => ({ index: call.index, ...(call.function?.name === undefined ? {} : { name: call.function.name }), arguments: call.function?.arguments ?? "" }));
  return text === "" && reasoning === "" && calls.length === 0 ? null : { raw: text, text, reasoning, calls };
}
