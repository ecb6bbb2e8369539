"""LiteLLM, unmodified and with its defaults, as for OpenAI's and Anthropic's servers."""

import json
import os
import unittest

# It fetches a list of prices when it is imported otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

from house import CITY, MODEL, TOKEN, URL, turn

PLACES = [
    {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": TOKEN},
    {"model": f"anthropic/{MODEL}", "api_base": URL, "api_key": TOKEN},
]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather of a city.", "parameters": CITY},
}


class LiteLlm(unittest.TestCase):
    def each(self, **asked):
        for place in PLACES:
            with self.subTest(model=place["model"]):
                yield lambda **more: litellm.completion(**place | asked | more)

    def test_a_stream_says_what_the_whole_answer_says(self):
        for ask in self.each(messages=turn("Say hello."), temperature=0, max_tokens=24):
            whole = ask().choices[0].message.content
            pieces = [chunk.choices[0].delta.content or "" for chunk in ask(stream=True)]
            self.assertTrue(whole)
            self.assertEqual("".join(pieces).strip(), whole.strip())

    def test_a_tool_is_called_and_its_result_is_read(self):
        messages = turn("What is the weather in Rome?")
        choice = {"type": "function", "function": {"name": "weather"}}
        for ask in self.each(tools=[WEATHER], max_tokens=64):
            message = ask(messages=messages, tool_choice=choice).choices[0].message
            call = message.tool_calls[0]
            self.assertIsInstance(json.loads(call.function.arguments)["city"], str)
            told = {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
            after = ask(messages=[*messages, message.model_dump(), told])
            self.assertEqual(after.choices[0].message.role, "assistant")

    def test_errors_have_their_classes(self):
        for ask in self.each(messages=turn("Hello")):
            with self.assertRaises(litellm.AuthenticationError):
                ask(api_key="wrong")
        with self.assertRaises(litellm.ContextWindowExceededError):
            litellm.completion(**PLACES[0], messages=turn("word " * 20000))


if __name__ == "__main__":
    unittest.main()
