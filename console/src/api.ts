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

/** One request. Statuses of `expected` are answers, not failures. */
export async function ask<T>(
  method: string,
  path: string,
  body?: unknown,
  expected: number[] = [],
  signal?: AbortSignal,
): Promise<{ status: number; body: T }> {
  const init: RequestInit = { method, headers: { ...MARK }, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...MARK, "Content-Type": "application/json" };
  }
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    if (signal?.aborted) throw new Refused(0, "the daemon did not answer in time");
    throw new Refused(0, "the daemon cannot be reached: is `orchestratord` running?");
  }
  const text = await response.text();
  let json: unknown;
  try {
    json = text === "" ? undefined : JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (response.ok || expected.includes(response.status)) return { status: response.status, body: json as T };
  const envelope = json as Partial<ErrorEnvelope> | undefined;
  throw new Refused(
    response.status,
    envelope?.message ?? `the daemon answered ${response.status}`,
    envelope?.code ?? null,
    envelope?.retry_after_ms ?? null,
  );
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
