"""The official `openai` library, unmodified, against a daemon that serves the starter model.

`cargo xtask clients` starts the daemon: one slot, an interactive lane of two. What is asserted is what holds of
any model: the form of an answer, not its sense.
"""

import json
import threading
import unittest

import openai
from openai import OpenAI

from house import CITY, ENDS, LIMIT_S, MODEL, TOKEN, URL, turn, until

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": CITY,
    },
}


def client(**options):
    options = {"api_key": TOKEN, "max_retries": 0, "timeout": LIMIT_S} | options
    return OpenAI(base_url=f"{URL}/v1", **options)


def endless():
    """A stream that goes on until somebody leaves it."""
    return client().chat.completions.create(
        model=MODEL, messages=turn("Count."), max_tokens=1500, logit_bias=ENDS, stream=True
    )


class Text(unittest.TestCase):
    def test_models_are_listed_and_looked_up(self):
        names = [model.id for model in client().models.list()]
        self.assertEqual(names, ["starter", "starter@batch", "default", "default@batch"])
        self.assertEqual(client().models.retrieve("starter").owned_by, "llama-orch")

    def test_a_conversation_is_answered(self):
        answer = client().chat.completions.create(model=MODEL, messages=turn("Say hello."), max_tokens=16)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertTrue(answer.choices[0].message.content)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_the_stream_says_what_the_whole_answer_says(self):
        asked = {"model": MODEL, "messages": turn("Say hello."), "max_tokens": 16, "temperature": 0}
        whole = client().chat.completions.create(**asked)
        chunks = list(
            client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )
        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        self.assertEqual("".join(texts), whole.choices[0].message.content)
        usage = chunks[-1].usage
        # What was found in the cache depends on who asked before.
        self.assertGreater(usage.prompt_tokens_details.cached_tokens, 0)
        usage.prompt_tokens_details = whole.usage.prompt_tokens_details
        self.assertEqual(usage, whole.usage)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.choices[0].finish_reason)

    def test_the_helper_for_streams_puts_the_answer_together(self):
        schema = {"type": "string", "enum": ["yes", "no"]}
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        asked = {"model": MODEL, "messages": turn("Yes or no?"), "response_format": form, "max_tokens": 32}
        with client().chat.completions.stream(**asked) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_completion().choices[0].message.content
        self.assertIn(json.loads(answer), ("yes", "no"))

    def test_a_text_goes_on_and_stops_where_it_is_told(self):
        answer = client().completions.create(
            model=MODEL, prompt=["1 2 3 4", "a b c d"], max_tokens=12, stop="6", seed=7, n=1
        )
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        self.assertNotIn("6", answer.choices[0].text)

    def test_two_answers_come_beside_each_other(self):
        answer = client().chat.completions.create(
            model="starter@batch", messages=turn("Say a word."), max_tokens=4, n=2, seed=1
        )
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        self.assertEqual(answer.service_tier, "flex")


def spelled(tokens):
    """What the tokens of a list are together."""
    return bytes(byte for token in tokens for byte in token.bytes).decode()


class Logprobs(unittest.TestCase):
    def test_the_tokens_of_a_chat_spell_it_whole_and_in_chunks(self):
        asked = {
            "model": MODEL,
            "messages": turn("Write a word with an umlaut, and a llama: 🦙"),
            "max_tokens": 24,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 3,
        }
        choice = client().chat.completions.create(**asked).choices[0]
        tokens = choice.logprobs.content
        self.assertEqual(spelled(tokens), choice.message.content)
        for token in tokens:
            self.assertEqual(token.top_logprobs[0].token, token.token, "a greedy answer takes the best")
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertTrue(token.top_logprobs[1].logprob <= token.logprob <= 0.001)

        streamed = []
        for chunk in client().chat.completions.create(**asked, stream=True):
            told = chunk.choices[0].logprobs
            self.assertEqual(told is None, not chunk.choices[0].delta.content)
            streamed += told.content if told else []
        self.assertEqual([token.token for token in streamed], [token.token for token in tokens])

    def test_a_stop_text_is_not_among_the_tokens(self):
        asked = {"model": MODEL, "prompt": "1 2 3 4 5", "max_tokens": 24, "temperature": 0, "logprobs": 2}
        free = client().completions.create(**asked).choices[0]
        self.assertEqual("".join(free.logprobs.tokens), free.text)
        stop = free.text[4:7]
        choice = client().completions.create(**asked, stop=stop).choices[0]
        self.assertEqual(choice.text, free.text[: free.text.index(stop)])
        told = choice.logprobs
        self.assertTrue("".join(told.tokens).startswith(choice.text))
        self.assertTrue(all(offset < len(choice.text) for offset in told.text_offset))
        self.assertEqual(len(told.top_logprobs), len(told.tokens))
        for token, best in zip(told.tokens, told.top_logprobs):
            self.assertIn(token, best)

    def test_a_response_includes_them(self):
        asked = {"model": MODEL, "input": "Say hello.", "max_output_tokens": 8, "temperature": 0}
        asked |= {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
        part = client().responses.create(**asked).output[0].content[0]
        self.assertEqual(spelled(part.logprobs), part.text)
        deltas = [
            event
            for event in client().responses.create(**asked, stream=True)
            if event.type == "response.output_text.delta"
        ]
        streamed = [token.token for delta in deltas for token in delta.logprobs]
        self.assertEqual(streamed, [token.token for token in part.logprobs])


class Forms(unittest.TestCase):
    def test_a_schema_is_kept_to(self):
        schema = {
            "type": "object",
            "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        }
        answer = client().chat.completions.create(
            model=MODEL,
            messages=turn("Name a colour as JSON."),
            max_tokens=32,
            response_format={"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}},
        )
        self.assertIn(json.loads(answer.choices[0].message.content)["colour"], ("red", "green"))

    def test_a_forced_call_is_one_of_its_schema(self):
        asked = {
            "model": MODEL,
            "messages": turn("What is the weather in Rome?"),
            "tools": [WEATHER],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "max_tokens": 128,
        }
        choice = client().chat.completions.create(**asked).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        call = choice.message.tool_calls[0]
        self.assertEqual(call.function.name, "weather")
        self.assertIsInstance(json.loads(call.function.arguments)["city"], str)

        deltas = [chunk.choices[0].delta for chunk in client().chat.completions.create(**asked, stream=True)]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        self.assertEqual(calls[0].function.name, "weather")
        first = [call.function.arguments for call in calls if call.index == 0]
        self.assertIsInstance(json.loads("".join(first))["city"], str)

        turns = turn("What is the weather in Rome?") + [
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
        ]
        answer = client().chat.completions.create(model=MODEL, messages=turns, tools=[WEATHER], max_tokens=8)
        self.assertEqual(answer.choices[0].message.role, "assistant")

    def test_texts_are_embedded_or_refused_in_words(self):
        try:
            answer = client().embeddings.create(model=MODEL, input=["one", "two"])
        except openai.BadRequestError as refused:
            self.assertIn("does not offer", str(refused))
        else:
            self.assertEqual(len(answer.data), 2)
            self.assertGreater(len(answer.data[0].embedding), 1)


class Responses(unittest.TestCase):
    def test_the_stream_of_a_response_says_what_the_whole_one_says(self):
        asked = {"model": MODEL, "input": "Say hello.", "max_output_tokens": 16, "temperature": 0}
        whole = client().responses.create(**asked)
        self.assertTrue(whole.output_text)
        events = list(client().responses.create(**asked, stream=True))
        texts = [event.delta for event in events if event.type == "response.output_text.delta"]
        self.assertEqual("".join(texts), whole.output_text)
        self.assertIn(events[-1].type, ("response.completed", "response.incomplete"))
        self.assertEqual(events[-1].response.output_text, whole.output_text)
        self.assertEqual(events[-1].response.usage.total_tokens, whole.usage.total_tokens)

    def test_a_forced_call_is_an_item(self):
        tool = {"type": "function", **WEATHER["function"]}
        answer = client().responses.create(
            model=MODEL, input="What is the weather in Rome?", tools=[tool], tool_choice="required"
        )
        call = next(item for item in answer.output if item.type == "function_call")
        self.assertEqual(call.name, "weather")
        self.assertIsInstance(json.loads(call.arguments)["city"], str)


class Refusals(unittest.TestCase):
    def test_a_wrong_token_is_an_authentication_error(self):
        with self.assertRaises(openai.AuthenticationError) as refused:
            client(api_key="wrong").models.list()
        self.assertIn("LLAMA_ORCH_TOKEN", str(refused.exception))

    def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(self):
        with self.assertRaises(openai.NotFoundError) as refused:
            client().chat.completions.create(model="gpt-4o", messages=turn("Hello"))
        self.assertEqual(refused.exception.param, "model")
        self.assertIn("`starter`", str(refused.exception))

    def test_a_value_that_is_wrong_is_named(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            client().chat.completions.create(model=MODEL, messages=turn("Hello"), temperature=9)
        self.assertEqual((refused.exception.param, refused.exception.code), ("temperature", "invalid_value"))
        self.assertEqual(refused.exception.body["orch_code"], "INVALID_PARAMS")

    def test_errors_have_the_codes_that_are_known(self):
        asked = {"model": MODEL, "messages": turn("word " * 20000)}
        with self.assertRaises(openai.BadRequestError) as refused:
            client().chat.completions.create(**asked, max_tokens=32000)
        self.assertEqual(refused.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError) as refused:
            client().chat.completions.create(**asked | {"model": "gpt-4o"})
        self.assertEqual(refused.exception.code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError) as refused:
            client(api_key="wrong").models.list()
        self.assertEqual(refused.exception.code, "invalid_api_key")
        with self.assertRaises(openai.BadRequestError) as refused:
            client().responses.create(model=MODEL, input="Hello", previous_response_id="resp_1")
        self.assertIn("send the whole conversation", str(refused.exception))


class Defaults(unittest.TestCase):
    """What clients send without being told to."""

    def test_a_limit_beyond_the_context_is_a_ceiling(self):
        asked = {"model": MODEL, "messages": turn("Say hello."), "stop": [".", "!"]}
        for limit in ({"max_tokens": 32000}, {"max_completion_tokens": 128000}):
            answer = client().chat.completions.create(**asked, **limit)
            self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))

    def test_fields_that_change_no_answer_are_accepted(self):
        fields = {"store": True, "metadata": {"a": "b"}, "user": "u", "verbosity": "low", "service_tier": "scale"}
        answer = client().chat.completions.create(
            model=MODEL, messages=turn("Say hello."), max_tokens=8, prompt_cache_key="k", **fields
        )
        message = answer.choices[0].message.model_dump()
        again = client().chat.completions.create(
            model=MODEL, messages=turn("Say hello.") + [message] + turn("Again."), max_tokens=8
        )
        self.assertEqual(again.choices[0].message.role, "assistant")

    def test_a_built_in_tool_is_left_out_and_a_custom_one_is_called(self):
        tools = [{"type": "web_search"}, {"type": "custom", "name": "note", "description": "Takes a note."}]
        asked = {"model": MODEL, "input": "Note: hello.", "tools": tools, "max_output_tokens": 64}
        asked |= {"tool_choice": {"type": "custom", "name": "note"}, "store": True}
        answer = client().responses.create(**asked)
        self.assertEqual((answer.output[0].type, answer.output[0].name), ("custom_tool_call", "note"))
        self.assertIsInstance(answer.usage.output_tokens_details.reasoning_tokens, int)
        with client().responses.stream(**asked) as stream:
            pieces = [event.delta for event in stream if event.type == "response.custom_tool_call_input.delta"]
            last = stream.get_final_response().output[0]
        self.assertEqual("".join(pieces), last.input)
        with self.assertRaises(openai.BadRequestError) as refused:
            client().responses.create(**asked | {"tool_choice": {"type": "web_search"}})
        self.assertEqual(refused.exception.param, "tool_choice")

    def test_a_model_says_its_context(self):
        self.assertGreater(client().models.retrieve(MODEL).context_length, 0)


class Queue(unittest.TestCase):
    def setUp(self):
        until((0, 0))

    def test_a_stream_that_is_left_frees_the_slot(self):
        stream = endless()
        next(iter(stream))
        self.assertTrue(stream.response)
        stream.close()
        until((0, 0))

    def test_a_request_that_gives_up_leaves_the_queue(self):
        stream = endless()
        next(iter(stream))
        with self.assertRaises(openai.APITimeoutError):
            client(timeout=0.5).chat.completions.create(model=MODEL, messages=turn("Hello"))
        until((1, 0))
        stream.close()
        until((0, 0))

    def test_a_full_lane_is_a_rate_limit_and_a_retry_gets_in(self):
        running = endless()
        next(iter(running))
        short = {"model": MODEL, "messages": turn("Hello"), "max_tokens": 2}
        waiting = [threading.Thread(target=client().chat.completions.create, kwargs=short) for _ in range(2)]
        for thread in waiting:
            thread.start()
        until((1, 2))
        with self.assertRaises(openai.RateLimitError) as refused:
            client().chat.completions.create(**short)
        headers = refused.exception.response.headers
        self.assertTrue(1 <= int(headers["retry-after"]) <= 60)
        self.assertGreater(int(headers["retry-after-ms"]), 0)
        leaving = threading.Timer(0.5, running.close)
        leaving.start()
        answer = client(max_retries=20).chat.completions.create(**short)
        self.assertLessEqual(answer.usage.completion_tokens, 2)
        for thread in [leaving, *waiting]:
            thread.join()


if __name__ == "__main__":
    unittest.main()
