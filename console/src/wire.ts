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
  model?: { name: string; architecture: string; parameters: number; size_bytes: number; ctx_train: number };
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
