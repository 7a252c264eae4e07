"""A support desk made with LangGraph: a question comes in, an agent answers it with the tools of an MCP server."""

import os

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from langchain.agents import create_agent
from langchain.mcp import MCPAdapter

from desk import model, serve

TOOLS = os.environ["TOOLS_URL"]


async def answer(question):
    headers = {"Ambit-Task": question["task"]}
    client = Client(StreamableHttpTransport(TOOLS, headers=headers))
    async with MCPAdapter(client) as adapter:
        agent = create_agent(model(), await adapter.list_tools())
        asked = {"messages": [{"role": "user", "content": question["text"]}]}
        ended = await agent.ainvoke(asked, {"recursion_limit": 100})
        return ended["messages"][-1].text


serve(answer)
