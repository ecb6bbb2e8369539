// How to connect: the address, the token's place, and what to write into which program.
import { useEffect, useState } from "preact/hooks";
import { Refused, ask } from "./api";
import { count } from "./format";
import { Copy, Panel } from "./parts";
import { type Recipe, recipes } from "./snippets";
import { useStore } from "./store";
import type { Pool } from "./wire";

const PLACEHOLDER = "YOUR_TOKEN";

export function Connect() {
  const { health } = useStore();
  const [token, setToken] = useState("");
  const [chosen, setChosen] = useState("curl");
  const [chosenPool, setPool] = useState("");
  const [planes, setPlanes] = useState<Set<Recipe["plane"]>>(new Set(["native"]));
  useEffect(() => void offered().then(setPlanes), []);
  const base = location.origin;
  const pools = health?.pools ?? [];
  const pool = pools.find(({ id }) => id === chosenPool) ?? pools[0];
  const context = contextOf(pool);
  const all = recipes({ base, token: token.trim() || PLACEHOLDER, model: pool?.id ?? "default", ...(context === undefined ? {} : { context }) }).filter((recipe) => planes.has(recipe.plane));
  const recipe = all.find(({ id }) => id === chosen) ?? all[0]!;
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = all[(all.indexOf(recipe) + step + all.length) % all.length]!;
    setChosen(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div class="connect">
      <Panel title="This daemon">
        <dl class="facts wide">
          <div>
            <dt>Address</dt>
            <dd class="mono">
              {base} <Copy text={base} />
            </dd>
          </div>
          {planes.has("openai") && (
            <div>
              <dt>OpenAI base URL</dt>
              <dd class="mono">
                {base}/v1 <Copy text={`${base}/v1`} />
              </dd>
            </div>
          )}
          <div>
            <dt>Models</dt>
            <dd>
              {pools.length === 0 && "none"}
              {pools.map((one, i) => (
                <span key={one.id}>
                  {i > 0 && ", "}
                  <span class="mono">{one.id}</span>
                  {contextOf(one) !== undefined && <span class="dim"> ({count(contextOf(one)!)} tokens of context)</span>}
                </span>
              ))}
            </dd>
          </div>
          <div>
            <dt>Token</dt>
            <dd class="mono">
              ~/.config/llama-orch/token <Copy text="cat ~/.config/llama-orch/token" label="Copy command" />
            </dd>
          </div>
        </dl>
        <div class="fills">
          <div>
            <label for="fill">Paste the token to have it in the snippets. It stays in this page and is gone when you leave it.</label>
            <input id="fill" type="password" autocomplete="off" spellcheck={false} placeholder={PLACEHOLDER} value={token} onInput={(event) => setToken(event.currentTarget.value)} />
          </div>
          {pools.length > 1 && (
            <div>
              <label for="snippet-model">Model in the snippets</label>
              <select id="snippet-model" value={pool?.id} onChange={(event) => setPool(event.currentTarget.value)}>
                {pools.map(({ id }) => (
                  <option key={id} value={id}>
                    {id}
                  </option>
                ))}
              </select>
            </div>
          )}
        </div>
      </Panel>
      <Panel title="Clients">
        <div class="recipes">
          <div role="tablist" aria-label="Clients" aria-orientation="vertical" onKeyDown={move}>
            {all.map(({ id, name }) => (
              <button key={id} id={`tab-${id}`} type="button" role="tab" aria-selected={id === recipe.id} aria-controls="recipe" tabIndex={id === recipe.id ? 0 : -1} onClick={() => setChosen(id)}>
                {name}
              </button>
            ))}
          </div>
          <div role="tabpanel" id="recipe" aria-labelledby={`tab-${recipe.id}`}>
            <p>{recipe.about}</p>
            {recipe.needs !== undefined && pool && context !== undefined && context < recipe.needs && (
              <p class="course back">
                <span>
                  A request to <code>{pool.id}</code> has {count(context)} tokens of context. {recipe.name} needs about {count(recipe.needs)}: set <code>ctx</code> of the pool in <code>llama-orch.yaml</code>, or serve a model with more.
                </span>
              </p>
            )}
            {recipe.blocks.map(({ title, text }) => (
              <div key={title}>
                <h3>{title}</h3>
                <div class="snippet">
                  <pre tabIndex={0}>{text}</pre>
                  <Copy text={text} />
                </div>
              </div>
            ))}
            {token.trim() === "" && recipe.blocks.some(({ text }) => text.includes(PLACEHOLDER)) && (
              <p class="dim small">
                Put your token in place of <code>{PLACEHOLDER}</code>.
              </p>
            )}
          </div>
        </div>
      </Panel>
    </div>
  );
}

/** Tokens of context that a request to a pool has, once one of its engines has told. */
const contextOf = (pool: Pool | undefined): number | undefined => pool?.replicas.find(({ ctx }) => ctx !== undefined)?.ctx;

/** The planes that this daemon has: a path that it does not know is answered with 404. */
async function offered(): Promise<Set<Recipe["plane"]>> {
  const has = async (method: string, path: string) => {
    try {
      await ask(method, path);
      return true;
    } catch (error) {
      return error instanceof Refused && error.status !== 404;
    }
  };
  const [openai, anthropic] = await Promise.all([has("GET", "/v1/models"), has("GET", "/v1/messages")]);
  return new Set(["native" as const, ...(openai ? ["openai" as const] : []), ...(anthropic ? ["anthropic" as const] : [])]);
}
