"""pydantic-ai with its models for OpenAI's two APIs and for Anthropic's, unmodified and with their defaults."""

import asyncio
import unittest
from typing import Literal

from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from house import CITY, MODEL, TOKEN, URL


class Colour(BaseModel):
    colour: Literal["red", "green"]


def models(name=MODEL):
    """A model of each API. Made anew for each event loop, to which its connections belong."""
    openai = OpenAIProvider(base_url=f"{URL}/v1", api_key=TOKEN)
    anthropic = AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=URL, api_key=TOKEN))
    return [
        OpenAIChatModel(name, provider=openai),
        OpenAIResponsesModel(name, provider=openai),
        AnthropicModel(name, provider=anthropic),
    ]


class PydanticAi(unittest.TestCase):
    def each(self, ask):
        for place in range(3):
            async def one():
                model = models()[place]
                with self.subTest(model=type(model).__name__):
                    await ask(model)

            asyncio.run(one())

    def test_a_stream_says_what_the_whole_answer_says(self):
        settings = ModelSettings(temperature=0, max_tokens=24)

        async def ask(model):
            agent = Agent(model, model_settings=settings)
            whole = await agent.run("Say hello.")
            async with agent.run_stream("Say hello.") as stream:
                pieces = [piece async for piece in stream.stream_text(delta=True)]
            self.assertTrue(whole.output)
            self.assertEqual("".join(pieces), whole.output)

        self.each(ask)

    def test_an_answer_has_its_type_through_a_tool(self):
        async def ask(model):
            agent = Agent(model, output_type=Colour, retries=3)
            answer = await agent.run("Name a colour.")
            self.assertIn(answer.output.colour, ("red", "green"))

        self.each(ask)

    def test_the_result_of_a_call_is_read(self):
        async def ask(model):
            call = ToolCallPart("weather", {"city": "Rome"})
            asked = [
                ModelRequest([UserPromptPart("What is the weather in Rome?")]),
                ModelResponse([call]),
                ModelRequest([ToolReturnPart("weather", "Sunny.", call.tool_call_id)]),
            ]
            tools = ModelRequestParameters(function_tools=[ToolDefinition(name="weather", parameters_json_schema=CITY)])
            answer = await model_request(
                model, asked, model_settings=ModelSettings(max_tokens=24), model_request_parameters=tools
            )
            self.assertGreater(answer.usage.output_tokens, 0)

        self.each(ask)

    def test_an_unknown_model_is_an_error_with_its_status(self):
        async def ask():
            for model in models("gpt-4o"):
                with self.assertRaises(ModelHTTPError) as refused:
                    await Agent(model).run("Hello")
                self.assertEqual(refused.exception.status_code, 404)

        asyncio.run(ask())


if __name__ == "__main__":
    unittest.main()
