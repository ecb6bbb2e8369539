"""The official `anthropic` library, unmodified, against a daemon that serves the starter model."""

import json
import time
import unittest

import anthropic
from anthropic import Anthropic

from house import CITY, LIMIT_S, MODEL, TOKEN, URL, Statuses, fill, turn, until

WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "input_schema": CITY,
}


def client(**options):
    options = {"api_key": TOKEN, "max_retries": 0, "timeout": LIMIT_S} | options
    return Anthropic(base_url=URL, **options)


class Messages(unittest.TestCase):
    def test_a_conversation_is_answered(self):
        answer = client().messages.create(
            model=MODEL, max_tokens=16, system="You are brief.", messages=turn("Say hello.")
        )
        self.assertEqual(answer.role, "assistant")
        self.assertTrue(answer.content[0].text)
        self.assertIn(answer.stop_reason, ("end_turn", "max_tokens"))
        self.assertGreater(answer.usage.input_tokens, 0)

    def test_the_stream_says_what_the_whole_answer_says(self):
        asked = {"model": MODEL, "max_tokens": 16, "messages": turn("Say hello."), "extra_body": {"temperature": 0}}
        whole = client().messages.create(**asked)
        with client().messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
            last = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(last.content[0].text, text)
        self.assertEqual(last.stop_reason, whole.stop_reason)
        self.assertEqual(last.usage.output_tokens, whole.usage.output_tokens)
        self.assertEqual(last.usage.input_tokens, whole.usage.input_tokens)

    def test_a_forced_call_is_one_of_its_schema_and_its_result_goes_back(self):
        question = turn("What is the weather in Rome?")
        asked = {
            "model": MODEL,
            "max_tokens": 128,
            "messages": question,
            "tools": [WEATHER],
            "tool_choice": {"type": "tool", "name": "weather"},
        }
        answer = client().messages.create(**asked)
        self.assertEqual(answer.stop_reason, "tool_use")
        call = next(block for block in answer.content if block.type == "tool_use")
        self.assertIsInstance(call.input["city"], str)
        with client().messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
        call_again = next(block for block in streamed.content if block.type == "tool_use")
        self.assertIsInstance(call_again.input["city"], str)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}
        turns = question + [
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result]},
        ]
        last = client().messages.create(model=MODEL, max_tokens=8, messages=turns, tools=[WEATHER])
        self.assertEqual(last.role, "assistant")

    def test_a_schema_is_kept_to(self):
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}}
        schema |= {"required": ["colour"], "additionalProperties": False}
        asked = {"model": MODEL, "max_tokens": 32, "messages": turn("Name a colour as JSON.")}
        form = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        answer = client().messages.create(**asked, **form)
        self.assertIn(json.loads(answer.content[0].text)["colour"], ("red", "green"))
        with self.assertRaises(anthropic.BadRequestError) as refused:
            form = {"output_config": {"format": {"type": "xml"}}}
            client().messages.create(**asked, extra_body=form)
        self.assertIn("`output_config.format.type`", str(refused.exception))

    def test_the_count_is_what_an_answer_says_that_it_read(self):
        asked = {"model": MODEL, "messages": turn("Say hello.")}
        count = client().messages.count_tokens(**asked)
        answer = client().messages.create(max_tokens=1, **asked)
        usage = answer.usage
        self.assertEqual(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens)

    def test_with_its_own_settings_the_library_waits_as_it_is_told_and_gets_in(self):
        statuses = Statuses(mend=fill())
        begun = time.monotonic()
        with anthropic.DefaultHttpxClient(event_hooks=statuses.hooks(), timeout=LIMIT_S) as http:
            library = Anthropic(base_url=URL, api_key=TOKEN, http_client=http)
            answer = library.messages.create(model=MODEL, messages=turn("Hello"), max_tokens=2)
        self.assertEqual(statuses, [429, 200])
        self.assertGreaterEqual(time.monotonic() - begun, statuses.retry_after_s - 1)
        self.assertLessEqual(answer.usage.output_tokens, 2)

    def test_a_stream_that_is_left_frees_the_slot(self):
        with client().messages.stream(model=MODEL, max_tokens=1500, messages=turn("Count to 1000.")) as stream:
            next(iter(stream))
        until((0, 0))


class Defaults(unittest.TestCase):
    """What clients send without being told to."""

    def test_a_limit_beyond_the_context_is_a_ceiling_and_a_stop_text_is_named(self):
        text = [{"type": "text", "text": "Say hello.", "cache_control": {"type": "ephemeral"}}]
        asked = {"model": MODEL, "max_tokens": 32000, "messages": [{"role": "user", "content": text}]}
        asked |= {"stop_sequences": [" "], "metadata": {"user_id": "u"}}
        with client().messages.stream(**asked) as stream:
            answer = stream.get_final_message()
        self.assertEqual((answer.stop_reason, answer.stop_sequence), ("stop_sequence", " "))

    def test_a_tool_of_the_provider_is_left_out_and_a_runner_of_tools_runs(self):
        tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]
        answer = client().messages.create(model=MODEL, max_tokens=8, messages=turn("Hello"), tools=tools)
        self.assertEqual(answer.content[0].type, "text")

        @anthropic.beta_tool
        def weather(city: str) -> str:
            """Tells the weather of a city."""
            return f"Sunny in {city}."

        runner = client().beta.messages.tool_runner(
            model=MODEL, max_tokens=32, tools=[weather], messages=turn("Hello"), max_iterations=2
        )
        self.assertTrue(all(message.role == "assistant" for message in runner))

    def test_models_are_listed(self):
        self.assertIn(MODEL, [model.id for model in client().models.list()])


class Refusals(unittest.TestCase):
    def test_a_prompt_that_is_too_long_is_refused_in_known_words(self):
        with self.assertRaises(anthropic.BadRequestError) as refused:
            client().messages.create(model=MODEL, max_tokens=1, messages=turn("word " * 20000))
        self.assertRegex(str(refused.exception), r"prompt is too long: \d+ tokens > \d+ maximum")

    def test_errors_have_their_classes(self):
        with self.assertRaises(anthropic.AuthenticationError):
            client(api_key="wrong").messages.create(model=MODEL, max_tokens=1, messages=turn("Hello"))
        with self.assertRaises(anthropic.NotFoundError) as refused:
            client().messages.create(model="claude", max_tokens=1, messages=turn("Hello"))
        self.assertIn("`starter`", str(refused.exception))
        with self.assertRaises(anthropic.BadRequestError) as refused:
            client().messages.create(model=MODEL, max_tokens=1, messages=turn("Hello"), stop_sequences=[""])
        self.assertIn("stop", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
