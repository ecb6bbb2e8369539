// What stands around every view: where one can go, how the daemon is, what has just happened.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { logOut } from "./api";
import { Chip, Said, type Tone } from "./parts";
import type { Route } from "./router";
import { dismiss, look, signedOut, useStore } from "./store";
import { type Theme, applyTheme, theme } from "./theme";
import type { Health } from "./wire";

const VIEWS = [
  { view: "live", name: "Live" },
  { view: "chat", name: "Chat" },
  { view: "models", name: "Models" },
  { view: "activity", name: "Activity" },
  { view: "connect", name: "Connect" },
] as const;

const STATUS: Record<Health["status"], [Tone, string]> = {
  ok: ["good", "Serving"],
  starting: ["busy", "Starting"],
  unavailable: ["bad", "No pool can serve"],
  stopping: ["warn", "Stopping"],
};
const THEMES: Record<Theme, [Theme, string]> = {
  system: ["light", "Theme: as the system"],
  light: ["dark", "Theme: light"],
  dark: ["system", "Theme: dark"],
};
const GLYPHS: Record<Theme, string> = {
  system: "M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 0 0 0-11.6",
  light: "M8 4.6a3.4 3.4 0 1 0 0 6.8a3.4 3.4 0 0 0 0-6.8M8 .8v1.7M8 13.5v1.7M.8 8h1.7M13.5 8h1.7M2.9 2.9l1.2 1.2M11.9 11.9l1.2 1.2M2.9 13.1l1.2-1.2M11.9 4.1l1.2-1.2",
  dark: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z",
};

export function Shell({ route, children }: { route: Route; children: ComponentChildren }) {
  const { health, trouble, notices } = useStore();
  const [chosen, setChosen] = useState(theme);
  useEffect(() => {
    const name = VIEWS.find(({ view }) => view === route.view)?.name ?? "Task";
    document.title = `${name} · llama-orch`;
  }, [route.view]);
  const leave = async () => {
    await logOut().catch(() => undefined);
    signedOut();
  };
  const [tone, status] = trouble ? (["bad", "Not reached"] as const) : health ? STATUS[health.status] : (["busy", "Asking"] as const);
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), document.getElementById("content")?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/live">
          <img src="/console/icon.svg" alt="" width="22" height="22" />
          <span>llama-orch</span>
        </a>
        <nav aria-label="Views">
          {VIEWS.map(({ view, name }) => (
            <a key={view} href={`#/${view}`} aria-current={route.view === view || (view === "live" && route.view === "task") ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="right">
          <span role="status">
            <Chip tone={tone}>{status}</Chip>
          </span>
          {health?.version && <span class="version">{health.version}</span>}
          <button
            type="button"
            class="icon"
            aria-label={THEMES[chosen][1]}
            title={THEMES[chosen][1]}
            onClick={() => {
              const next = THEMES[chosen][0];
              applyTheme(next);
              setChosen(next);
            }}
          >
            <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
              <path d={GLYPHS[chosen]} />
              {chosen === "system" && <path class="full" d="M8 2.2a5.8 5.8 0 0 1 0 11.6z" />}
            </svg>
          </button>
          <button type="button" class="quiet" onClick={leave}>
            Log out
          </button>
        </div>
      </header>
      {trouble && (
        <div class="banner" role="alert">
          <span>
            <Said text={`${trouble.charAt(0).toUpperCase()}${trouble.slice(1)}${/[.?!]$/.test(trouble) ? "" : "."}`} /> What you see is from the last answer; it is asked again every second.
          </span>
          <button type="button" class="quiet" onClick={() => look()}>
            Ask now
          </button>
        </div>
      )}
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <div class="notices" aria-live="polite">
        {notices.map((notice) => (
          <div key={notice.id} class={`notice ${notice.kind}`}>
            <span>
              <Said text={notice.text} />
            </span>
            <button type="button" class="icon" aria-label="Dismiss" onClick={() => dismiss(notice.id)}>
              ×
            </button>
          </div>
        ))}
      </div>
    </>
  );
}
