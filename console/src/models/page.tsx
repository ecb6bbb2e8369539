// The models: which are served, which are on this machine, and which are on their way to it.
//
// Rules: ORCH-CON-4, ORCH-CON-13
import "./models.css";
import { useState } from "preact/hooks";
import { Refused, ask } from "../api";
import { bytes, percent } from "../format";
import { Chip, Confirm, Empty, Meter, Panel, Said, type Tone } from "../parts";
import { usePolled } from "../polled";
import { Pools, ReloadDialog } from "../pools";
import { attempt, signedOut, useStore } from "../store";
import type { Device, Pool, Store, StoreFetch, StoredModel } from "../wire";

const AGAIN_MS = 1500;

export function Models() {
  const { health } = useStore();
  const [asked, setAsked] = useState(0);
  const { value: store, problem } = usePolled("/v1/store", AGAIN_MS, (body: Store) => body, asked);
  const [serving, setServing] = useState<StoredModel | null>(null);
  const again = () => setAsked((n) => n + 1);
  const pools = health?.pools ?? [];
  return (
    <div class="models">
      <div class="wide">
        {(problem ?? store?.reason) && (
          <p class="problem" role="alert">
            <Said text={(problem ?? store?.reason)!} />
          </p>
        )}
        <Fetches fetches={store?.fetches ?? []} onChange={again} />
        <Stored models={store?.models ?? null} devices={health?.devices ?? []} pools={pools} onServe={setServing} onChange={again} />
      </div>
      <div class="narrow">
        <Pools title="Served" pools={pools} known={store?.models.filter(({ complete }) => complete).map(({ model_ref }) => model_ref) ?? []} />
      </div>
      {serving && <Serve model={serving} pools={pools} onClose={() => setServing(null)} />}
    </div>
  );
}

const fetchModel = (model_ref: string, sha256: string) => ask("POST", "/v1/store/fetches", { model_ref, ...(sha256 ? { sha256 } : {}) });

function Fetches({ fetches, onChange }: { fetches: StoreFetch[]; onChange: () => void }) {
  const [model, setModel] = useState("");
  const [sum, setSum] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (model.trim() === "") return setWrong("Name the model.");
    if (sum.trim() !== "" && !/^[0-9a-fA-F]{64}$/.test(sum.trim())) return setWrong("A SHA-256 has 64 hexadecimal digits.");
    try {
      await fetchModel(model.trim(), sum.trim());
      setModel("");
      setSum("");
      setWrong(null);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return signedOut();
      setWrong(error instanceof Error ? error.message : String(error));
    }
    onChange();
  };
  return (
    <Panel title="Fetch a model" id="fetch-model">
      <form class="fetch-form" onSubmit={submit} noValidate>
        <div class="reference">
          <label for="fetch-ref">Model</label>
          <input id="fetch-ref" value={model} onInput={(event) => setModel(event.currentTarget.value)} placeholder="hf:OWNER/REPO/FILE.gguf" spellcheck={false} autocomplete="off" aria-describedby="fetch-forms fetch-wrong" />
        </div>
        <div class="sum">
          <label for="fetch-sum">
            SHA-256 <span class="dim">(optional)</span>
          </label>
          <input id="fetch-sum" value={sum} onInput={(event) => setSum(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
        </div>
        <button type="submit" class="primary">
          Fetch
        </button>
        <p id="fetch-forms" class="dim small">
          <code>hf:OWNER/REPO/FILE.gguf</code>, <code>hf:OWNER/REPO:QUANT</code>, <code>https://…</code> or <code>starter</code>. Nothing that is served changes; a transfer that breaks off goes on later.
        </p>
        <p id="fetch-wrong" class="problem" role="alert">
          {wrong && <Said text={wrong} />}
        </p>
      </form>
      {fetches.length > 0 && (
        <ul class="fetches">
          {fetches.map((fetch) => (
            <Fetch key={fetch.id} fetch={fetch} onChange={onChange} />
          ))}
        </ul>
      )}
    </Panel>
  );
}

const STATE: Record<StoreFetch["state"], [Tone, string]> = {
  waiting: ["warn", "waits for others"],
  fetching: ["busy", "fetching"],
  checking: ["busy", "checking"],
  done: ["good", "here"],
  failed: ["bad", "failed"],
  canceled: ["off", "canceled"],
};

function Fetch({ fetch, onChange }: { fetch: StoreFetch; onChange: () => void }) {
  const [asks, setAsks] = useState(false);
  const [tone, state] = STATE[fetch.state];
  const goes = fetch.state === "waiting" || fetch.state === "fetching" || fetch.state === "checking";
  const cancel = async () => {
    await attempt(() => ask("DELETE", `/v1/store/fetches/${fetch.id}`), goes ? "The fetch is canceled; what is here stays for the next one." : "Taken off the list.");
    onChange();
  };
  return (
    <li>
      <div class="row">
        <span class="mono ellipsis" title={fetch.model_ref}>
          {fetch.model_ref}
        </span>
        <Chip tone={tone}>{state}</Chip>
        <button type="button" class="quiet danger" aria-label={`${goes ? "Cancel" : "Dismiss"} ${fetch.model_ref}`} onClick={() => (goes ? setAsks(true) : void cancel())}>
          {goes ? "Cancel" : "Dismiss"}
        </button>
      </div>
      {goes && fetch.total_bytes !== undefined && <Meter share={fetch.done_bytes / Math.max(1, fetch.total_bytes)} label={`${fetch.model_ref}: ${percent(fetch.done_bytes / Math.max(1, fetch.total_bytes))}`} />}
      {goes && fetch.done_bytes > 0 && (
        <p class="small num dim">
          {bytes(fetch.done_bytes)}
          {fetch.total_bytes !== undefined && ` of ${bytes(fetch.total_bytes)}`}
        </p>
      )}
      {fetch.message && (
        <p class={fetch.state === "failed" ? "problem small" : "dim small"}>
          <Said text={fetch.message} />
        </p>
      )}
      {asks && (
        <Confirm title="Cancel the fetch?" yes="Cancel it" no="Go on" onYes={() => void cancel()} onClose={() => setAsks(false)}>
          <p>What has arrived stays, and the next fetch of it goes on from there.</p>
        </Confirm>
      )}
    </li>
  );
}

interface StoredProps {
  models: StoredModel[] | null;
  devices: Device[];
  pools: Pool[];
  onServe: (model: StoredModel) => void;
  onChange: () => void;
}

function Stored({ models, devices, pools, onServe, onChange }: StoredProps) {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const shown = models?.filter(({ model_ref, name }) => `${model_ref} ${name}`.toLowerCase().includes(wanted)) ?? [];
  const canServe = pools.some((pool) => pool.engine === "llamacpp" && pool.model_state === "Active");
  return (
    <Panel
      title="On this machine"
      id="stored"
      note={models ? `${models.length === 1 ? "1 file" : `${models.length} files`}, ${bytes(models.reduce((total, model) => total + model.bytes, 0))}` : undefined}
      actions={<input type="search" aria-label="Search the models" placeholder="Search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
    >
      {models?.length === 0 ? (
        <Empty title="No model is in the models folder.">Fetch one above, or name a file of your own with `file:PATH` in a reload.</Empty>
      ) : shown.length === 0 ? (
        <Empty title={models ? "No model has that in its name." : "Reading the models folder…"} />
      ) : (
        <ul class="stored">
          {shown.map((model) => (
            <li key={`${model.model_ref} ${model.complete}`}>
              <div class="what">
                <strong class="ellipsis" title={model.name}>
                  {model.name}
                </strong>
                <span class="mono small dim ellipsis" title={model.model_ref}>
                  {model.model_ref}
                </span>
              </div>
              <div class="size num">
                {bytes(model.bytes)}
                {!model.complete && <span class="dim"> of {model.total_bytes === undefined ? "?" : bytes(model.total_bytes)}</span>}
                <small>{model.complete ? roomFor(model, devices) : "not whole"}</small>
              </div>
              <div class="act">
                {model.pools.length > 0 && <Chip tone="good">served by {model.pools.join(", ")}</Chip>}
                {model.complete ? (
                  <button type="button" onClick={() => onServe(model)} disabled={!canServe} aria-label={`Serve ${model.name}`}>
                    Serve…
                  </button>
                ) : (
                  <button type="button" onClick={() => void attempt(() => fetchModel(model.model_ref, ""), "The fetch goes on.").then(onChange)} aria-label={`Go on fetching ${model.name}`}>
                    Go on
                  </button>
                )}
              </div>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** Where the weights alone have room now. What the context takes comes on top; a reload reckons with all of it. */
function roomFor(model: StoredModel, devices: Device[]): string {
  if (devices.length === 0) return "";
  const free = (device: Device) => device.memory_total_bytes - device.memory_used_bytes;
  const fitting = devices.filter((device) => model.bytes < free(device)).map(({ id }) => id);
  if (fitting.length > 0) return `weights fit what is free on ${fitting.join(", ")}`;
  const ever = devices.filter((device) => model.bytes < device.memory_total_bytes).map(({ id }) => id);
  return ever.length > 0 ? `more than is free now; ${ever.join(", ")} has room when others make it` : "more than any one device has";
}

function Serve({ model, pools, onClose }: { model: StoredModel; pools: Pool[]; onClose: () => void }) {
  const able = pools.filter((pool) => pool.engine === "llamacpp" && pool.model_state === "Active");
  const [id, setId] = useState(able[0]?.id ?? "");
  const pool = able.find((one) => one.id === id);
  if (!pool) return null;
  return <ReloadDialog key={pool.id} pool={pool} pools={pools} known={[]} to={model.model_ref} onClose={onClose} {...(able.length > 1 ? { choices: able.map((one) => one.id), onChoose: setId } : {})} />;
}
