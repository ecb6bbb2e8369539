// A task's cancel, with a question before it.
//
// Rules: ORCH-CON-9
import { useState } from "preact/hooks";
import { cancelTask } from "./api";
import { count, short } from "./format";
import { Confirm } from "./parts";
import { attempt } from "./store";
import type { Task } from "./wire";

export function Cancel({ task, quiet = false }: { task: Task; quiet?: boolean }) {
  const [asks, setAsks] = useState(false);
  const cancel = () => attempt(() => cancelTask(task.task_id), `Task ${short(task.task_id)} is canceled.`);
  return (
    <>
      <button type="button" class={quiet ? "quiet danger" : "danger"} aria-label={`Cancel task ${task.task_id}`} onClick={() => setAsks(true)}>
        Cancel
      </button>
      {asks && (
        <Confirm title={`Cancel task ${short(task.task_id)}?`} yes="Cancel the task" no="Leave it" onYes={cancel} onClose={() => setAsks(false)}>
          <p>
            {task.state === "waiting" ? "It leaves the queue, and its caller gets no answer." : `Its answer ends after ${count(task.tokens_out)} tokens; its caller keeps those.`} That cannot be taken back.
          </p>
        </Confirm>
      )}
    </>
  );
}
