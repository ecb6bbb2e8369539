// Where a message is written. Images come from files, the clipboard, or by being dropped here.
import { useEffect, useRef, useState } from "preact/hooks";
import { IMAGES, dataUrl, isImage } from "../images";
import { failed } from "../store";

/** What was being written in each conversation, for who comes back to it. */
const drafts = new Map<string, { text: string; images: string[] }>();

interface Props {
  chat: string;
  busy: boolean;
  /** Whether the model takes images. */
  sees: boolean;
  onSend: (question: string, images: string[]) => void;
  onStop: () => void;
}

export function Composer({ chat, busy, sees, onSend, onStop }: Props) {
  const [draft, keepDraft] = useState(() => drafts.get(chat) ?? { text: "", images: [] });
  const [over, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  // Not where that would open a keyboard over the conversation.
  useEffect(() => void (matchMedia("(hover: hover)").matches && area.current?.focus({ preventScroll: true })), []);
  const setDraft = (next: { text: string; images: string[] }) => {
    drafts.set(chat, next);
    keepDraft(next);
  };
  const attach = async (chosen: Iterable<File>) => {
    const images = [...draft.images];
    for (const file of [...chosen].filter(isImage)) {
      if (images.length === IMAGES) {
        failed(new Error(`a message holds ${IMAGES} images at most`));
        break;
      }
      await dataUrl(file).then((url) => images.push(url), failed);
    }
    const now = drafts.get(chat) ?? draft;
    setDraft({ ...now, images });
  };
  const send = (event?: Event) => {
    event?.preventDefault();
    const question = draft.text.trim();
    if ((question === "" && draft.images.length === 0) || busy) return;
    drafts.delete(chat);
    keepDraft({ text: "", images: [] });
    onSend(question, draft.images);
  };
  return (
    <form
      class={over ? "composer over" : "composer"}
      onSubmit={send}
      onDragOver={(event) => sees && (event.preventDefault(), setOver(true))}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        if (!sees) return;
        event.preventDefault();
        setOver(false);
        void attach(event.dataTransfer?.files ?? []);
      }}
    >
      {draft.images.length > 0 && (
        <div class="images">
          {draft.images.map((url, i) => (
            <button key={i} type="button" aria-label={`Remove image ${i + 1}`} title="Remove" onClick={() => setDraft({ ...draft, images: draft.images.filter((_, at) => at !== i) })}>
              <img src={url} alt="" />
            </button>
          ))}
        </div>
      )}
      <label class="sr" for="question">
        Your message
      </label>
      <textarea
        id="question"
        ref={area}
        value={draft.text}
        rows={2}
        placeholder="Write a message. Enter sends, Shift+Enter makes a new line."
        onInput={(event) => setDraft({ ...draft, text: event.currentTarget.value })}
        onPaste={(event) => {
          const pasted = [...(event.clipboardData?.files ?? [])].filter(isImage);
          if (pasted.length === 0 || !sees) return;
          event.preventDefault();
          void attach(pasted);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
          if (event.key === "Escape" && busy) onStop();
        }}
      />
      <div class="buttons">
        {sees ? (
          <>
            <input ref={files} id="image-files" type="file" accept="image/*" multiple hidden onChange={(event) => void attach(event.currentTarget.files ?? []).then(() => files.current && (files.current.value = ""))} />
            <button type="button" class="quiet" onClick={() => files.current?.click()}>
              Add an image
            </button>
          </>
        ) : (
          <span />
        )}
        {busy ? (
          <button type="button" id="stop" onClick={onStop}>
            Stop
          </button>
        ) : (
          <button type="submit" id="send" class="primary" disabled={draft.text.trim() === "" && draft.images.length === 0}>
            Send
          </button>
        )}
      </div>
    </form>
  );
}
