// A text that the model continues as it stands, without a chat template: for base models, and to see what a template does.
//
// Rules: ORCH-CON-11
import { count, rate, span } from "../format";
import { Copy, Said } from "../parts";
import { continueText, stop } from "./answer";
import { touch } from "./chats";
import { textOf } from "./export";
import { StandingLine } from "./turn";
import { type Chat, type Standing, isOpen } from "./types";

const SAVE_MS = 500;
let saving: ReturnType<typeof setTimeout> | undefined;

export function RawText({ chat, standing, onFirst, wrong }: { chat: Chat; standing: Standing | undefined; onFirst: () => void; wrong: string | null }) {
  const last = chat.last?.answer;
  const busy = isOpen(last);
  const text = textOf(chat);
  const edit = (next: string) => {
    chat.text = next;
    chat.last = null;
    void touch(chat, false);
    onFirst();
    clearTimeout(saving);
    saving = setTimeout(() => void touch(chat, true), SAVE_MS);
  };
  const go = (event?: Event) => {
    event?.preventDefault();
    if (busy || text === "" || wrong) return;
    onFirst();
    void continueText(chat);
  };
  const undo = () => edit(chat.text.slice(0, chat.last?.from));
  const retry = () => {
    chat.text = chat.text.slice(0, chat.last?.from);
    chat.last = null;
    go();
  };
  const end = last?.end;
  return (
    <form class="raw" onSubmit={go}>
      <label for="raw-text">Text that the model continues, without a chat template</label>
      <textarea
        id="raw-text"
        value={text}
        readOnly={busy}
        rows={18}
        spellcheck={false}
        placeholder="Once upon a time"
        onInput={(event) => edit(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go(event);
          if (event.key === "Escape" && busy) stop(chat);
        }}
      />
      <div aria-live="polite" class="raw-state">
        {busy && standing && last && <StandingLine standing={standing} pool={last.pool} />}
        {(last?.problem ?? end?.error?.message) && (
          <p class="problem" role="alert">
            <Said text={(last?.problem ?? end?.error?.message)!} />
          </p>
        )}
        {end && !end.error && (
          <p class="dim small num">
            {count(end.tokens_out)} tokens{end.decode_ms > 0 && ` at ${rate((Math.max(0, end.tokens_out - 1) * 1000) / end.decode_ms)}/s`} · prompt {count(end.tokens_in)} · waited {span(end.queue_ms)}
          </p>
        )}
      </div>
      <div class="buttons">
        {busy ? (
          <button type="button" id="stop" onClick={() => stop(chat)}>
            Stop
          </button>
        ) : (
          <button type="submit" id="continue" class="primary" disabled={text === "" || wrong !== null} title="Ctrl+Enter">
            Continue
          </button>
        )}
        <button type="button" onClick={retry} disabled={busy || chat.last === null}>
          Retry
        </button>
        <button type="button" onClick={undo} disabled={busy || chat.last === null}>
          Undo
        </button>
        {text !== "" && <Copy text={text} label="Copy text" />}
      </div>
    </form>
  );
}
