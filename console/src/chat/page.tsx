// Conversations with any model, in any lane, with the times of every token.
//
// Rules: ORCH-CON-5, ORCH-CON-8
import "./chat.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { modelName } from "../format";
import { Confirm, Said } from "../parts";
import { useStore } from "../store";
import type { Pool } from "../wire";
import { uuid } from "../api";
import { abandon, answer, stop, takeUp } from "./answer";
import { chatOf, create, isBusy, open, readAll, remove, setSettings, touch, useChats } from "./chats";
import { Composer } from "./composer";
import { ChatHeader, type Shown } from "./header";
import { ChatList } from "./list";
import { RawText } from "./raw";
import { wrongWith } from "./request";
import { SettingsPanel } from "./settings";
import { Exchange } from "./turn";
import type { Chat, Turn } from "./types";

/** The page sticks to its end while an answer grows, unless its reader has gone up. */
const NEAR_END_PX = 120;

export function ChatPage({ id }: { id?: string }) {
  const chats = useChats();
  const [fresh, setFresh] = useState(() => create("chat"));
  const [missing, setMissing] = useState(false);
  useEffect(() => void readAll(), []);
  useEffect(() => {
    setMissing(false);
    if (id === undefined) {
      if (fresh.turns.length > 0 || fresh.text !== "") setFresh(create("chat"));
      return;
    }
    let left = false;
    void open(id).then((chat) => {
      if (left) return;
      if (chat) takeUp(chat);
      else setMissing(true);
    });
    return () => void (left = true);
  }, [id]);
  const chat = id === undefined ? fresh : chatOf(id);
  const [shown, setShown] = useState(() => ({ list: matchMedia("(min-width: 60rem)").matches, settings: matchMedia("(min-width: 80rem)").matches }));
  return (
    <div class={`playground${shown.list ? " with-list" : ""}${shown.settings ? " with-settings" : ""}`}>
      {shown.list && <ChatList current={id ?? ""} />}
      {missing ? (
        <section class="chat">
          <div class="hello">
            <h2>This conversation is not in this browser.</h2>
            <p>
              It was deleted, or is kept in another one. <a href="#/chat">Begin a new one</a>.
            </p>
          </div>
        </section>
      ) : chat ? (
        <Conversation key={chat.id} chat={chat} isNew={id === undefined} standing={chats.standing.get(chat.id)} shown={shown} onShow={setShown} />
      ) : (
        <div class="wait" role="status" aria-label="Loading" />
      )}
    </div>
  );
}

interface Props {
  chat: Chat;
  isNew: boolean;
  standing: ReturnType<typeof useChats>["standing"] extends Map<string, infer S> ? S | undefined : never;
  shown: Shown;
  onShow: (shown: Shown) => void;
}

function Conversation({ chat, isNew, standing, shown, onShow }: Props) {
  const { health } = useStore();
  const pools = health?.pools ?? [];
  const pool = pools.find(({ id }) => id === chat.settings.pool) ?? pools.find((one) => one.model_state === "Active");
  const [cutting, setCutting] = useState<{ turn: Turn; question: string } | null>(null);
  const wrong = wrongWith(chat.settings);
  const busy = isBusy(chat);
  useStickToEnd(chat);
  const enter = () => isNew && history.replaceState(null, "", `#/chat/${chat.id}`) === undefined && dispatchEvent(new HashChangeEvent("hashchange"));
  const send = (question: string, images: string[]) => {
    const turn: Turn = { id: uuid(), question, images, answers: [], chosen: 0 };
    chat.turns = [...chat.turns, turn];
    void answer(chat, turn);
    enter();
  };
  const edit = (turn: Turn, question: string, sure: boolean) => {
    const at = chat.turns.indexOf(turn);
    if (at < chat.turns.length - 1 && !sure) return setCutting({ turn, question });
    const edited: Turn = { id: uuid(), question, images: turn.images, answers: [], chosen: 0 };
    chat.turns = [...chat.turns.slice(0, at), edited];
    void answer(chat, edited);
  };
  const drop = async () => {
    abandon(chat);
    await remove([chat.id]);
    location.hash = "#/chat";
  };
  return (
    <>
      <section class="chat" aria-label="Conversation">
        <ChatHeader chat={chat} isNew={isNew} pools={pools} shown={shown} onShow={onShow} onDelete={drop} />
        {chat.kind === "raw" ? (
          <RawText chat={chat} standing={standing} onFirst={enter} wrong={wrong} />
        ) : (
          <>
            <div class="turns">
              {chat.turns.length === 0 && <Hello chat={chat} {...(pool ? { pool } : {})} />}
              {chat.turns.map((turn, i) => (
                <Exchange
                  key={turn.id}
                  turn={turn}
                  isLast={i === chat.turns.length - 1}
                  busy={busy}
                  standing={standing}
                  onEdit={(question) => edit(turn, question, false)}
                  onAgain={() => void answer(chat, turn)}
                  onChoose={(chosen) => {
                    turn.chosen = chosen;
                    void touch(chat, true);
                  }}
                />
              ))}
            </div>
            {wrong && (
              <p class="problem">
                <Said text={wrong} />
              </p>
            )}
            <Composer chat={chat.id} busy={busy || wrong !== null} sees={pool?.model?.images === true} onSend={send} onStop={() => stop(chat)} />
          </>
        )}
      </section>
      {shown.settings && <SettingsPanel settings={chat.settings} kind={chat.kind} onChange={(settings) => setSettings(chat, settings)} />}
      {cutting && (
        <Confirm title="Edit an earlier message?" yes="Edit and send" onYes={() => edit(cutting.turn, cutting.question, true)} onClose={() => setCutting(null)}>
          <p>The conversation goes on from there: what came after it is deleted.</p>
        </Confirm>
      )}
    </>
  );
}

/** What a new conversation begins with. */
function Hello({ chat, pool }: { chat: Chat; pool?: Pool }) {
  const isBase = pool?.model?.chat_template === false;
  const become = (kind: Chat["kind"]) => {
    chat.kind = kind;
    void touch(chat, false);
  };
  return (
    <div class="hello">
      <h2>{isBase ? "This model continues texts." : "Ask the model something."}</h2>
      {isBase ? (
        <p>{modelName(pool.model!.name)} has no chat template. Give it a text to go on from.</p>
      ) : (
        <p>You will see where you stand in the queue, when it starts, and the time of every token.</p>
      )}
      <p>
        <button type="button" id="raw" class={isBase ? "primary" : "quiet"} onClick={() => become("raw")}>
          Continue a raw text instead
        </button>
      </p>
    </div>
  );
}

function useStickToEnd(chat: Chat): void {
  const sticks = useRef(true);
  useEffect(() => {
    const scrolled = () => (sticks.current = innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_END_PX);
    addEventListener("scroll", scrolled, { passive: true });
    return () => removeEventListener("scroll", scrolled);
  }, []);
  useEffect(() => {
    sticks.current = true;
  }, [chat.turns.length]);
  useEffect(() => {
    if (sticks.current && chat.turns.length > 0) scrollTo(0, document.documentElement.scrollHeight);
  });
}
