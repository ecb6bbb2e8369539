// The daemon at this moment: who runs, who waits and until when, and on what.
//
// Rules: ORCH-CON-4
import { Fragment } from "preact";
import { HISTORY, ofState, useStore } from "./store";
import { Cancel } from "./cancel";
import { Devices } from "./devices";
import { count, percent, rate, short, span } from "./format";
import { Chip, Empty, Panel, Spark, type Tone } from "./parts";
import { Pools } from "./pools";
import type { Pool, Task } from "./wire";

export function Live() {
  const { health, list } = useStore();
  if (!health || !list) return <div class="wait" role="status" aria-label="Loading" />;
  const pools = health.pools ?? [];
  return (
    <div class="live">
      <Figures pools={pools} />
      <div class="columns">
        <div class="wide">
          <Running tasks={ofState(list, "running")} />
          <Queue tasks={ofState(list, "waiting")} pools={pools} />
          <Ended tasks={ofState(list, "ended")} all={list.counts.ended} />
        </div>
        <div class="narrow">
          <Pools pools={pools} />
          <Devices devices={health.devices ?? []} ledger={health.ledger ?? []} />
        </div>
      </div>
    </div>
  );
}

function Figures({ pools }: { pools: Pool[] }) {
  const { throughput } = useStore();
  const sum = (of: (pool: Pool) => number) => pools.reduce((total, pool) => total + of(pool), 0);
  const busy = sum((pool) => pool.replicas.reduce((total, replica) => total + replica.slots_busy, 0));
  const slots = sum((pool) => pool.replicas.reduce((total, replica) => total + (replica.slots ?? 0), 0));
  const errors = pools.flatMap((pool) => (pool.prediction_error === undefined ? [] : [pool.prediction_error]));
  const now = throughput[throughput.length - 1] ?? 0;
  return (
    <dl class="figures" aria-label="Key figures">
      <div class="throughput">
        <dt>Tokens a second</dt>
        <dd>{rate(now)}</dd>
        <Spark samples={throughput} room={HISTORY} top={Math.max(10, ...throughput)} label="Tokens a second over the last two minutes" />
      </div>
      <div>
        <dt>Slots busy</dt>
        <dd>
          {busy}
          <small> of {slots}</small>
        </dd>
      </div>
      <div>
        <dt>Waiting, interactive</dt>
        <dd>{count(sum((pool) => pool.queue.interactive.depth))}</dd>
      </div>
      <div>
        <dt>Waiting, batch</dt>
        <dd>{count(sum((pool) => pool.queue.batch.depth))}</dd>
      </div>
      <div>
        <dt>Start predictions off by</dt>
        <dd>{errors.length ? percent(Math.max(...errors)) : "–"}</dd>
      </div>
    </dl>
  );
}

const Lane = ({ task }: { task: Task }) => <span class={`lane tight ${task.priority}`}>{task.priority}</span>;

const TaskLink = ({ task }: { task: Task }) => (
  <a class="mono" href={`#/task/${task.task_id}`} aria-label={`Task ${task.task_id}`} title={task.preview}>
    {short(task.task_id)}
  </a>
);

function Running({ tasks }: { tasks: Task[] }) {
  const { speeds } = useStore();
  return (
    <Panel title="Running" note={tasks.length || undefined} id="running">
      {tasks.length === 0 ? (
        <Empty title="Nothing runs.">
          Ask something in the <a href="#/chat">chat</a>, or see <a href="#/connect">how to connect</a>.
        </Empty>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Task</th>
                <th>Lane</th>
                <th class="opt">Replica</th>
                <th class="num opt">Prompt</th>
                <th>Answer</th>
                <th class="num">Tokens/s</th>
                <th class="num opt">Time</th>
                <th>
                  <span class="sr">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tasks.map((task) => (
                <tr key={task.task_id}>
                  <td>
                    <TaskLink task={task} />
                  </td>
                  <td>
                    <Lane task={task} />
                  </td>
                  <td class="mono dim opt">{task.replica}</td>
                  <td class="num opt">{count(task.tokens_in)}</td>
                  <td>
                    <Answer task={task} />
                  </td>
                  <td class="num strong">{task.tokens_out > 0 ? rate(speeds.get(task.task_id) ?? task.tokens_per_s ?? 0) : "–"}</td>
                  <td class="num opt">{span(task.age_ms - (task.started_ms ?? 0))}</td>
                  <td class="act">
                    <Cancel task={task} quiet />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function Reading({ task }: { task: Task }) {
  if (task.tokens_read === undefined) return <span class="dim">reading the prompt</span>;
  return (
    <span class="progress" title="Tokens of the prompt that are read">
      <span class="dim">reading</span>
      <progress max={Math.max(1, task.tokens_in)} value={task.tokens_read} aria-label="Tokens of the prompt that are read" />
      <span class="dim num">{percent(task.tokens_read / Math.max(1, task.tokens_in))}</span>
    </span>
  );
}

function Answer({ task }: { task: Task }) {
  if (task.tokens_out === 0) return <Reading task={task} />;
  return (
    <span class="progress">
      <span class="num">{count(task.tokens_out)}</span>
      {task.max_tokens !== undefined && (
        <>
          <progress max={task.max_tokens} value={task.tokens_out} aria-label="Tokens of the most there may be" />
          <span class="dim num">{count(task.max_tokens)}</span>
        </>
      )}
    </span>
  );
}

function Queue({ tasks, pools }: { tasks: Task[]; pools: Pool[] }) {
  const waiting = pools.reduce((total, { queue }) => total + queue.interactive.depth + queue.batch.depth, 0);
  return (
    <Panel title="Queue" note={waiting ? `${count(waiting)} waiting` : undefined} id="queue">
      <ul class="lanes">
        {pools.map((pool) => (
          <li key={pool.id}>
            {pools.length > 1 && <span class="mono dim">{pool.id}</span>}
            {(["interactive", "batch"] as const).map((lane) => (
              <Fragment key={lane}>
                <span class={`lane ${lane}`}>{lane}</span>
                <span class="num">
                  {count(pool.queue[lane].depth)} <span class="dim">of {count(pool.queue[lane].bound)}</span>
                </span>
              </Fragment>
            ))}
          </li>
        ))}
      </ul>
      {tasks.length === 0 ? (
        <Empty title="Nobody waits." />
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th class="num fit">Ahead</th>
                <th>Task</th>
                <th>Lane</th>
                <th class="opt">Pool</th>
                <th class="num opt">Prompt</th>
                <th class="num opt">Waited</th>
                <th class="num">Starts in</th>
                <th>
                  <span class="sr">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tasks.map((task) => (
                <tr key={task.task_id}>
                  <td class="num fit">{task.queue_position}</td>
                  <td>
                    <TaskLink task={task} />
                  </td>
                  <td>
                    <Lane task={task} />
                  </td>
                  <td class="mono dim opt">{task.pool}</td>
                  <td class="num opt">{count(task.tokens_in)}</td>
                  <td class="num opt">{span(task.age_ms)}</td>
                  <td class="num strong" title={`nine in ten start within ${span(task.predicted_start_p90_ms ?? 0)}`}>
                    ≈ {span(task.predicted_start_ms ?? 0)}
                  </td>
                  <td class="act">
                    <Cancel task={task} quiet />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {waiting > tasks.length && <p class="more">and {count(waiting - tasks.length)} more</p>}
        </div>
      )}
    </Panel>
  );
}

const ENDS: Record<string, [Tone, string]> = {
  stop: ["good", "answered"],
  length: ["good", "cut at its limit"],
  canceled: ["off", "canceled"],
  error: ["bad", "failed"],
};

export function EndChip({ task }: { task: Task }) {
  const [tone, text] = ENDS[task.finish_reason ?? "stop"]!;
  return <Chip tone={tone}>{task.error ? task.error.code : text}</Chip>;
}

function Ended({ tasks, all }: { tasks: Task[]; all: number }) {
  return (
    <Panel title="Ended" note={all ? `${count(all)} kept` : undefined} id="ended" actions={all > 0 && <a href="#/activity">All, with the last hours</a>}>
      {tasks.length === 0 ? (
        <Empty title="Nothing has ended lately." />
      ) : (
        <div class="scroll short">
          <table>
            <thead>
              <tr>
                <th>Task</th>
                <th class="opt">Asked</th>
                <th>Lane</th>
                <th>End</th>
                <th class="num opt">Waited</th>
                <th class="num opt">First token</th>
                <th class="num">Tokens</th>
                <th class="num">Tokens/s</th>
                <th class="num opt">Ended</th>
              </tr>
            </thead>
            <tbody>
              {tasks.slice(0, 30).map((task) => (
                <tr key={task.task_id}>
                  <td>
                    <TaskLink task={task} />
                  </td>
                  <td class="opt preview ellipsis" title={task.preview}>
                    {task.preview ?? <span class="dim">{task.workload}</span>}
                  </td>
                  <td>
                    <Lane task={task} />
                  </td>
                  <td>
                    <EndChip task={task} />
                  </td>
                  <td class="num opt">{span(task.started_ms ?? task.ended_ms ?? 0)}</td>
                  <td class="num opt">{task.first_token_ms === undefined ? "–" : span(task.first_token_ms - (task.started_ms ?? 0))}</td>
                  <td class="num">{count(task.tokens_out)}</td>
                  <td class="num">{task.tokens_per_s === undefined ? "–" : rate(task.tokens_per_s)}</td>
                  <td class="num dim opt">{span(task.age_ms - (task.ended_ms ?? 0))} ago</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
