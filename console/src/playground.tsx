// A conversation with any model, in any lane, with the times of every token.
//
// Rules: ORCH-CON-5
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, cancelTask, uuid } from "./api";
import { Timing, type Timings } from "./chart";
import { count, modelName, span } from "./format";
import { Copy, Said } from "./parts";
import { failed, look, useStore } from "./store";
import { follow } from "./stream";
import type { EndEvent, Priority } from "./wire";

interface Settings {
  pool: string;
  priority: Priority;
  system: string;
  max_tokens: string;
  temperature: string;
  top_p: string;
  top_k: string;
  min_p: string;
  seed: string;
}

interface Turn {
  id: number;
  question: string;
  answer: string;
  reasoning: string;
  task: string | null;
  /** Where it stands, until its first token. */
  standing: string | null;
  timings: Timings;
  end: EndEvent | null;
  refused: string | null;
}

const DEFAULTS: Settings = { pool: "", priority: "interactive", system: "", max_tokens: "512", temperature: "0.8", top_p: "0.95", top_k: "40", min_p: "0.05", seed: "" };

/** The fields that are numbers, with what the daemon takes of each. */
const NUMBERS = [
  { field: "max_tokens", name: "Max tokens", min: 1, max: 1048576, step: 1 },
  { field: "temperature", name: "Temperature", min: 0, max: 5, step: 0.05 },
  { field: "top_p", name: "Top p", min: 0.01, max: 1, step: 0.01 },
  { field: "top_k", name: "Top k", min: 0, max: 1000000, step: 1 },
  { field: "min_p", name: "Min p", min: 0, max: 1, step: 0.01 },
] as const;

export function Playground() {
  const { health } = useStore();
  const pools = health?.pools ?? [];
  const [settings, setSettings] = useState(DEFAULTS);
  const [turns, setTurns] = useState<Turn[]>([]);
  const [text, setText] = useState("");
  const [session, setSession] = useState(uuid);
  const leave = useRef<(() => void) | null>(null);
  const bottom = useRef<HTMLDivElement>(null);
  const composer = useRef<HTMLTextAreaElement>(null);
  const turnIds = useRef(0);
  const last = turns[turns.length - 1];
  const running = last !== undefined && last.end === null && last.refused === null;
  const change = (id: number, how: (turn: Turn) => Partial<Turn>) => setTurns((all) => all.map((turn) => (turn.id === id ? { ...turn, ...how(turn) } : turn)));

  useEffect(() => () => leave.current?.(), []);
  useEffect(() => {
    if (turns.length) bottom.current?.scrollIntoView({ block: "nearest" });
  }, [turns]);

  const send = async (event?: Event) => {
    event?.preventDefault();
    const question = text.trim();
    if (question === "" || running) return;
    const id = ++turnIds.current;
    const asked = performance.now();
    const turn: Turn = { id, question, answer: "", reasoning: "", task: null, standing: "Sending…", timings: { asked, tokens: [] }, end: null, refused: null };
    const before = turns.filter((one) => one.answer !== "");
    setTurns([...turns, turn]);
    setText("");
    try {
      const { body } = await ask<{ task_id: string; queue_position: number; predicted_start_ms: number }>("POST", "/v1/tasks", request(settings, session, before, question));
      const standing = (position: number, ms: number) => (position === 0 && ms < 50 ? "Starts now" : `${position} before it · starts in ≈ ${span(ms)}`);
      change(id, () => ({ task: body.task_id, standing: standing(body.queue_position, body.predicted_start_ms) }));
      leave.current = follow(body.task_id, {
        started: () => undefined,
        token: (output, at) => change(id, (now) => ({ answer: now.answer + output.text, reasoning: now.reasoning + output.reasoning, standing: null, timings: { asked, tokens: [...now.timings.tokens, at] } })),
        end: (end) => {
          change(id, () => ({ end, standing: null }));
          look();
        },
        gone: () => change(id, () => ({ refused: "The stream broke off, and the task is not there any more. Ask again.", standing: null })),
      });
    } catch (error) {
      change(id, () => ({ refused: error instanceof Error ? error.message : String(error), standing: null }));
      setText(question);
    }
  };
  const stop = () => {
    if (last?.task) cancelTask(last.task).catch(failed);
  };
  const anew = () => {
    leave.current?.();
    setTurns([]);
    setSession(uuid());
    composer.current?.focus();
  };

  return (
    <div class="playground">
      <Sidebar settings={settings} onChange={setSettings} pools={pools} />
      <section class="chat" aria-label="Conversation">
        <div class="turns">
          {turns.length === 0 && (
            <div class="hello">
              <h2>Ask the model something.</h2>
              <p>You will see where you stand in the queue, when it starts, and the time of every token.</p>
            </div>
          )}
          {turns.map((turn) => (
            <Exchange key={turn.id} turn={turn} />
          ))}
          <div ref={bottom} />
        </div>
        <form class="composer" onSubmit={send}>
          <label class="sr" for="question">
            Your message
          </label>
          <textarea
            id="question"
            ref={composer}
            value={text}
            rows={2}
            placeholder="Write a message. Enter sends, Shift+Enter makes a new line."
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.shiftKey && !event.isComposing) void send(event);
              if (event.key === "Escape" && running) stop();
            }}
          />
          <div class="buttons">
            <button type="button" class="quiet" onClick={anew} disabled={turns.length === 0}>
              New conversation
            </button>
            {running ? (
              <button type="button" id="stop" onClick={stop}>
                Stop
              </button>
            ) : (
              <button type="submit" id="send" class="primary" disabled={text.trim() === ""}>
                Send
              </button>
            )}
          </div>
        </form>
      </section>
    </div>
  );
}

/** The task that asks `question`, with the conversation before it. */
function request(settings: Settings, session: string, before: Turn[], question: string): object {
  const number = (value: string) => (value.trim() === "" ? undefined : Number(value));
  const system = settings.system.trim() === "" ? [] : [{ role: "system", content: settings.system }];
  const turns = before.flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.answer },
  ]);
  return {
    session_id: session,
    ...(settings.pool ? { model_ref: settings.pool } : {}),
    priority: settings.priority,
    messages: [...system, ...turns, { role: "user", content: question }],
    max_tokens: number(settings.max_tokens),
    ...(settings.seed.trim() === "" ? {} : { seed: number(settings.seed) }),
    sampling: { temperature: number(settings.temperature), top_p: number(settings.top_p), top_k: number(settings.top_k), min_p: number(settings.min_p) },
  };
}

function Exchange({ turn }: { turn: Turn }) {
  const { end } = turn;
  const { reasoning, answer: text } = turn;
  const busy = end === null && turn.refused === null;
  return (
    <article class="turn">
      <div class="said user">
        <h3>You</h3>
        <p class="text">{turn.question}</p>
      </div>
      <div class="said model" aria-live="polite" aria-busy={busy}>
        <h3>Model</h3>
        {turn.standing && <p class="standing">{turn.standing}</p>}
        {reasoning !== "" && (
          <details class="reasoning" open={busy && text === ""}>
            <summary>{busy && text === "" ? "Reasoning…" : "Reasoning"}</summary>
            <p class="text">{reasoning}</p>
          </details>
        )}
        {text !== "" && <p class={busy ? "text writing" : "text"}>{text}</p>}
        {turn.refused && (
          <p class="problem">
            <Said text={turn.refused} />
          </p>
        )}
        {end?.error && (
          <p class="problem">
            <Said text={end.error.message} /> <code>{end.error.code}</code>
          </p>
        )}
        {turn.timings.tokens.length > 0 && <Timing timings={turn.timings} />}
        {(end || turn.task) && (
          <footer>
            {end && (
              <span class="num">
                {end.finish_reason === "canceled" ? "stopped" : end.finish_reason} · {count(end.tokens_out)} tokens · prompt {count(end.tokens_in)} · waited {span(end.queue_ms)}
              </span>
            )}
            {turn.task && <a href={`#/task/${turn.task}`}>Task {turn.task.slice(0, 8)}</a>}
            {text !== "" && !busy && <Copy text={text} label="Copy answer" />}
          </footer>
        )}
      </div>
    </article>
  );
}

function Sidebar({ settings, onChange, pools }: { settings: Settings; onChange: (settings: Settings) => void; pools: { id: string; model_ref: string; model?: { name: string }; model_state: string }[] }) {
  const set = (field: keyof Settings) => (event: { currentTarget: { value: string } }) => onChange({ ...settings, [field]: event.currentTarget.value });
  return (
    <details class="settings panel" open={matchMedia("(min-width: 60rem)").matches}>
      <summary>Settings</summary>
      <div class="fields">
        <label for="pool">Model</label>
        <select id="pool" value={settings.pool} onChange={set("pool")}>
          <option value="">first that fits</option>
          {pools.map((pool) => (
            <option key={pool.id} value={pool.id} disabled={pool.model_state === "Retired"}>
              {pool.id} · {modelName(pool.model?.name ?? pool.model_ref)}
            </option>
          ))}
        </select>
        <fieldset class="segments">
          <legend>Lane</legend>
          {(["interactive", "batch"] as const).map((lane) => (
            <label key={lane}>
              <input type="radio" name="lane" value={lane} checked={settings.priority === lane} onChange={() => onChange({ ...settings, priority: lane })} />
              <span>{lane}</span>
            </label>
          ))}
        </fieldset>
        <label for="system">System message</label>
        <textarea id="system" rows={3} value={settings.system} onInput={set("system")} placeholder="None" />
        <div class="pairs">
          {NUMBERS.map(({ field, name, ...limits }) => (
            <div key={field}>
              <label for={field}>{name}</label>
              <input id={field} type="number" inputMode="decimal" value={settings[field]} onInput={set(field)} {...limits} />
            </div>
          ))}
          <div>
            <label for="seed">Seed</label>
            <input id="seed" type="number" min={0} step={1} value={settings.seed} onInput={set("seed")} placeholder="auto" />
          </div>
        </div>
        <button type="button" class="quiet" onClick={() => onChange({ ...DEFAULTS, pool: settings.pool })}>
          Back to the defaults
        </button>
      </div>
    </details>
  );
}
