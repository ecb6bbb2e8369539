// The official `ollama` library for JavaScript, unmodified: the daemon is where `OLLAMA_HOST` says.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Ollama } from "ollama";

const MODEL = "default";
const SHORT = { num_predict: 16, temperature: 0 };
// The library reads `OLLAMA_HOST` in its command line alone.
const client = () => new Ollama({ host: process.env.OLLAMA_HOST });
const turn = (content) => [{ role: "user", content }];

async function collected(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

describe("models", () => {
  it("are listed, shown and loaded", async () => {
    const { models } = await client().list();
    assert.deepEqual(models.map((model) => model.name), ["default:latest"]);
    const shown = await client().show({ model: MODEL });
    assert.ok(shown.capabilities.includes("completion"));
    assert.match((await client().version()).version, /^\d+\.\d+\.\d+$/);
    assert.equal((await client().generate({ model: MODEL, prompt: "" })).done_reason, "load");
    assert.equal((await client().ps()).models[0].digest, models[0].digest);
  });

  it("that are served are pulled at once", async () => {
    assert.equal((await client().pull({ model: MODEL })).status, "success");
  });
});

describe("answers", () => {
  it("say the same as a stream and whole", async () => {
    const asked = { model: MODEL, messages: turn("Say hello."), options: SHORT, keep_alive: "5m" };
    const whole = await client().chat(asked);
    assert.ok(whole.message.content);
    const pieces = await collected(await client().chat({ ...asked, stream: true }));
    assert.equal(pieces.map((piece) => piece.message.content).join(""), whole.message.content);
    assert.ok(pieces.at(-1).done && pieces.at(-1).eval_count > 0);
  });

  it("have the form that is asked for", async () => {
    const format = { type: "object", properties: { answer: { enum: ["yes", "no"] } }, required: ["answer"] };
    const answer = await client().chat({ model: MODEL, messages: turn("Yes or no?"), format, options: { num_predict: 64 } });
    assert.ok(["yes", "no"].includes(JSON.parse(answer.message.content).answer));
  });

  it("end when their client leaves", async () => {
    const leaving = client();
    const options = { num_predict: 1500 };
    const stream = await leaving.generate({ model: MODEL, prompt: "1 2 3 4 5 6 7 8", raw: true, stream: true, options });
    await assert.rejects(async () => {
      for await (const _ of stream) leaving.abort();
    }, { name: "AbortError" });
  });
});

describe("refusals", () => {
  it("name the model that is not served", async () => {
    const asked = client().chat({ model: "llama3.2", messages: turn("Hello") });
    await assert.rejects(asked, { status_code: 404, message: /^model 'llama3\.2' not found/ });
  });
});
