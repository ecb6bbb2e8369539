// The AI SDK with its providers for OpenAI, for servers like it, and for Anthropic, unmodified and with their defaults.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, SHORT, TOKEN, URL } from "./house.js";

const baseURL = `${URL}/v1`;
const providers = {
  "@ai-sdk/openai": createOpenAI({ baseURL, apiKey: TOKEN }),
  "@ai-sdk/openai, chat": createOpenAI({ baseURL, apiKey: TOKEN }).chat,
  // It asks for JSON without the schema unless it is told that the server takes one.
  "@ai-sdk/openai-compatible": createOpenAICompatible({
    name: "llama-orch",
    baseURL,
    apiKey: TOKEN,
    supportsStructuredOutputs: true,
  }),
  "@ai-sdk/anthropic": createAnthropic({ baseURL, apiKey: TOKEN }),
};

for (const [name, provider] of Object.entries(providers)) {
  describe(name, () => {
    test("a stream says what the whole answer says", async () => {
      const asked = { model: provider(MODEL), prompt: "Say hello.", temperature: 0, maxOutputTokens: SHORT };
      const whole = await generateText(asked);
      const stream = streamText(asked);
      let text = "";
      for await (const part of stream.textStream) text += part;
      assert.ok(whole.text);
      assert.equal(text, whole.text);
      assert.equal(await stream.finishReason, whole.finishReason);
    });

    test("a tool is called, and the model reads its result", async () => {
      const cities = [];
      const weather = tool({
        description: "Tells the weather of a city.",
        inputSchema: z.object({ city: z.string().max(16) }),
        execute: async ({ city }) => (cities.push(city), "Sunny."),
      });
      const answer = await generateText({
        model: provider(MODEL),
        prompt: "What is the weather in Rome?",
        tools: { weather },
        toolChoice: "required",
        prepareStep: ({ stepNumber }) => (stepNumber > 0 ? { toolChoice: "auto" } : {}),
        stopWhen: stepCountIs(2),
        maxOutputTokens: 64,
      });
      assert.equal(typeof cities[0], "string");
      assert.equal(answer.steps.length, 2);
      assert.equal(answer.steps[0].toolResults[0].output, "Sunny.");
    });

    test("an answer is an object of its schema", async () => {
      const schema = z.object({ colour: z.enum(["red", "green"]) });
      const answer = await generateText({
        model: provider(MODEL),
        prompt: "Name a colour as JSON.",
        output: Output.object({ schema }),
      });
      assert.match(answer.output.colour, /red|green/);
    });

    test("an unknown model is an error with its status", async () => {
      const asked = generateText({ model: provider("gpt-4o"), prompt: "Hello" });
      await assert.rejects(asked, (error) => APICallError.isInstance(error) && error.statusCode === 404);
    });
  });
}
