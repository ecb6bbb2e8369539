// The conversations: which there are, which one is open, and the answers that are being written. They live outside of the view, so
// that an answer goes on while its user looks at something else.
//
// Rules: ORCH-CON-5, ORCH-CON-8
import { useEffect, useState } from "preact/hooks";
import { uuid } from "../api";
import { failed } from "../store";
import * as keep from "./keep";
import { type Chat, DEFAULTS, type Head, type Settings, type Standing, headOf, isOpen } from "./types";

const SETTINGS = "llama-orch-chat";
const TITLE_CHARS = 60;

interface Chats {
  heads: Head[];
  /** Read once, so that the first look does not say that there are none. */
  ready: boolean;
  kept: boolean;
  /** Where an answer stands that has not begun. */
  standing: Map<string, Standing>;
}

let state: Chats = { heads: [], ready: false, kept: true, standing: new Map() };
/** Those that are open or being answered. */
const loaded = new Map<string, Chat>();
const listeners = new Set<() => void>();
const others = "BroadcastChannel" in globalThis ? new BroadcastChannel("llama-orch-chats") : null;

function changed(change: Partial<Chats> = {}): void {
  state = { ...state, ...change };
  listeners.forEach((listener) => listener());
}

export function useChats(): Chats {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

export const chatOf = (id: string): Chat | undefined => loaded.get(id);

export async function readAll(): Promise<void> {
  const [heads, kept] = [await keep.heads(), await keep.isKept()];
  changed({ heads, kept, ready: true });
}

/** Reads a conversation into the page. */
export async function open(id: string): Promise<Chat | undefined> {
  const known = loaded.get(id) ?? (await keep.read(id));
  if (known) loaded.set(id, known);
  changed();
  return known;
}

/** A conversation that is written down with its first question. */
export function create(kind: Chat["kind"]): Chat {
  const now = Date.now();
  const chat: Chat = { id: uuid(), kind, title: kind === "raw" ? "New text" : "New conversation", named: false, created: now, updated: now, session: uuid(), settings: lastSettings(), turns: [], text: "", last: null };
  loaded.set(chat.id, chat);
  return chat;
}

/** Redraws, and writes down where `save` says so. */
export async function touch(chat: Chat, save: boolean): Promise<void> {
  loaded.set(chat.id, chat);
  if (!save) return changed();
  chat.updated = Date.now();
  if (!chat.named) chat.title = titleOf(chat) || chat.title;
  changed({ heads: [headOf(chat), ...state.heads.filter(({ id }) => id !== chat.id)] });
  try {
    await keep.write(chat);
    others?.postMessage(chat.id);
  } catch (error) {
    failed(new Error(`this conversation is not kept: ${error instanceof Error ? error.message : String(error)}; delete others, or export it`));
  }
}

function titleOf(chat: Chat): string {
  const text = (chat.kind === "raw" ? chat.text : (chat.turns[0]?.question ?? "")).trim();
  const line = text.split("\n", 1)[0]!.trim();
  const characters = [...line];
  if (line === "") return chat.turns[0]?.images.length ? "Image" : "";
  return characters.length > TITLE_CHARS ? `${characters.slice(0, TITLE_CHARS - 1).join("").trimEnd()}…` : line;
}

export async function rename(chat: Chat, title: string): Promise<void> {
  chat.title = title;
  chat.named = true;
  await touch(chat, true);
}

export async function remove(ids: string[]): Promise<void> {
  for (const id of ids) loaded.delete(id);
  changed({ heads: state.heads.filter(({ id }) => !ids.includes(id)) });
  await keep.remove(ids).catch(failed);
  others?.postMessage(null);
}

export function setStanding(chat: string, standing: Standing | null): void {
  const all = new Map(state.standing);
  if (standing) all.set(chat, standing);
  else all.delete(chat);
  changed({ standing: all });
}

/** Whether an answer of it is being written. */
export function isBusy(chat: Chat | undefined): boolean {
  if (!chat) return false;
  return isOpen(chat.last?.answer) || chat.turns.some((turn) => turn.answers.some(isOpen));
}

/** The settings of a conversation, which the next new one begins with. */
export function setSettings(chat: Chat, settings: Settings): void {
  chat.settings = settings;
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing begins with the defaults.
  }
  void touch(chat, chat.turns.length > 0 || chat.text !== "");
}

function lastSettings(): Settings {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(SETTINGS) ?? "null");
    if (typeof kept !== "object" || kept === null) return { ...DEFAULTS };
    const known = Object.entries(kept).filter(([field, value]) => field in DEFAULTS && typeof value === "string");
    return { ...DEFAULTS, ...Object.fromEntries(known) };
  } catch {
    return { ...DEFAULTS };
  }
}

others?.addEventListener("message", async ({ data }: MessageEvent<string | null>) => {
  // Another tab has changed one: what is being answered here counts, everything else is read anew.
  const mine = data === null ? undefined : loaded.get(data);
  if (data !== null && mine && !isBusy(mine)) {
    const theirs = await keep.read(data);
    if (theirs) loaded.set(data, theirs);
  }
  await readAll();
});
