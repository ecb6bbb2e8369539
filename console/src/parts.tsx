// Small things that several views are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export type Tone = "good" | "busy" | "warn" | "bad" | "off";

export function Chip({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`chip ${tone}`}>
      <i aria-hidden="true" />
      {children}
    </span>
  );
}

export function Panel(props: { title: string; note?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; id?: string }) {
  return (
    <section class="panel" aria-label={props.title} {...(props.id ? { id: props.id } : {})}>
      <header>
        <h2>{props.title}</h2>
        {props.note !== undefined && <span class="note">{props.note}</span>}
        {props.actions && <div class="actions">{props.actions}</div>}
      </header>
      {props.children}
    </section>
  );
}

export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <strong>{title}</strong>
    {children && <p>{children}</p>}
  </div>
);

export function Meter({ share, label, tone }: { share: number; label: string; tone?: "warn" | "bad" }) {
  const shown = Math.max(0, Math.min(1, share));
  return (
    <div class={`meter ${tone ?? ""}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(shown * 100)}>
      <div style={{ width: `${shown * 100}%` }} />
    </div>
  );
}

/** What the daemon says, with what stands between backticks as it is typed. */
export function Said({ text }: { text: string }) {
  return (
    <>
      {text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}
    </>
  );
}

/** Slots as squares: taken and free. */
export function Slots({ busy, slots }: { busy: number; slots: number }) {
  return (
    <span class="slots" role="img" aria-label={`${busy} of ${slots} slots busy`}>
      {Array.from({ length: Math.min(slots, 32) }, (_, i) => (
        <i key={i} class={i < busy ? "on" : ""} />
      ))}
    </span>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => () => clearTimeout(timer.current ?? undefined), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the right to the clipboard, or over plain HTTP: the old way.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    timer.current = setTimeout(() => setDone(false), 1600);
  };
  return (
    <button type="button" class="quiet copy" onClick={copy} aria-live="polite">
      {done ? "Copied" : label}
    </button>
  );
}

/** A line through samples of 0 to `top`, the newest at the right edge. */
export function Spark(props: { samples: (number | null)[]; room: number; top: number; label: string; kind?: "load" | "memory" }) {
  const { samples, room, top } = props;
  const at = (value: number, i: number): [number, number] => [((room - samples.length + i) / (room - 1)) * 100, 28 - (Math.min(value, top) / top) * 26];
  const points = samples.flatMap((value, i) => (value === null ? [] : [at(value, i)]));
  const line = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
  const area = points.length > 1 ? `${line}L100 30L${points[0]![0].toFixed(2)} 30Z` : "";
  return (
    <svg class={`spark ${props.kind ?? "load"}`} viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={props.label}>
      <path class="grid" d="M0 2H100M0 15H100" />
      {area && <path class="area" d={area} />}
      {points.length > 1 && <path class="line" d={line} />}
    </svg>
  );
}

/** A dialog of the browser's own, which keeps the focus and closes with Escape. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="dialog-title" onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <div class="inside">
        <h2 id="dialog-title">{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

/** Asks before something that cannot be taken back. Focus is on the way out. */
export function Confirm(props: { title: string; yes: string; no?: string; onYes: () => void; onClose: () => void; children: ComponentChildren }) {
  const accept = () => {
    props.onClose();
    props.onYes();
  };
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="question">{props.children}</div>
      <div class="buttons end">
        <button type="button" onClick={props.onClose} autofocus>
          {props.no ?? "Not now"}
        </button>
        <button type="button" class="serious" onClick={accept}>
          {props.yes}
        </button>
      </div>
    </Dialog>
  );
}

/** Buttons behind a button. Closes when one is used, with Escape, and when the focus goes elsewhere. */
export function Menu({ label, children }: { label: string; children: ComponentChildren }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = () => menu.current?.removeAttribute("open");
  return (
    <details
      ref={menu}
      class="menu"
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !menu.current?.open) return;
        event.stopPropagation();
        close();
        menu.current.querySelector("summary")?.focus();
      }}
      onFocusOut={(event) => !menu.current?.contains(event.relatedTarget as Node | null) && event.relatedTarget !== null && close()}
    >
      <summary aria-label={label} title={label}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
          <path d="M3 8h.01M8 8h.01M13 8h.01" />
        </svg>
      </summary>
      <div class="items" onClick={close}>
        {children}
      </div>
    </details>
  );
}
