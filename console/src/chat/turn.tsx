// One question with its answers.
import { useEffect, useRef, useState } from "preact/hooks";
import { Timing } from "../chart";
import { count, percent, rate, span } from "../format";
import { CodeBlock, Markdown } from "../markdown";
import { Copy, Meter, Said } from "../parts";
import { useStore } from "../store";
import type { Pool } from "../wire";
import { type Answer, type Standing, type Turn, chosenOf, isOpen } from "./types";

interface Props {
  turn: Turn;
  isLast: boolean;
  busy: boolean;
  standing: Standing | undefined;
  onEdit: (question: string) => void;
  onAgain: () => void;
  onChoose: (chosen: number) => void;
}

export function Exchange(props: Props) {
  const { turn } = props;
  const answer = chosenOf(turn);
  return (
    <article class="turn">
      <Question turn={turn} busy={props.busy} onEdit={props.onEdit} />
      {answer && (
        <div class="said model" aria-live="polite" aria-busy={isOpen(answer)}>
          <h3>{answer.pool || "Model"}</h3>
          <Written answer={answer} standing={isOpen(answer) ? props.standing : undefined} isLast={props.isLast} />
          <Footer {...props} answer={answer} />
        </div>
      )}
    </article>
  );
}

function Question({ turn, busy, onEdit }: { turn: Turn; busy: boolean; onEdit: (question: string) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), [draft === null]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (draft === null || (draft.trim() === "" && turn.images.length === 0)) return;
    setDraft(null);
    onEdit(draft.trim());
  };
  const images = turn.images.length > 0 && (
    <div class="images">
      {turn.images.map((url, i) => (
        <img key={i} src={url} alt={`Image ${i + 1} of the message`} />
      ))}
    </div>
  );
  if (draft !== null) {
    return (
      <form class="said user editing" onSubmit={submit}>
        <label for={`edit-${turn.id}`}>Edit your message</label>
        {images}
        <textarea
          id={`edit-${turn.id}`}
          value={draft}
          rows={3}
          ref={area}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") setDraft(null);
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
          }}
        />
        <div class="buttons end">
          <button type="button" class="quiet" onClick={() => setDraft(null)}>
            Leave as it was
          </button>
          <button type="submit" class="primary" disabled={busy}>
            Send
          </button>
        </div>
      </form>
    );
  }
  return (
    <div class="said user">
      <h3>You</h3>
      {images}
      <p class="text">{turn.question}</p>
      <div class="tools">
        <button type="button" class="quiet" onClick={() => setDraft(turn.question)} disabled={busy}>
          Edit
        </button>
        {turn.question !== "" && <Copy text={turn.question} />}
      </div>
    </div>
  );
}

/** What an answer says, in the order in which models say it. */
export function Written({ answer, standing, isLast }: { answer: Answer; standing: Standing | undefined; isLast: boolean }) {
  const busy = isOpen(answer);
  const { text, reasoning, calls, end } = answer;
  const thinks = busy && text === "" && calls.length === 0;
  return (
    <>
      {standing && <StandingLine standing={standing} pool={answer.pool} />}
      {reasoning.trim() !== "" && (
        <details class="reasoning" open={thinks}>
          <summary>{thinks ? "Reasoning…" : "Reasoning"}</summary>
          <p class="text">{reasoning.trim()}</p>
        </details>
      )}
      {text.trim() !== "" && <Markdown text={text} writing={busy} />}
      {calls.map((call, i) => (
        <details class="call" key={i} open>
          <summary>
            Tool call <code>{call.name}</code>
          </summary>
          <CodeBlock text={pretty(call.arguments)} language="json" />
        </details>
      ))}
      {answer.problem && (
        <p class="problem" role="alert">
          <Said text={sentence(answer.problem)} />
        </p>
      )}
      {end?.error && (
        <p class="problem" role="alert">
          <Said text={sentence(end.error.message)} /> <code>{end.error.code}</code>
        </p>
      )}
      {answer.timings.tokens.length > 1 && (
        <details class="times" open={isLast}>
          <summary>Times</summary>
          <Timing timings={answer.timings} />
        </details>
      )}
    </>
  );
}

/** The daemon writes lowercase fragments. */
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

const END = { stop: "answered", length: "cut at its limit", canceled: "stopped", error: "failed" } as const;

function Footer({ turn, answer, isLast, busy, onAgain, onChoose }: Props & { answer: Answer }) {
  const { end, task } = answer;
  if (isOpen(answer)) return null;
  const perSecond = end && end.tokens_out > 1 && end.decode_ms > 0 ? ((end.tokens_out - 1) * 1000) / end.decode_ms : null;
  return (
    <footer>
      {turn.answers.length > 1 && (
        <span class="variants" role="group" aria-label="Answers">
          <button type="button" class="icon" aria-label="Earlier answer" disabled={busy || turn.chosen === 0} onClick={() => onChoose(turn.chosen - 1)}>
            ‹
          </button>
          <span class="num">
            {turn.chosen + 1} of {turn.answers.length}
          </span>
          <button type="button" class="icon" aria-label="Later answer" disabled={busy || turn.chosen === turn.answers.length - 1} onClick={() => onChoose(turn.chosen + 1)}>
            ›
          </button>
        </span>
      )}
      {answer.text !== "" && <Copy text={answer.text} label="Copy answer" />}
      {isLast && (
        <button type="button" class="quiet" onClick={onAgain} disabled={busy}>
          {answer.problem || end?.error ? "Try again" : "Regenerate"}
        </button>
      )}
      {end && (
        <span class="num">
          {END[end.finish_reason]} · {count(end.tokens_out)} tokens{perSecond !== null && ` at ${rate(perSecond)}/s`} · prompt {count(end.tokens_in)} · waited {span(end.queue_ms)}
        </span>
      )}
      {task && <a href={`#/task/${task}`}>Task {task.slice(0, 8)}</a>}
    </footer>
  );
}

/** Where a request stands, in words. */
export function StandingLine({ standing, pool }: { standing: Standing; pool: string }) {
  const { health } = useStore();
  const served = health?.pools?.find(({ id }) => id === pool);
  if (standing.at === "sending") return <p class="standing">Sending…</p>;
  if (standing.at === "reading") return <Reading standing={standing} {...(served ? { pool: served } : {})} />;
  const loading = served && served.state !== "ready" ? loadingOf(served) : null;
  const { ahead, start_ms, p90_ms } = standing;
  return (
    <p class="standing">
      {loading ?? (ahead === 0 && start_ms < 50 ? "Starts now" : `${ahead === 0 ? "Next in line" : `${count(ahead)} before it`} · starts in ≈ ${span(start_ms)}`)}
      {!loading && p90_ms !== undefined && p90_ms > start_ms && start_ms >= 50 && <span class="dim"> (nine in ten within {span(p90_ms)})</span>}
    </p>
  );
}

function loadingOf(pool: Pool): string {
  if (pool.fetch) return `Fetching the model${pool.fetch.total_bytes ? `: ${percent(pool.fetch.done_bytes / pool.fetch.total_bytes)}` : ""}`;
  const share = pool.replicas.find((replica) => replica.load_progress !== undefined)?.load_progress;
  if (pool.state === "unavailable") return "Waits: its pool cannot serve at the moment";
  return share === undefined ? "The model is loaded first" : `Loading the model: ${percent(share)}`;
}

function Reading({ standing, pool }: { standing: Extract<Standing, { at: "reading" }>; pool?: Pool }) {
  const { tokens, read, since_ms } = standing;
  if (read !== undefined && tokens > 0 && read < tokens) {
    return (
      <div class="standing reading-prompt">
        <p>
          Reading the prompt: <span class="num">{count(read)}</span> of {count(tokens)} tokens
        </p>
        <Meter share={read / tokens} label="Tokens of the prompt that are read" />
      </div>
    );
  }
  const speed = pool?.replicas.find((replica) => replica.prefill_tokens_per_s !== undefined)?.prefill_tokens_per_s;
  const rest = speed ? (tokens * 1000) / speed - since_ms : 0;
  return (
    <p class="standing">
      Reading the prompt: {count(tokens)} tokens{rest > 1000 && `, ≈ ${span(rest)} to go`}
    </p>
  );
}
