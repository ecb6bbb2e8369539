// The pools: which model each serves and how it is, its replicas, and what can be done about them.
//
// Rules: ORCH-CON-4
import { useState } from "preact/hooks";
import { ask } from "./api";
import { bytes, count, modelName, parameters, percent, rate, span } from "./format";
import { Chip, Confirm, Dialog, Empty, Meter, Panel, Said, Slots, type Tone } from "./parts";
import { type Change, attempt, forgetChange, reload, useStore } from "./store";
import type { ModelState, Pool, ReloadProgress, Replica } from "./wire";

const POOL: Record<Pool["state"], [Tone, string]> = {
  ready: ["good", "Ready"],
  starting: ["busy", "Starting"],
  unloaded: ["off", "Loads when asked"],
  retired: ["off", "Retired"],
  unavailable: ["bad", "Unavailable"],
};
const REPLICA: Record<Replica["state"], [Tone, string]> = {
  ready: ["good", "ready"],
  starting: ["busy", "loading"],
  retiring: ["warn", "finishing"],
  exited: ["bad", "gone"],
  suspended: ["warn", "suspended"],
  backing_off: ["bad", "starts again"],
};

export function Pools({ pools, known = [], title = "Models" }: { pools: Pool[]; known?: string[]; title?: string }) {
  const [changing, setChanging] = useState<string | null>(null);
  const pool = pools.find(({ id }) => id === changing);
  return (
    <Panel title={title} id="models">
      {pools.length === 0 ? <Empty title="No pool is configured." /> : pools.map((pool) => <One key={pool.id} pool={pool} onChange={() => setChanging(pool.id)} />)}
      {pool && <ReloadDialog pool={pool} pools={pools} known={known} onClose={() => setChanging(null)} />}
    </Panel>
  );
}

function One({ pool, onChange }: { pool: Pool; onChange: () => void }) {
  const { changes } = useStore();
  const change = changes.get(pool.id);
  const [tone, state] = POOL[pool.state];
  const setState = (to: ModelState, done: string) => attempt(() => ask("POST", `/v1/models/${pool.id}/state`, { state: to }), done);
  const [retiring, setRetiring] = useState(false);
  const changing = pool.reloading_to !== undefined || (change !== undefined && change.outcome === null);
  return (
    <article class="pool" id={`pool-${pool.id}`}>
      <h3>
        <span class="mono">{pool.id}</span>
        <Chip tone={tone}>{state}</Chip>
      </h3>
      <p class="model ellipsis" title={pool.model_ref}>
        {modelName(pool.model?.name ?? pool.model_ref)}
      </p>
      <p class="dim small">
        {[pool.engine, pool.model?.architecture !== "unknown" && pool.model?.architecture, pool.model && `${parameters(pool.model.parameters)} parameters`, pool.model && bytes(pool.model.size_bytes)].filter(Boolean).join(" · ")}
      </p>
      {pool.reason && (
        <p class="problem">
          <Said text={pool.reason} />
        </p>
      )}
      {pool.fetch && <Fetch done={pool.fetch.done_bytes} {...(pool.fetch.total_bytes === undefined ? {} : { total: pool.fetch.total_bytes })} />}
      {pool.replicas.length > 0 && (
        <ul class="replicas">
          {pool.replicas.map((replica) => (
            <Line key={replica.id} replica={replica} />
          ))}
        </ul>
      )}
      <Course pool={pool} {...(change ? { change } : {})} />
      <div class="buttons">
        <button type="button" onClick={onChange} disabled={changing || pool.model_state === "Retired"} title={pool.model_state === "Retired" ? "Activate it first" : undefined}>
          {changing ? "Changing…" : "Reload…"}
        </button>
        {pool.model_state === "Active" ? (
          <button type="button" onClick={() => setRetiring(true)} disabled={changing}>
            Retire…
          </button>
        ) : (
          <button type="button" class="primary" onClick={() => setState("Active", `${pool.id} is active again, and loads its model.`)}>
            Activate
          </button>
        )}
      </div>
      {retiring && <Retire pool={pool} onYes={() => setState("Retired", `${pool.id} is retired: its memory is free when what runs has finished.`)} onClose={() => setRetiring(false)} />}
    </article>
  );
}

function Retire({ pool, onYes, onClose }: { pool: Pool; onYes: () => void; onClose: () => void }) {
  const waiting = pool.queue.interactive.depth + pool.queue.batch.depth;
  const running = pool.replicas.reduce((total, replica) => total + replica.slots_busy, 0);
  const tasks = (n: number) => (n === 1 ? "1 task" : `${count(n)} tasks`);
  return (
    <Confirm title={`Retire ${pool.id}?`} yes="Retire" onYes={onYes} onClose={onClose}>
      <p>
        {running > 0 ? `${tasks(running)} at work may finish; then the` : "The"} model is unloaded, and its memory is free for something else.
        {waiting > 0 && ` ${tasks(waiting)} that wait end with an error.`} New tasks for it are refused until you activate it again.
      </p>
    </Confirm>
  );
}

function Fetch({ done, total }: { done: number; total?: number }) {
  return (
    <div class="fetch">
      <div class="row small">
        <span>Fetching the model</span>
        <span class="num">
          {bytes(done)}
          {total !== undefined && <span class="dim"> of {bytes(total)}</span>}
        </span>
      </div>
      {total !== undefined && <Meter share={done / total} label="The model’s file" />}
    </div>
  );
}

function Line({ replica }: { replica: Replica }) {
  const [tone, state] = REPLICA[replica.state];
  return (
    <li>
      <div class="row">
        <span>
          <span class="mono">{replica.id}</span> <span class="dim">on {replica.device}</span>
        </span>
        {replica.slots !== undefined && replica.state !== "exited" ? <Slots busy={replica.slots_busy} slots={replica.slots} /> : <Chip tone={tone}>{state}</Chip>}
      </div>
      {replica.load_progress !== undefined && <Meter share={replica.load_progress} label={`Loading ${replica.id}: ${percent(replica.load_progress)}`} />}
      {replica.state === "retiring" && <p class="dim small">finishes what it has</p>}
      {replica.reason && (
        <p class="problem small">
          <Said text={replica.reason} />
        </p>
      )}
      {replica.decode_tokens_per_s !== undefined && (
        <p class="dim small num">
          {rate(replica.decode_tokens_per_s)} tokens/s a stream
          {replica.prefill_tokens_per_s !== undefined && ` · reads ${rate(replica.prefill_tokens_per_s)}/s`}
          {replica.ctx !== undefined && ` · ${replica.ctx} context`}
        </p>
      )}
      {replica.kv_cells !== undefined && (
        <p class="dim small num">
          KV cache: {replica.kv_cells_used !== undefined && `${count(replica.kv_cells_used)} of `}
          {count(replica.kv_cells)} tokens
        </p>
      )}
    </li>
  );
}

const STAGE: Record<ReloadProgress["stage"], string> = {
  fetching: "Looking for its file",
  waiting: "The tasks at work finish first",
  loading: "Loading",
  testing: "Loaded; it answers its test",
};

/** How far the new model is: a share where there is one, otherwise that something goes on. */
function Way({ reload }: { reload?: ReloadProgress }) {
  if (reload?.fetch) return <Fetch done={reload.fetch.done_bytes} {...(reload.fetch.total_bytes === undefined ? {} : { total: reload.fetch.total_bytes })} />;
  const share = reload?.load_progress;
  return (
    <>
      {reload && (
        <div class="row small">
          <span>{STAGE[reload.stage]}</span>
          {share !== undefined && <span class="num">{percent(share)}</span>}
        </div>
      )}
      {share !== undefined ? (
        <Meter share={share} label={`Loading the new model: ${percent(share)}`} />
      ) : (
        <div class="meter endless" aria-hidden="true">
          <div />
        </div>
      )}
    </>
  );
}

/** What a reload is at, and what came of it. */
function Course({ pool, change }: { pool: Pool; change?: Change }) {
  if (!change || change.outcome === null) {
    const to = pool.reloading_to ?? change?.to;
    if (to === undefined) return null;
    return (
      <div class="course busy" role="status">
        <strong>Changing to {modelName(to)}</strong>
        <p>
          The new model is loaded and tested. Until it has passed, <em>{modelName(pool.model_ref)}</em> keeps its place.
          {change && ` ${span(Math.max(1000, Date.now() - change.since))} so far.`}
        </p>
        <Way {...(pool.reload ? { reload: pool.reload } : {})} />
      </div>
    );
  }
  const { outcome } = change;
  const close = (
    <button type="button" class="icon" aria-label="Dismiss" onClick={() => forgetChange(pool.id)}>
      ×
    </button>
  );
  if (outcome.kind === "reloaded") {
    return (
      <div class="course done" role="status">
        {close}
        <strong>Reloaded</strong>
        <p>{modelName(outcome.model)} serves. No task was lost.</p>
      </div>
    );
  }
  return (
    <div class="course back" role="alert">
      {close}
      <strong>{outcome.kind === "failed" ? "The reload was not taken" : outcome.why.status === "refused" ? "Refused" : "Rolled back"}</strong>
      <p>
        <Said text={outcome.kind === "failed" ? outcome.message : outcome.why.message} />
      </p>
      <p class="dim small">
        {outcome.kind === "kept" && <code>{outcome.why.code}</code>} {modelName(pool.model_ref)} serves as before; no task was lost.
      </p>
    </div>
  );
}

interface ReloadProps {
  pool: Pool;
  pools: Pool[];
  /** References that may be wanted, beside those of the pools. */
  known: string[];
  /** What is proposed; what is served, where nothing is. */
  to?: string;
  /** Pools that may be chosen instead. */
  choices?: string[];
  onChoose?: (pool: string) => void;
  onClose: () => void;
}

export function ReloadDialog({ pool, pools, known, to: proposed, choices, onChoose, onClose }: ReloadProps) {
  const [to, setTo] = useState(proposed ?? pool.model_ref);
  const [sum, setSum] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    if (to.trim() === "") return setWrong("Name the model.");
    if (sum.trim() !== "" && !/^[0-9a-fA-F]{64}$/.test(sum.trim())) return setWrong("A SHA-256 has 64 hexadecimal digits.");
    void reload(pool.id, to.trim(), sum.trim());
    onClose();
  };
  return (
    <Dialog title={`Reload ${pool.id}`} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <p class="dim">
          The new model is loaded and tested while the old one serves, where there is memory for both; otherwise the queue waits for the change. If it fails, everything stays as it is.
        </p>
        {choices && (
          <>
            <label for="reload-pool">Pool</label>
            <select id="reload-pool" value={pool.id} onChange={(event) => onChoose?.(event.currentTarget.value)}>
              {choices.map((id) => (
                <option key={id} value={id}>
                  {id}
                </option>
              ))}
            </select>
          </>
        )}
        <label for="new-model">Model</label>
        <input id="new-model" value={to} onInput={(event) => setTo(event.currentTarget.value)} list="known-models" spellcheck={false} autocomplete="off" aria-describedby="model-forms" autofocus />
        <datalist id="known-models">
          {[...new Set(["starter", ...known, ...pools.map((one) => one.model_ref)])].map((ref) => (
            <option key={ref} value={ref} />
          ))}
        </datalist>
        <p id="model-forms" class="dim small">
          {pool.engine === "llamacpp" ? (
            <>
              <code>starter</code>, <code>file:PATH</code>, <code>hf:OWNER/REPO/FILE.gguf</code>, <code>hf:OWNER/REPO:QUANT</code> or <code>https://…</code>
            </>
          ) : (
            "The name by which that engine serves it."
          )}
        </p>
        <label for="sum">
          SHA-256 <span class="dim">(optional)</span>
        </label>
        <input id="sum" value={sum} onInput={(event) => setSum(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
        <p class="problem" role="alert">
          {wrong}
        </p>
        <div class="buttons end">
          <button type="button" onClick={onClose}>
            Not now
          </button>
          <button type="submit" class="primary">
            Reload
          </button>
        </div>
      </form>
    </Dialog>
  );
}
