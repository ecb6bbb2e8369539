"""instructor over the libraries of OpenAI and Anthropic, unmodified and with its defaults."""

import unittest
from typing import Literal

import anthropic
import instructor
import openai
from pydantic import BaseModel

from house import LIMIT_S, MODEL, TOKEN, URL, turn


class Colour(BaseModel):
    """A colour."""

    colour: Literal["red", "green"]


def openai_client(**options):
    return instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1", api_key=TOKEN, timeout=LIMIT_S), **options)


class Instructor(unittest.TestCase):
    def test_an_answer_has_its_type_through_a_tool(self):
        answer = openai_client().create(model=MODEL, messages=turn("Name a colour."), response_model=Colour)
        self.assertIn(answer.colour, ("red", "green"))

    def test_an_answer_has_its_type_through_a_schema(self):
        client = openai_client(mode=instructor.Mode.JSON_SCHEMA)
        answer = client.create(model=MODEL, messages=turn("Name a colour as JSON."), response_model=Colour)
        self.assertIn(answer.colour, ("red", "green"))

    def test_parts_of_an_answer_come_as_they_are_written(self):
        parts = list(
            openai_client().create_partial(model=MODEL, messages=turn("Name a colour."), response_model=Colour)
        )
        self.assertIn(parts[-1].colour, ("red", "green"))

    def test_anthropics_api_serves_it_as_well(self):
        client = instructor.from_anthropic(anthropic.Anthropic(base_url=URL, api_key=TOKEN, timeout=LIMIT_S))
        answer = client.create(model=MODEL, max_tokens=256, messages=turn("Name a colour."), response_model=Colour)
        self.assertIn(answer.colour, ("red", "green"))


if __name__ == "__main__":
    unittest.main()
