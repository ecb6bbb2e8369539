// What the page knows: who is logged in, the last look at the daemon, the history of its devices, changes of
// models that are under way. Asked for once a second, and not while nobody looks.
//
// Rules: ORCH-CON-6
import { useEffect, useState } from "preact/hooks";
import { Refused, ask } from "./api";
import type { Health, Rollback, Task, TaskList } from "./wire";

const POLL_MS = 1000;
const ANSWER_MS = 10_000;
/** Seconds of history that are kept of each device. */
export const HISTORY = 120;
const TASKS_SHOWN = 60;
const NOTICES = 4;

export interface Sample {
  memory: number;
  load: number | null;
}

export interface Change {
  pool: string;
  to: string;
  since: number;
  outcome: null | { kind: "reloaded"; model: string } | { kind: "kept"; why: Rollback } | { kind: "failed"; message: string };
}

export interface Notice {
  id: number;
  kind: "done" | "failed";
  text: string;
}

export interface State {
  session: "unknown" | "in" | "out";
  /** Why the last look failed. */
  trouble: string | null;
  health: Health | null;
  list: TaskList | null;
  /** Tokens a second of each running task between the last two looks. */
  speeds: Map<string, number>;
  history: Map<string, Sample[]>;
  throughput: number[];
  changes: Map<string, Change>;
  notices: Notice[];
}

let state: State = {
  session: "unknown",
  trouble: null,
  health: null,
  list: null,
  speeds: new Map(),
  history: new Map(),
  throughput: [],
  changes: new Map(),
  notices: [],
};
const listeners = new Set<() => void>();

export function set(change: Partial<State>): void {
  state = { ...state, ...change };
  listeners.forEach((listener) => listener());
}

/** The state at this moment, for what is no view. */
export const storeNow = (): State => state;

export function useStore(): State {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

let notices = 0;

/** Says something for a while. */
export function notify(kind: Notice["kind"], text: string): void {
  const notice = { id: ++notices, kind, text };
  set({ notices: [...state.notices, notice].slice(-NOTICES) });
  setTimeout(() => dismiss(notice.id), kind === "failed" ? 12_000 : 5000);
}

export const dismiss = (id: number) => set({ notices: state.notices.filter((notice) => notice.id !== id) });

/** Does something, and says what came of it. */
export async function attempt(what: () => Promise<unknown>, done: string): Promise<boolean> {
  try {
    await what();
    notify("done", done);
    return true;
  } catch (error) {
    failed(error);
    return false;
  } finally {
    look();
  }
}

/** Says that something failed, and logs out where the log-in has run out. */
export function failed(error: unknown): void {
  if (error instanceof Refused && error.status === 401) return signedOut();
  notify("failed", error instanceof Error ? error.message : String(error));
}

export function signedOut(): void {
  set({ session: "out", health: null, list: null, speeds: new Map(), history: new Map(), throughput: [], changes: new Map() });
}

let timer: ReturnType<typeof setTimeout> | undefined;
let looking = false;
let seen = new Map<string, { tokens: number; at: number }>();

/** Looks at the daemon now, and again in a second. */
export async function look(): Promise<void> {
  clearTimeout(timer);
  if (looking || document.hidden || state.session === "out") return;
  looking = true;
  try {
    const limit = AbortSignal.timeout(ANSWER_MS);
    const [health, list] = await Promise.all([
      ask<Health>("GET", "/health", undefined, [503], limit),
      ask<TaskList>("GET", `/v1/tasks?limit=${TASKS_SHOWN}`, undefined, [], limit),
    ]);
    took(health.body, list.body);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) signedOut();
    else set({ trouble: error instanceof Error ? error.message : String(error), ...(state.session === "unknown" ? { session: "in" as const } : {}) });
  } finally {
    looking = false;
    if ((state.session as State["session"]) !== "out") timer = setTimeout(look, POLL_MS);
  }
}

function took(health: Health, list: TaskList): void {
  const now = performance.now();
  const speeds = new Map<string, number>();
  const next = new Map<string, { tokens: number; at: number }>();
  let tokens = 0;
  let from = now;
  for (const task of list.tasks) {
    const before = seen.get(task.task_id);
    if (task.state === "running") next.set(task.task_id, { tokens: task.tokens_out, at: now });
    if (!before) continue;
    tokens += task.tokens_out - before.tokens;
    from = Math.min(from, before.at);
    if (task.state === "running" && now > before.at) {
      speeds.set(task.task_id, ((task.tokens_out - before.tokens) * 1000) / (now - before.at));
    }
  }
  seen = next;
  const history = new Map<string, Sample[]>();
  for (const device of health.devices ?? []) {
    const sample = {
      memory: device.memory_used_bytes / Math.max(1, device.memory_total_bytes),
      load: device.utilization ?? null,
    };
    history.set(device.id, [...(state.history.get(device.id) ?? []), sample].slice(-HISTORY));
  }
  const throughput = [...state.throughput, from < now ? (tokens * 1000) / (now - from) : 0].slice(-HISTORY);
  set({ session: "in", trouble: null, health, list, speeds, history, throughput });
}

/** Serves another model in a pool, and keeps what came of it for whoever looks. */
export async function reload(pool: string, to: string, sha256: string): Promise<void> {
  const change = (outcome: Change["outcome"]) =>
    set({ changes: new Map(state.changes).set(pool, { pool, to, since, outcome }) });
  const since = Date.now();
  change(null);
  try {
    const body = { new_model_ref: to, ...(sha256 ? { sha256 } : {}) };
    const answer = await ask<{ model_ref: string } & Rollback>("POST", `/v1/pools/${pool}/reload`, body, [409]);
    change(answer.status === 409 ? { kind: "kept", why: answer.body } : { kind: "reloaded", model: answer.body.model_ref });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return signedOut();
    change({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  } finally {
    look();
  }
}

export function forgetChange(pool: string): void {
  const changes = new Map(state.changes);
  changes.delete(pool);
  set({ changes });
}

export const ofState = (list: TaskList | null, wanted: Task["state"]): Task[] =>
  list?.tasks.filter((task) => task.state === wanted) ?? [];

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
