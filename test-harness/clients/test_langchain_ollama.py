"""LangChain's `langchain-ollama`, unmodified and with its defaults."""

import unittest

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

MODEL = "default"


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It is sunny in {city}."


class Person(BaseModel):
    """A person."""

    name: str


def model(**options):
    options = {"temperature": 0, "num_predict": 24} | options
    return ChatOllama(model=MODEL, validate_model_on_init=True, **options)


class Chats(unittest.TestCase):
    def test_the_stream_says_what_the_whole_answer_says(self):
        whole = model().invoke("Say hello.")
        self.assertTrue(whole.content)
        self.assertEqual("".join(chunk.content for chunk in model().stream("Say hello.")), whole.content)
        self.assertGreater(whole.usage_metadata["output_tokens"], 0)

    def test_an_answer_is_put_into_a_type(self):
        person = model(num_predict=128).with_structured_output(Person).invoke("Ada Lovelace is a person.")
        self.assertIsInstance(person, Person)

    def test_tools_are_offered_and_their_results_are_read(self):
        bound = model().bind_tools([weather])
        question = HumanMessage("What is the weather in Rome?")
        self.assertIsInstance(bound.invoke([question]), AIMessage)
        call = {"name": "weather", "args": {"city": "Rome"}, "id": "1"}
        history = [question, AIMessage("", tool_calls=[call]), ToolMessage("Sunny.", tool_call_id="1")]
        self.assertTrue(bound.invoke(history).content)

    def test_a_prompt_is_answered(self):
        llm = OllamaLLM(model=MODEL, temperature=0, num_predict=8, num_ctx=4096, keep_alive="10m")
        self.assertTrue(llm.invoke("Say hello."))

    def test_a_model_that_is_not_served_is_named(self):
        with self.assertRaises(ValueError) as refused:
            ChatOllama(model="llama3.2", validate_model_on_init=True)
        self.assertIn("default:latest", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
