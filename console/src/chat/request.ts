// What is sent for an answer: a task, or a chat completion where the conversation has images, which only that endpoint takes.
import { type Chat, type Settings, type Turn, chosenOf } from "./types";

/** The fields that are numbers, with the daemon's limits. */
export const NUMBERS = [
  { field: "max_tokens", name: "Max tokens", min: 1, max: 1048576, step: 1 },
  { field: "temperature", name: "Temperature", min: 0, max: 5, step: 0.05 },
  { field: "top_p", name: "Top p", min: 0.01, max: 1, step: 0.01 },
  { field: "top_k", name: "Top k", min: 0, max: 1000000, step: 1 },
  { field: "min_p", name: "Min p", min: 0, max: 1, step: 0.01 },
  { field: "repeat_penalty", name: "Repeat penalty", min: 0.01, max: 10, step: 0.01 },
] as const;

const STOPS = 16;

/** What is wrong with the settings, for the person who set them; nothing where all is well. */
export function wrongWith(settings: Settings): string | null {
  for (const { field, name, min, max } of NUMBERS) {
    const text = settings[field].trim();
    const value = Number(text);
    if (text !== "" && !(value >= min && value <= max)) return `${name} is \`${text}\`: use ${min} to ${max}, or leave it empty`;
  }
  const seed = settings.seed.trim();
  if (seed !== "" && !/^\d{1,20}$/.test(seed)) return `Seed is \`${seed}\`: use a whole number, or leave it empty`;
  if (stopsOf(settings).length > STOPS) return `Stop texts are ${stopsOf(settings).length}: use ${STOPS} at most`;
  return schemaOf(settings).wrong;
}

const stopsOf = (settings: Settings) => settings.stop.split("\n").filter((line) => line !== "");

function schemaOf(settings: Settings): { schema?: object; wrong: string | null } {
  if (settings.json_schema.trim() === "") return { wrong: null };
  try {
    const schema: unknown = JSON.parse(settings.json_schema);
    if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return { schema, wrong: null };
  } catch {
    // Said below.
  }
  return { wrong: "JSON schema is no JSON object: write one like `{\"type\": \"object\"}`, or leave it empty" };
}

const number = (text: string) => (text.trim() === "" ? undefined : Number(text));

/** Only what is set, so that the defaults of the model count for everything else. */
function set(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0)));
}

function samplingOf(settings: Settings): Record<string, unknown> {
  const { temperature, top_p, top_k, min_p, repeat_penalty } = settings;
  return set({ temperature: number(temperature), top_p: number(top_p), top_k: number(top_k), min_p: number(min_p), repeat_penalty: number(repeat_penalty), stop: stopsOf(settings) });
}

/** A JSON number with all its digits: a seed may be larger than what a double holds. */
function withSeed(body: object, seed: string): string {
  const text = JSON.stringify(body);
  return seed.trim() === "" ? text : `${text.slice(0, -1)},"seed":${BigInt(seed.trim())}}`;
}

/** A turn without an answer is left out: templates want questions and answers by turns. */
const answered = (turns: Turn[]) => turns.filter((turn) => (chosenOf(turn)?.text ?? "") !== "");

function taskOf(chat: Chat, input: object): string {
  const { settings } = chat;
  const { schema } = schemaOf(settings);
  const sampling = set({ ...samplingOf(settings), json_schema: schema });
  const body = {
    session_id: chat.session,
    ...(settings.pool ? { model_ref: settings.pool } : {}),
    priority: settings.priority,
    ...input,
    ...set({ max_tokens: number(settings.max_tokens), sampling: Object.keys(sampling).length ? sampling : undefined }),
  };
  return withSeed(body, settings.seed);
}

/** The task that answers the last of `turns`. */
export function chatTask(chat: Chat, turns: Turn[]): string {
  const asked = turns[turns.length - 1]!;
  const system = chat.settings.system.trim() === "" ? [] : [{ role: "system", content: chat.settings.system }];
  const before = answered(turns.slice(0, -1)).flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: chosenOf(turn)!.text },
  ]);
  return taskOf(chat, { messages: [...system, ...before, { role: "user", content: asked.question }] });
}

/** The task that continues a text. */
export const rawTask = (chat: Chat, text: string): string => taskOf(chat, { prompt: text });

/** The chat completion that answers the last of `turns`, with their images. */
export function chatCompletion(chat: Chat, turns: Turn[], model: string): string {
  const { settings } = chat;
  const asked = turns[turns.length - 1]!;
  const content = (turn: Turn) =>
    turn.images.length === 0 ? turn.question : [...turn.images.map((url) => ({ type: "image_url", image_url: { url } })), ...(turn.question === "" ? [] : [{ type: "text", text: turn.question }])];
  const system = settings.system.trim() === "" ? [] : [{ role: "system", content: settings.system }];
  const before = answered(turns.slice(0, -1)).flatMap((turn) => [
    { role: "user", content: content(turn) },
    { role: "assistant", content: chosenOf(turn)!.text },
  ]);
  const { schema } = schemaOf(settings);
  const body = {
    model: settings.priority === "batch" ? `${model}@batch` : model,
    session_id: chat.session,
    messages: [...system, ...before, { role: "user", content: content(asked) }],
    stream: true,
    stream_options: { include_usage: true },
    ...set({ max_tokens: number(settings.max_tokens), ...samplingOf(settings) }),
    ...(schema ? { response_format: { type: "json_schema", json_schema: { name: "answer", schema } } } : {}),
  };
  return withSeed(body, settings.seed);
}

/** Whether what would be sent for the last of `turns` holds an image. */
export const hasImages = (turns: Turn[]): boolean => [...answered(turns.slice(0, -1)), ...turns.slice(-1)].some((turn) => turn.images.length > 0);
