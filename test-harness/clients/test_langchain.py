"""LangChain's clients for OpenAI and Anthropic, unmodified and with their defaults."""

import unittest
from typing import Literal

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

from house import MODEL, TOKEN, URL


class Colour(BaseModel):
    """A colour."""

    colour: Literal["red", "green"]


@tool
def weather(city: str = Field(max_length=16)) -> str:
    """Tells the weather of a city."""
    return f"Sunny in {city}."


def models(**options):
    """A model of each API."""
    return [
        ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=TOKEN, **options),
        ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=TOKEN, use_responses_api=True, **options),
        ChatAnthropic(model=MODEL, base_url=URL, api_key=TOKEN, **options),
    ]


class LangChain(unittest.TestCase):
    def test_a_stream_says_what_the_whole_answer_says(self):
        for model in models(temperature=0, max_tokens=24):
            with self.subTest(model=type(model).__name__):
                whole = model.invoke("Say hello.")
                pieces = list(model.stream("Say hello."))
                self.assertTrue(whole.text)
                self.assertEqual("".join(piece.text for piece in pieces), whole.text)
                self.assertGreater(whole.usage_metadata["output_tokens"], 0)

    def test_a_tool_is_called_and_its_result_is_read(self):
        for model in models(max_tokens=64):
            with self.subTest(model=type(model).__name__):
                asked = [HumanMessage("What is the weather in Rome?")]
                answer = model.bind_tools([weather], tool_choice="weather").invoke(asked)
                call = answer.tool_calls[0]
                self.assertEqual(call["name"], "weather")
                told = weather.invoke(call)
                self.assertIsInstance(told, ToolMessage)
                after = model.bind_tools([weather]).invoke([*asked, answer, told])
                self.assertEqual(after.type, "ai")

    def test_an_answer_has_the_type_that_is_asked_for(self):
        for model in models():
            with self.subTest(model=type(model).__name__):
                answer = model.with_structured_output(Colour).invoke("Name a colour as JSON.")
                self.assertIn(answer.colour, ("red", "green"))

    def test_texts_that_cannot_be_embedded_are_refused_in_words(self):
        embeddings = OpenAIEmbeddings(model=MODEL, base_url=f"{URL}/v1", api_key=TOKEN, check_embedding_ctx_length=False)
        with self.assertRaisesRegex(Exception, "does not offer"):
            embeddings.embed_query("one")


if __name__ == "__main__":
    unittest.main()
