"""The official `ollama` library, unmodified and with its defaults: it finds the daemon by `OLLAMA_HOST` and sends no token."""

import asyncio
import json
import unittest

import ollama

from house import CITY, LIMIT_S, busy, turn, until

# One pool, by its own name.
MODEL = "default"

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather of a city.", "parameters": CITY},
}

SHORT = {"num_predict": 16, "temperature": 0, "num_ctx": 8192}


class Models(unittest.TestCase):
    def test_a_model_is_listed_shown_and_loaded(self):
        listed = ollama.list().models
        self.assertEqual([model.model for model in listed], ["default:latest"])
        self.assertGreater(listed[0].size, 1_000_000)
        self.assertEqual(listed[0].details.quantization_level, "Q4_1")
        shown = ollama.show("default:latest")
        self.assertEqual(shown.capabilities, ["completion", "tools"])
        self.assertEqual(shown.modelinfo["general.architecture"], "llama")
        self.assertGreater(shown.modelinfo["llama.context_length"], 1000)
        self.assertEqual(ollama.generate(MODEL).done_reason, "load")
        loaded = ollama.ps().models[0]
        self.assertEqual((loaded.model, loaded.digest), ("default:latest", listed[0].digest))
        self.assertGreater(loaded.context_length, 1000)

    def test_a_name_that_is_served_is_pulled_at_once(self):
        self.assertEqual(ollama.pull("default").status, "success")
        self.assertEqual([step.status for step in ollama.pull("starter:latest", stream=True)], ["success"])


class Answers(unittest.TestCase):
    def test_the_stream_of_a_chat_says_what_the_whole_answer_says(self):
        asked = {"model": MODEL, "messages": turn("Say hello."), "options": SHORT}
        whole = ollama.chat(**asked)
        pieces = list(ollama.chat(**asked, stream=True))
        self.assertTrue(whole.message.content)
        self.assertEqual("".join(piece.message.content for piece in pieces), whole.message.content)
        self.assertEqual([piece.done for piece in pieces[:-1]], [False] * (len(pieces) - 1))
        for end in (whole, pieces[-1]):
            self.assertTrue(end.done)
            self.assertIn(end.done_reason, ("stop", "length"))
            self.assertGreater(end.eval_count, 0)
            self.assertGreater(end.total_duration, end.eval_duration)

    def test_a_prompt_is_answered_and_a_raw_one_goes_on(self):
        answer = ollama.generate(MODEL, "Say hello.", system="You are brief.", options=SHORT, keep_alive="5m")
        self.assertTrue(answer.response)
        raw = ollama.generate(MODEL, "1 2 3 4 5", raw=True, options=SHORT | {"stop": ["9"]})
        self.assertNotIn("9", raw.response)

    def test_a_conversation_goes_on_with_what_was_answered(self):
        first = ollama.chat(MODEL, turn("Say hello."), options=SHORT)
        again = ollama.chat(MODEL, turn("Say hello.") + [first.message] + turn("Again."), options=SHORT, think=False)
        self.assertEqual(again.message.role, "assistant")

    def test_an_answer_has_the_form_that_is_asked_for(self):
        schema = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"]}
        schema["additionalProperties"] = False
        answer = ollama.chat(MODEL, turn("Yes or no?"), format=schema, options={"num_predict": 64})
        self.assertIn(json.loads(answer.message.content)["answer"], ("yes", "no"))
        options = {"num_predict": 256, "temperature": 0}
        text = ollama.chat(MODEL, turn("An object with a name."), format="json", options=options).message.content
        self.assertTrue(text.lstrip().startswith("{"), text)

    def test_tools_are_offered_and_their_results_are_read(self):
        def weather(city: str) -> str:
            """Tells the weather of a city.

            Args:
              city: The city.
            """
            return f"It is sunny in {city}."

        question = turn("What is the weather in Rome?")
        for offered in (weather, WEATHER):
            answer = ollama.chat(MODEL, question, tools=[offered], options=SHORT)
            for call in answer.message.tool_calls or []:
                self.assertEqual(call.function.name, "weather")
        call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
        history = question + [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_name": "weather", "content": weather("Rome")},
        ]
        self.assertTrue(ollama.chat(MODEL, history, tools=[weather], options=SHORT).message.content)

    def test_tokens_are_told_with_their_probabilities(self):
        answer = ollama.chat(MODEL, turn("Say hello."), logprobs=True, top_logprobs=2, options=SHORT)
        self.assertEqual("".join(token.token for token in answer.logprobs), answer.message.content)
        self.assertEqual(len(answer.logprobs[0].top_logprobs), 2)

    def test_the_asynchronous_client_is_answered(self):
        async def asked():
            stream = await ollama.AsyncClient().chat(MODEL, turn("Say hello."), stream=True, options=SHORT)
            return [piece async for piece in stream]

        self.assertTrue(asyncio.run(asked())[-1].done)


class Refusals(unittest.TestCase):
    def refused(self, status, ask, **asked):
        with self.assertRaises(ollama.ResponseError) as refused:
            ask(**asked)
        self.assertEqual(refused.exception.status_code, status)
        return refused.exception.error

    def test_a_model_that_is_not_served_is_not_found(self):
        error = self.refused(404, ollama.chat, model="llama3.2", messages=turn("Hello"))
        self.assertTrue(error.startswith("model 'llama3.2' not found"), error)
        self.refused(404, ollama.show, model="llama3.2")

    def test_what_is_wrong_is_named(self):
        error = self.refused(400, ollama.chat, model=MODEL, messages=turn("Hello"), options={"temperature": 9})
        self.assertIn("`options.temperature`", error)
        error = self.refused(400, ollama.pull, model="llama3.2")
        self.assertIn("hf:OWNER/REPO/FILE.gguf", error)
        error = self.refused(400, ollama.embed, model=MODEL, input="one")
        self.assertIn("embedding", error)

    def test_what_is_not_served_says_what_to_do_instead(self):
        self.assertIn("llama-orch models remove", self.refused(501, ollama.delete, model=MODEL))
        self.assertIn("`aliases`", self.refused(501, ollama.copy, source=MODEL, destination="other"))


class Queue(unittest.TestCase):
    def setUp(self):
        until((0, 0))

    def test_a_stream_that_is_left_frees_the_slot(self):
        options = {"num_predict": 1500}
        prompt = "1 2 3 4 5 6 7 8 9 10 11 12"
        stream = ollama.Client(timeout=LIMIT_S).generate(MODEL, prompt, raw=True, stream=True, options=options)
        next(iter(stream))
        self.assertEqual(busy()[0], 1)
        stream.close()
        until((0, 0))


if __name__ == "__main__":
    unittest.main()
