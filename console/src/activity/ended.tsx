// Tasks that have ended and are still kept: what was asked, by whom, of which model, and how it went.
import { useEffect, useState } from "preact/hooks";
import { ask } from "../api";
import { count, modelName, rate, short, span } from "../format";
import { EndChip } from "../live";
import { Empty, Panel } from "../parts";
import { failed } from "../store";
import type { Task, TaskList } from "../wire";

const AGAIN_MS = 3000;
const SHOWN = 500;

export function EndedTasks() {
  const [list, setList] = useState<TaskList | null>(null);
  const [filter, setFilter] = useState("");
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let left = false;
    const read = async () => {
      try {
        const { body } = await ask<TaskList>("GET", `/v1/tasks?limit=${SHOWN}`);
        if (!left) setList(body);
      } catch (error) {
        // That the daemon is not reached is said above every view.
        if (!left && list) failed(error);
      }
      if (!left) timer = setTimeout(read, AGAIN_MS);
    };
    void read();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, []);
  const ended = list?.tasks.filter((task) => task.state === "ended") ?? [];
  const wanted = filter.trim().toLowerCase();
  const shown = ended.filter((task) => wordsOf(task).includes(wanted));
  return (
    <Panel
      title="Ended tasks"
      id="ended-tasks"
      note={list ? `${count(list.counts.ended)} kept` : undefined}
      actions={<input type="search" aria-label="Search the ended tasks" placeholder="Search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
    >
      {ended.length === 0 ? (
        <Empty title="Nothing has ended lately.">Tasks stay here for a while after their end.</Empty>
      ) : shown.length === 0 ? (
        <Empty title="No ended task has that in it." />
      ) : (
        <div class="scroll">
          <table class="ended-tasks">
            <thead>
              <tr>
                <th>Task</th>
                <th class="opt">Ended</th>
                <th>Asked</th>
                <th class="opt">Client</th>
                <th class="opt">Model</th>
                <th>End</th>
                <th class="num opt">Waited</th>
                <th class="num opt">Prompt</th>
                <th class="num">Tokens</th>
                <th class="num opt">Tokens/s</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((task) => (
                <Row key={task.task_id} task={task} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

/** What a search looks through. */
const wordsOf = (task: Task) => [task.task_id, task.preview, task.client, task.model, task.pool, task.finish_reason, task.error?.code, task.priority].join("\n").toLowerCase();

function Row({ task }: { task: Task }) {
  return (
    <tr>
      <td>
        <a class="mono" href={`#/task/${task.task_id}`} aria-label={`Task ${task.task_id}`}>
          {short(task.task_id)}
        </a>
      </td>
      <td class="num dim opt">{span(task.age_ms - (task.ended_ms ?? 0))} ago</td>
      <td class="asked ellipsis" title={task.preview}>
        {task.preview ?? <span class="dim">{task.workload}</span>}
      </td>
      <td class="opt ellipsis client" title={task.client}>
        {task.client ?? <span class="dim">–</span>}
      </td>
      <td class="opt ellipsis model-name" title={task.model}>
        {task.model ? modelName(task.model) : <span class="dim">{task.pool}</span>}
      </td>
      <td>
        <EndChip task={task} />
      </td>
      <td class="num opt">{span(task.started_ms ?? task.ended_ms ?? 0)}</td>
      <td class="num opt">{count(task.tokens_in)}</td>
      <td class="num">{count(task.tokens_out)}</td>
      <td class="num opt">{task.tokens_per_s === undefined ? "–" : rate(task.tokens_per_s)}</td>
    </tr>
  );
}
