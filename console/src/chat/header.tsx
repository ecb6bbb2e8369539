// The head of a conversation: its title, its model, and what can be done with the whole of it.
import { useState } from "preact/hooks";
import { modelName } from "../format";
import { Confirm, Dialog, Menu } from "../parts";
import type { Pool } from "../wire";
import { rename, setSettings } from "./chats";
import { download, fileName, toJson, toMarkdown } from "./export";
import type { Chat } from "./types";

/** Which of the panels beside a conversation are open. */
export interface Shown {
  list: boolean;
  settings: boolean;
}

interface Props {
  chat: Chat;
  isNew: boolean;
  pools: Pool[];
  shown: Shown;
  onShow: (shown: Shown) => void;
  onDelete: () => void;
}

export function ChatHeader({ chat, isNew, pools, shown, onShow, onDelete }: Props) {
  const [asks, setAsks] = useState<"name" | "delete" | null>(null);
  const close = () => setAsks(null);
  return (
    <header class="chat-head">
      <button type="button" class="quiet" aria-expanded={shown.list} onClick={() => onShow({ ...shown, list: !shown.list })}>
        Conversations
      </button>
      <h1 class="ellipsis" title={chat.title}>
        {chat.title}
      </h1>
      <label class="sr" for="pool">
        Model
      </label>
      <select id="pool" value={chat.settings.pool} onChange={(event) => setSettings(chat, { ...chat.settings, pool: event.currentTarget.value })}>
        <option value="">First model that fits</option>
        {pools.map((pool) => (
          <option key={pool.id} value={pool.id} disabled={pool.model_state === "Retired"}>
            {pool.id} · {modelName(pool.model?.name ?? pool.model_ref)}
            {pool.model_state === "Retired" && " (retired)"}
          </option>
        ))}
        {chat.settings.pool !== "" && !pools.some(({ id }) => id === chat.settings.pool) && <option value={chat.settings.pool}>{chat.settings.pool} (not served)</option>}
      </select>
      <button type="button" class="quiet" aria-expanded={shown.settings} onClick={() => onShow({ ...shown, settings: !shown.settings })}>
        Settings
      </button>
      {!isNew && (
        <Menu label="More">
          <button type="button" onClick={() => setAsks("name")}>
            Rename…
          </button>
          <button type="button" onClick={() => download(fileName(chat.title, "md"), "text/markdown", toMarkdown(chat))}>
            Export as Markdown
          </button>
          <button type="button" onClick={() => download(fileName(chat.title, "json"), "application/json", toJson([chat]))}>
            Export as JSON
          </button>
          <button type="button" class="danger" onClick={() => setAsks("delete")}>
            Delete…
          </button>
        </Menu>
      )}
      {asks === "name" && <Rename chat={chat} onClose={close} />}
      {asks === "delete" && (
        <Confirm title="Delete this conversation?" yes="Delete" onYes={onDelete} onClose={close}>
          <p>“{chat.title}” will be gone from this browser. An answer that is being written is stopped.</p>
        </Confirm>
      )}
    </header>
  );
}

function Rename({ chat, onClose }: { chat: Chat; onClose: () => void }) {
  const [title, setTitle] = useState(chat.title);
  const submit = (event: Event) => {
    event.preventDefault();
    if (title.trim() === "") return;
    void rename(chat, title.trim());
    onClose();
  };
  return (
    <Dialog title="Rename the conversation" onClose={onClose}>
      <form onSubmit={submit}>
        <label for="title">Title</label>
        <input id="title" value={title} maxLength={120} autofocus onInput={(event) => setTitle(event.currentTarget.value)} />
        <div class="buttons end">
          <button type="button" onClick={onClose}>
            Not now
          </button>
          <button type="submit" class="primary" disabled={title.trim() === ""}>
            Rename
          </button>
        </div>
      </form>
    </Dialog>
  );
}
