// Requests to the daemon. The cookie of the log-in goes with each of them; what changes something carries the
// console's mark, without which the daemon takes no cookie.
import type { ErrorEnvelope } from "./wire";

const MARK = { "X-Llama-Orch-Console": "1" };

/** What the daemon, or the way to it, answered instead. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

/** One request; a body that is text is sent as it is. Statuses of `expected` are answers, not failures. */
export async function ask<T>(
  method: string,
  path: string,
  body?: unknown,
  expected: number[] = [],
  signal?: AbortSignal,
): Promise<{ status: number; body: T }> {
  const init: RequestInit = { method, headers: { ...MARK }, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    init.body = typeof body === "string" ? body : JSON.stringify(body);
    init.headers = { ...MARK, "Content-Type": "application/json" };
  }
  if (signal) init.signal = signal;
  const response = await reach(path, init);
  const text = await response.text();
  let json: unknown;
  try {
    json = text === "" ? undefined : JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (response.ok || expected.includes(response.status)) return { status: response.status, body: json as T };
  throw refusal(response.status, json);
}

async function reach(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch {
    if (init.signal?.aborted) throw new Refused(0, "the daemon did not answer in time");
    throw new Refused(0, "the daemon cannot be reached: is `orchestratord` running?");
  }
}

/** An error as OrchQueue writes it, or as the OpenAI endpoints do. */
function refusal(status: number, json: unknown): Refused {
  const body = json as Partial<ErrorEnvelope> & { error?: { message?: string; code?: string | null } };
  const message = body?.message ?? body?.error?.message ?? `the daemon answered ${status}`;
  return new Refused(status, message, body?.code ?? body?.error?.code ?? null, body?.retry_after_ms ?? null);
}

/** The `data` of each server-sent event that answers a POST. */
export async function* events(path: string, body: string, signal: AbortSignal): AsyncGenerator<string> {
  const headers = { ...MARK, "Content-Type": "application/json" };
  const response = await reach(path, { method: "POST", body, headers, credentials: "same-origin", cache: "no-store", signal });
  if (!response.ok || !response.body) throw refusal(response.status, await response.json().catch(() => undefined));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

export const logIn = (token: string) => ask<void>("POST", "/console/session", { token });
export const logOut = () => ask<void>("DELETE", "/console/session");
export const cancelTask = (id: string) => ask<void>("POST", `/v1/tasks/${id}/cancel`);

/** A version 4 UUID; `crypto.randomUUID` is missing where the page came over plain HTTP from another machine. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
