// What the daemon answers, as far as the console reads it (contracts/openapi).

export type Priority = "interactive" | "batch";
export type Engine = "llamacpp" | "vllm" | "tgi" | "triton";
export type ModelState = "Active" | "Retired";
export type FinishReason = "stop" | "length" | "canceled" | "error";

export interface ErrorEnvelope {
  code: string;
  message: string;
  engine: Engine | null;
  retriable: boolean;
  retry_after_ms: number | null;
}

export interface Lane {
  depth: number;
  bound: number;
}

export interface Replica {
  id: string;
  state: "starting" | "ready" | "suspended" | "retiring" | "exited" | "backing_off";
  reason?: string;
  load_progress?: number;
  device: string;
  engine_version?: string;
  build?: string;
  slots?: number;
  slots_busy: number;
  kv_cells?: number;
  kv_cells_used?: number;
  ctx?: number;
  prefill_tokens_per_s?: number;
  decode_tokens_per_s?: number;
}

export interface Pool {
  id: string;
  model_ref: string;
  engine: Engine;
  state: "starting" | "ready" | "unloaded" | "retired" | "unavailable";
  model_state: ModelState;
  reloading_to?: string;
  reload?: ReloadProgress;
  placement?: { device: string; fits: boolean; why: string }[];
  model?: { name: string; architecture: string; parameters: number; size_bytes: number; ctx_train: number; chat_template?: boolean; images?: boolean };
  reason?: string;
  fetch?: { done_bytes: number; total_bytes?: number };
  prediction_error?: number;
  queue: { interactive: Lane; batch: Lane };
  replicas: Replica[];
}

/** How far the new model of a reload is. */
export interface ReloadProgress {
  stage: "fetching" | "waiting" | "loading" | "testing";
  fetch?: { done_bytes: number; total_bytes?: number };
  load_progress?: number;
}

export interface Device {
  id: string;
  name: string;
  memory_total_bytes: number;
  memory_used_bytes: number;
  utilization?: number;
}

export interface Holding {
  device: string;
  replica: string;
  expected_bytes?: number;
  measured_bytes?: number;
}

export interface Health {
  status: "ok" | "starting" | "unavailable" | "stopping";
  version?: string;
  build?: string;
  pools?: Pool[];
  devices?: Device[];
  ledger?: Holding[];
}

export interface Task {
  task_id: string;
  session_id?: string;
  pool: string;
  priority: Priority;
  workload: "completion" | "embedding" | "rerank";
  state: "waiting" | "running" | "ended";
  queue_position?: number;
  predicted_start_ms?: number;
  predicted_start_p90_ms?: number;
  replica?: string;
  tokens_in: number;
  /** While the built-in engine reads it. */
  tokens_read?: number;
  tokens_out: number;
  tokens_per_s?: number;
  max_tokens?: number;
  age_ms: number;
  promised_start_ms: number;
  started_ms?: number;
  first_token_ms?: number;
  ended_ms?: number;
  finish_reason?: FinishReason;
  error?: ErrorEnvelope;
  placements: number;
  /** The beginning of what was asked. */
  preview?: string;
  /** Who asked, as the client calls itself. */
  client?: string;
  model?: string;
}

export interface TaskList {
  counts: { running: number; waiting: number; ended: number };
  tasks: Task[];
}

export interface TaskDetail {
  task: Task;
  input: { parts: { role?: string; text: string }[]; bytes: number; cut: boolean };
  answer: string;
}

export interface EndEvent {
  tokens_out: number;
  decode_ms: number;
  tokens_in: number;
  queue_ms: number;
  finish_reason: FinishReason;
  error?: ErrorEnvelope;
}

export interface Rollback {
  status: "rollback" | "refused";
  code: string;
  message: string;
}

/** The last hours, a minute at a time. */
export interface Figures {
  step_ms: number;
  minutes: FiguresMinute[];
  /** Milliseconds since 1970 at which the page got them. */
  read_at: number;
}

export interface FiguresMinute {
  /** Since it began. */
  age_ms: number;
  pools: { pool: string; tokens_in: number; tokens_out: number; started: number; ended: number; failed: number; waited_ms: number; longest_wait_ms: number; prediction_error?: number }[];
  devices: { device: string; memory_used_bytes: number; memory_total_bytes: number }[];
}

/** The models in the daemon's folder, and those on their way there. */
export interface Store {
  models: StoredModel[];
  fetches: StoreFetch[];
  /** Why the folder cannot be read. */
  reason?: string;
}

export interface StoredModel {
  model_ref: string;
  name: string;
  bytes: number;
  total_bytes?: number;
  complete: boolean;
  pools: string[];
}

export interface StoreFetch {
  id: number;
  model_ref: string;
  state: "waiting" | "fetching" | "checking" | "done" | "failed" | "canceled";
  done_bytes: number;
  total_bytes?: number;
  message?: string;
}
