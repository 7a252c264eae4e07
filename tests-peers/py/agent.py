"""An agent made with a stranger's framework and default settings. Its model is whoever reads and writes its standard streams.

Settings, as JSON in the first argument:
  { "framework": "langchain.mcp" | "langchain-mcp-adapters" | "openai-agents", "mode": "auto" | "legacy",
    "url": …, "headers": {…} }      or      { …, "command": [program, argument…] }

Each turn of the model is a line out and a line in:
  { "turn": 1, "last": text of the last tool's answer or null }
  <- { "call": tool, "arguments": {…} }   or   { "finish": text }
The last line out is { "done": text } or, if the run ended by an exception, { "failed": what }.
"""

import asyncio
import json
import sys
import warnings

warnings.simplefilter("ignore")
SETTINGS = json.loads(sys.argv[1])


class Driver:
    """The other side of the standard streams."""

    def __init__(self):
        self.turn = 0

    async def next(self, last):
        self.turn += 1
        say({"turn": self.turn, "last": last})
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            raise SystemExit("nobody drives the model any more")
        return json.loads(line)


DRIVER = Driver()


def say(value):
    print(json.dumps(value), flush=True)


def langchain_model():
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Model(BaseChatModel):
        @property
        def _llm_type(self):
            return "driven"

        def bind_tools(self, tools, **kwargs):
            return self

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            raise NotImplementedError

        async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
            last = messages[-1]
            text = as_text(last.content) if isinstance(last, ToolMessage) else None
            step = await DRIVER.next(text)
            if "call" in step:
                call = {"name": step["call"], "args": step["arguments"], "id": f"call-{DRIVER.turn}"}
                message = AIMessage(content="", tool_calls=[call])
            else:
                message = AIMessage(content=step["finish"])
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Model()


def as_text(content):
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in content]
    return "".join(parts)


async def run_langchain(tools):
    from langchain.agents import create_agent

    agent = create_agent(langchain_model(), tools)
    asked = {"messages": [{"role": "user", "content": "begin"}]}
    ended = await agent.ainvoke(asked, {"recursion_limit": 1000})
    return as_text(ended["messages"][-1].content)


async def langchain_mcp():
    from fastmcp import Client
    from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
    from langchain.mcp import MCPAdapter

    if "command" in SETTINGS:
        program, *arguments = SETTINGS["command"]
        transport = StdioTransport(program, arguments)
    else:
        transport = StreamableHttpTransport(SETTINGS["url"], headers=SETTINGS.get("headers") or {})
    async with MCPAdapter(Client(transport, mode=SETTINGS.get("mode", "auto"))) as adapter:
        return await run_langchain(await adapter.list_tools())


async def langchain_mcp_adapters():
    from langchain_mcp_adapters.client import MultiServerMCPClient

    if "command" in SETTINGS:
        program, *arguments = SETTINGS["command"]
        connection = {"transport": "stdio", "command": program, "args": arguments}
        client = MultiServerMCPClient({"gate": connection})
        from langchain_mcp_adapters.tools import load_mcp_tools

        async with client.session("gate") as session:
            return await run_langchain(await load_mcp_tools(session))
    connection = {"transport": "streamable_http", "url": SETTINGS["url"]}
    if SETTINGS.get("headers"):
        connection["headers"] = SETTINGS["headers"]
    return await run_langchain(await MultiServerMCPClient({"gate": connection}).get_tools())


async def openai_agents():
    from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
    from agents.mcp import MCPServerStdio, MCPServerStreamableHttp
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputMessage,
        ResponseOutputText,
    )

    class Driven(Model):
        async def get_response(self, system_instructions, input, *args, **kwargs):
            items = input if isinstance(input, list) else []
            outputs = [item for item in items if item.get("type") == "function_call_output"]
            last = outputs[-1]["output"] if outputs else None
            step = await DRIVER.next(last if last is None or isinstance(last, str) else as_text(last))
            if "call" in step:
                item = ResponseFunctionToolCall(
                    type="function_call",
                    call_id=f"call-{DRIVER.turn}",
                    name=step["call"],
                    arguments=json.dumps(step["arguments"]),
                )
            else:
                text = ResponseOutputText(type="output_text", text=step["finish"], annotations=[])
                item = ResponseOutputMessage(
                    id="m", type="message", role="assistant", status="completed", content=[text]
                )
            return ModelResponse(output=[item], usage=Usage(), response_id=None)

        def stream_response(self, *args, **kwargs):
            raise NotImplementedError

    if "command" in SETTINGS:
        program, *arguments = SETTINGS["command"]
        server = MCPServerStdio(params={"command": program, "args": arguments})
    else:
        params = {"url": SETTINGS["url"]}
        if SETTINGS.get("headers"):
            params["headers"] = SETTINGS["headers"]
        server = MCPServerStreamableHttp(params=params)
    async with server:
        agent = Agent(name="driven", model=Driven(), mcp_servers=[server])
        quiet = RunConfig(tracing_disabled=True)
        ended = await Runner.run(agent, "begin", max_turns=1000, run_config=quiet)
        return ended.final_output


FRAMEWORKS = {
    "langchain.mcp": langchain_mcp,
    "langchain-mcp-adapters": langchain_mcp_adapters,
    "openai-agents": openai_agents,
}


def causes(error):
    """The exception and what is in its groups."""
    inner = [causes(one) for one in getattr(error, "exceptions", ())]
    return f"{type(error).__name__}: {error}" + (f" [{'; '.join(inner)}]" if inner else "")


async def main():
    try:
        say({"done": await FRAMEWORKS[SETTINGS["framework"]]()})
    except Exception as error:
        say({"failed": causes(error)})


asyncio.run(main())
