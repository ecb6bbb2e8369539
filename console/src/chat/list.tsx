// The conversations that this browser keeps.
import { useState } from "preact/hooks";
import { Confirm } from "../parts";
import { readAll, remove, useChats } from "./chats";
import { download, toJson } from "./export";
import * as keep from "./keep";

/** From so many on they can be searched. */
const SEARCHED = 8;
const DAY_MS = 86_400_000;

function when(at: number): string {
  const date = new Date(at);
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (at >= midnight) return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (at >= midnight - 6 * DAY_MS) return date.toLocaleDateString([], { weekday: "short" });
  return date.toLocaleDateString([], { day: "numeric", month: "short", year: date.getFullYear() === new Date().getFullYear() ? undefined : "2-digit" });
}

export function ChatList({ current }: { current: string }) {
  const { heads, kept, ready, standing } = useChats();
  const [filter, setFilter] = useState("");
  const [deleting, setDeleting] = useState(false);
  const wanted = filter.trim().toLowerCase();
  const shown = heads.filter(({ title }) => title.toLowerCase().includes(wanted));
  const removeAll = async () => {
    await remove(heads.map(({ id }) => id));
    location.hash = "#/chat";
    await readAll();
  };
  return (
    <nav class="chats panel" aria-label="Conversations">
      <a class="button primary" id="new-chat" href="#/chat">
        New conversation
      </a>
      {heads.length >= SEARCHED && <input type="search" aria-label="Search the titles" placeholder="Search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
      {ready && heads.length === 0 && <p class="dim small none">Conversations appear here.</p>}
      {heads.length > 0 && shown.length === 0 && <p class="dim small none">No title has that in it.</p>}
      <ul>
        {shown.map(({ id, title, updated, kind }) => (
          <li key={id}>
            <a href={`#/chat/${id}`} aria-current={id === current ? "page" : undefined} title={title}>
              <span class="ellipsis">{title}</span>
              <small>
                {standing.has(id) ? "waits" : when(updated)}
                {kind === "raw" && " · raw prompt"}
              </small>
            </a>
          </li>
        ))}
      </ul>
      <footer class="small dim">
        <p>{kept ? "Kept in this browser and nowhere else." : "This browser keeps nothing: they are gone when you close the page."}</p>
        {heads.length > 0 && (
          <div class="buttons">
            <button type="button" class="quiet" onClick={async () => download("conversations.json", "application/json", toJson(await keep.all()))}>
              Export all
            </button>
            <button type="button" class="quiet danger" onClick={() => setDeleting(true)}>
              Delete all
            </button>
          </div>
        )}
      </footer>
      {deleting && (
        <Confirm title="Delete all conversations?" yes={`Delete ${heads.length}`} onYes={removeAll} onClose={() => setDeleting(false)}>
          <p>{heads.length === 1 ? "The one conversation" : `All ${heads.length} conversations`} of this browser will be gone. Export them first to keep them.</p>
        </Confirm>
      )}
    </nav>
  );
}
