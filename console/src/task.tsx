// One task: its course from admission to end, what it was asked and what it says.
//
// Rules: ORCH-CON-5
import { useEffect, useState } from "preact/hooks";
import { Refused, ask } from "./api";
import { Cancel } from "./cancel";
import { bytes, count, rate, short, span } from "./format";
import { EndChip } from "./live";
import { Chip, Copy, Empty, Panel, Said } from "./parts";
import { signedOut } from "./store";
import type { Task, TaskDetail } from "./wire";

const POLL_MS = 1000;

export function TaskPage({ id }: { id: string }) {
  const [detail, setDetail] = useState<TaskDetail | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let left = false;
    const look = async () => {
      let again = true;
      try {
        const { body } = await ask<TaskDetail>("GET", `/v1/tasks/${encodeURIComponent(id)}`);
        if (left) return;
        setDetail(body);
        setProblem(null);
        again = body.task.state !== "ended";
      } catch (error) {
        if (left) return;
        if (error instanceof Refused && error.status === 401) return signedOut();
        again = !(error instanceof Refused && (error.status === 404 || error.status === 400));
        setProblem(error instanceof Error ? error.message : String(error));
      }
      if (again) timer = setTimeout(look, POLL_MS);
    };
    void look();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [id]);

  if (!detail) {
    return problem ? (
      <Empty title="This task cannot be shown.">
        <Said text={problem} />. <a href="#/live">Back to what runs</a>
      </Empty>
    ) : (
      <div class="wait" role="status" aria-label="Loading" />
    );
  }
  const { task } = detail;
  return (
    <div class="task">
      <header class="head">
        <a href="#/live">← Live</a>
        <h1>
          Task <span class="mono">{short(task.task_id)}</span>
        </h1>
        {task.state === "running" && <Chip tone="busy">running</Chip>}
        {task.state === "waiting" && <Chip tone="warn">waiting</Chip>}
        {task.state === "ended" && <EndChip task={task} />}
        <Copy text={task.task_id} label="Copy id" />
        {task.state !== "ended" && (
          <Cancel task={task} />
        )}
      </header>
      {problem && (
        <p class="problem">
          <Said text={problem} />
        </p>
      )}
      {task.error && (
        <div class="course back" role="alert">
          <strong>{task.error.code}</strong>
          <p>
            <Said text={task.error.message} />
          </p>
          {task.error.retriable && <p class="dim small">The same may succeed later{task.error.retry_after_ms !== null && `, from ${span(task.error.retry_after_ms)} on`}.</p>}
        </div>
      )}
      <Panel title="Timeline">
        <Course task={task} />
        <Facts task={task} />
      </Panel>
      <div class="texts">
        <Panel title="Prompt" note={`${count(task.tokens_in)} tokens · ${bytes(detail.input.bytes)}`}>
          {detail.input.parts.map((part, i) => (
            <div class="part" key={i}>
              {part.role && <h3>{part.role}</h3>}
              <pre>{part.text}</pre>
            </div>
          ))}
          {detail.input.cut && <p class="dim small">Only the beginning is kept.</p>}
        </Panel>
        <Panel title="Answer" note={`${count(task.tokens_out)} tokens`} actions={detail.answer !== "" && <Copy text={detail.answer} />}>
          {detail.answer === "" ? <Empty title={task.state === "ended" ? "It said nothing." : "Nothing yet."} /> : <pre>{detail.answer}</pre>}
        </Panel>
      </div>
      <p class="dim small">Prompt and answer are in the daemon’s memory only, and are forgotten with the task.</p>
    </div>
  );
}

/** The phases of a task as one bar, with the start that was promised. */
function Course({ task }: { task: Task }) {
  const now = task.ended_ms ?? task.age_ms;
  const started = task.started_ms ?? now;
  const first = task.first_token_ms ?? (task.started_ms === undefined ? started : now);
  const phases = [
    { name: "Waiting", kind: "waiting", from: 0, to: started },
    { name: "Reading the prompt", kind: "reading", from: started, to: first },
    { name: "Answering", kind: "answering", from: first, to: now },
  ];
  const whole = Math.max(1, now, task.state === "waiting" ? task.promised_start_ms : 0);
  return (
    <div class="timeline">
      <div class="bar" role="img" aria-label={phases.map((phase) => `${phase.name}: ${span(phase.to - phase.from)}`).join(", ")}>
        {phases.map((phase) => (
          <div key={phase.kind} class={phase.kind} style={{ left: `${(phase.from / whole) * 100}%`, width: `${((phase.to - phase.from) / whole) * 100}%` }} />
        ))}
        {task.promised_start_ms <= whole && <i class="promise" style={{ left: `${(task.promised_start_ms / whole) * 100}%` }} title={`Promised start: ${span(task.promised_start_ms)}`} />}
      </div>
      <ul class="legend">
        {phases.map((phase) => (
          <li key={phase.kind}>
            <i class={phase.kind} />
            {phase.name} <b class="num">{span(phase.to - phase.from)}</b>
          </li>
        ))}
        <li>
          <i class="promise" />
          Promised start <b class="num">{span(task.promised_start_ms)}</b>
        </li>
      </ul>
    </div>
  );
}

function Facts({ task }: { task: Task }) {
  const admitted = new Date(Date.now() - task.age_ms);
  const facts: [string, string | undefined][] = [
    ["Admitted", `${admitted.toLocaleTimeString()} · ${span(task.age_ms)} ago`],
    ["Client", task.client],
    ["Model", task.model],
    ["Lane", task.priority],
    ["Pool", task.pool],
    ["Replica", task.replica],
    ["Workload", task.workload],
    ["Session", task.session_id],
    ["Before it", task.queue_position === undefined ? undefined : String(task.queue_position)],
    ["Starts in", task.predicted_start_ms === undefined ? undefined : `≈ ${span(task.predicted_start_ms)}`],
    ["At the latest (90 %)", task.predicted_start_p90_ms === undefined ? undefined : `≈ ${span(task.predicted_start_p90_ms)}`],
    ["Prompt read", task.tokens_read === undefined ? undefined : `${count(task.tokens_read)} of ${count(task.tokens_in)} tokens`],
    ["Tokens a second", task.tokens_per_s === undefined ? undefined : rate(task.tokens_per_s)],
    ["Most tokens", task.max_tokens === undefined ? undefined : count(task.max_tokens)],
    ["Placed", task.placements > 1 ? `${task.placements} times: a replica went away before the first token` : undefined],
  ];
  return (
    <dl class="facts">
      {facts.map(
        ([name, value]) =>
          value !== undefined && (
            <div key={name}>
              <dt>{name}</dt>
              <dd class={name === "Session" || name === "Replica" ? "mono" : "num"}>{value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
