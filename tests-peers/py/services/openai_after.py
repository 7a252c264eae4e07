"""A support desk made with the OpenAI Agents SDK: one session with an MCP server, one agent for all questions."""

import os

from agents import Agent, RunConfig, Runner
from agents.mcp import MCPServerStreamableHttp

from desk import openai_model, serve

TOOLS = os.environ["TOOLS_URL"]


def task_of(call):
    return {"dev.ambit/task": call.run_context.context["task"]}


SERVER = MCPServerStreamableHttp(params={"url": TOOLS}, tool_meta_resolver=task_of)


async def answer(question):
    agent = Agent(name="desk", model=openai_model(), mcp_servers=[SERVER])
    quiet = RunConfig(tracing_disabled=True)
    ended = await Runner.run(
        agent, question["text"], max_turns=100, run_config=quiet, context=question
    )
    return ended.final_output


serve(answer, SERVER)
