// Conversations as files.
import { type Answer, type Chat, chosenOf } from "./types";

const FORMAT = 1;

/** Everything of a conversation, for programs. */
export function toJson(chats: Chat[]): string {
  const answerOf = ({ text, reasoning, calls, pool, asked_at, end, problem }: Answer) => ({ text, reasoning, tool_calls: calls, pool, asked_at: new Date(asked_at).toISOString(), end, problem });
  const conversations = chats.map((chat) => ({
    id: chat.id,
    kind: chat.kind,
    title: chat.title,
    created: new Date(chat.created).toISOString(),
    updated: new Date(chat.updated).toISOString(),
    settings: chat.settings,
    ...(chat.kind === "raw" ? { text: textOf(chat) } : { turns: chat.turns.map(({ question, images, answers, chosen }) => ({ question, images, answers: answers.map(answerOf), chosen })) }),
  }));
  return `${JSON.stringify({ format: FORMAT, conversations }, null, 2)}\n`;
}

/** A fence that is longer than any in the text. */
function fenced(text: string, language = ""): string {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** A conversation as a person reads it: the answers that are shown. */
export function toMarkdown(chat: Chat): string {
  if (chat.kind === "raw") return `# ${chat.title}\n\n${fenced(textOf(chat))}\n`;
  const parts = [`# ${chat.title}`];
  if (chat.settings.system.trim() !== "") parts.push("## System", chat.settings.system.trim());
  for (const turn of chat.turns) {
    parts.push("## You", ...(turn.images.length ? [`(${turn.images.length === 1 ? "1 image" : `${turn.images.length} images`})`] : []), turn.question);
    const answer = chosenOf(turn);
    if (!answer) continue;
    parts.push(`## ${answer.pool || "Model"}`);
    if (answer.reasoning.trim() !== "") parts.push(`<details><summary>Reasoning</summary>\n\n${answer.reasoning.trim()}\n\n</details>`);
    if (answer.text.trim() !== "") parts.push(answer.text.trim());
    for (const call of answer.calls) parts.push(`Tool call \`${call.name}\``, fenced(call.arguments, "json"));
    if (answer.problem) parts.push(`> ${answer.problem}`);
  }
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

export const textOf = (chat: Chat): string => chat.text + (chat.last?.answer.text ?? "");

/** Offers a file to the person's browser. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A title as a file's name. */
export function fileName(title: string, ending: string): string {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").toLowerCase().slice(0, 48);
  return `${name || "conversation"}.${ending}`;
}
