// The official `openai` library for Node.js, unmodified and with its defaults.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ENDS, MODEL, SHORT, TOKEN, URL, until } from "./house.js";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: TOKEN });
const messages = [{ role: "user", content: "Say hello." }];
const Colour = z.object({ colour: z.enum(["red", "green"]) });

test("a stream says what the whole answer says", async () => {
  const asked = { model: MODEL, messages, temperature: 0, max_tokens: SHORT };
  const whole = await client.chat.completions.create(asked);
  const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
  const last = await stream.finalChatCompletion();
  assert.ok(whole.choices[0].message.content);
  assert.equal(last.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
});

test("an answer is parsed into a type, from chats and from responses", async () => {
  const chat = await client.chat.completions.parse({
    model: MODEL,
    messages: [{ role: "user", content: "Name a colour as JSON." }],
    response_format: zodResponseFormat(Colour, "colour"),
  });
  assert.match(chat.choices[0].message.parsed.colour, /red|green/);
  const response = await client.responses.parse({
    model: MODEL,
    input: "Name a colour as JSON.",
    text: { format: zodTextFormat(Colour, "colour") },
  });
  assert.match(response.output_parsed.colour, /red|green/);
});

test("a tool is called with arguments of its schema, and its result goes back", async () => {
  const cities = [];
  const weather = {
    name: "weather",
    description: "Tells the weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string", maxLength: 16 } }, required: ["city"] },
    function: ({ city }) => (cities.push(city), "Sunny."),
    parse: JSON.parse,
  };
  const runner = client.chat.completions.runTools({
    model: MODEL,
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    tools: [{ type: "function", function: weather }],
    tool_choice: { type: "function", function: { name: "weather" } },
  });
  await runner.done();
  assert.equal(typeof cities[0], "string");
  const answer = await client.chat.completions.create({ model: MODEL, messages: runner.messages, max_tokens: SHORT });
  assert.equal(answer.choices[0].message.role, "assistant");
});

test("what is wrong is an error of its class, with the field", async () => {
  const wrong = (body) => client.chat.completions.create({ model: MODEL, messages, ...body });
  await assert.rejects(wrong({ temperature: 9 }), (error) => {
    return error instanceof OpenAI.BadRequestError && error.param === "temperature";
  });
  await assert.rejects(wrong({ model: "gpt-4o" }), (error) => {
    return error instanceof OpenAI.NotFoundError && error.code === "model_not_found";
  });
  const stranger = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "wrong" });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("a full lane is a rate limit, and a retry gets in", async () => {
  await until(0, 0);
  const endless = await client.chat.completions.create({
    model: MODEL,
    messages,
    max_tokens: 1500,
    logit_bias: ENDS,
    stream: true,
  });
  const short = { model: MODEL, messages, max_tokens: 2 };
  const waiting = [client.chat.completions.create(short), client.chat.completions.create(short)];
  await until(1, 2);
  await assert.rejects(client.chat.completions.create(short, { maxRetries: 0 }), OpenAI.RateLimitError);
  setTimeout(() => endless.controller.abort(), 500);
  const answer = await client.chat.completions.create(short, { maxRetries: 20 });
  assert.ok(answer.usage.completion_tokens <= 2);
  await Promise.all(waiting);
  await until(0, 0);
});
