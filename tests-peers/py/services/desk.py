"""What both services share and neither changes: questions on standard input, answers on standard output, a scripted model.

A question is a line: { "id": …, "text": …, "task": … }. Many are answered at once, each in a run of its own.
The answer is a line: { "id": …, "done": text } or, if the run ended by an exception, { "id": …, "failed": what }.
The model reads the ticket that the question names, ROUNDS times with a pause before each, and then says how that went.
"""

import asyncio
import json
import os
import re
import sys
import warnings

warnings.simplefilter("ignore")
ROUNDS = int(os.environ["ROUNDS"])
PAUSE = float(os.environ["PAUSE"])
TOOL = "read_ticket"


def as_text(content):
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in content]
    return "".join(parts)


def ticket_of(text):
    return re.search(r"\d+", text).group()


def told(ticket, outputs):
    good = sum(ticket in output and "Locked out" in output for output in outputs)
    return f"ticket {ticket}: read {good} of {len(outputs)}"


def model():
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Model(BaseChatModel):
        @property
        def _llm_type(self):
            return "scripted"

        def bind_tools(self, tools, **kwargs):
            return self

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            raise NotImplementedError

        async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
            ticket = ticket_of(as_text(messages[0].content))
            outputs = [as_text(one.content) for one in messages if isinstance(one, ToolMessage)]
            if len(outputs) < ROUNDS:
                await asyncio.sleep(PAUSE)
                call = {"name": TOOL, "args": {"id": ticket}, "id": f"call-{len(outputs)}"}
                message = AIMessage(content="", tool_calls=[call])
            else:
                message = AIMessage(content=told(ticket, outputs))
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Model()


def openai_model():
    from agents import Model, ModelResponse, Usage
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputMessage,
        ResponseOutputText,
    )

    class Scripted(Model):
        async def get_response(self, system_instructions, input, *args, **kwargs):
            items = input if isinstance(input, list) else [{"role": "user", "content": input}]
            first = next(item for item in items if item.get("role") == "user")
            ticket = ticket_of(as_text(first["content"]))
            outputs = [as_text(item["output"]) for item in items if item.get("type") == "function_call_output"]
            if len(outputs) < ROUNDS:
                await asyncio.sleep(PAUSE)
                item = ResponseFunctionToolCall(
                    type="function_call",
                    call_id=f"call-{len(outputs)}",
                    name=TOOL,
                    arguments=json.dumps({"id": ticket}),
                )
            else:
                text = ResponseOutputText(type="output_text", text=told(ticket, outputs), annotations=[])
                item = ResponseOutputMessage(
                    id="m", type="message", role="assistant", status="completed", content=[text]
                )
            return ModelResponse(output=[item], usage=Usage(), response_id=None)

        def stream_response(self, *args, **kwargs):
            raise NotImplementedError

    return Scripted()


def say(value):
    print(json.dumps(value), flush=True)


def causes(error):
    """The exception and what is in its groups."""
    inner = [causes(one) for one in getattr(error, "exceptions", ())]
    return f"{type(error).__name__}: {error}" + (f" [{'; '.join(inner)}]" if inner else "")


async def one(answer, question):
    try:
        say({"id": question["id"], "done": await answer(question)})
    except Exception as error:
        say({"id": question["id"], "failed": causes(error)})


async def all_of_them(answer):
    runs = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        runs.append(asyncio.create_task(one(answer, json.loads(line))))
    await asyncio.gather(*runs)


async def serving(answer, server):
    if server is None:
        await all_of_them(answer)
        return
    async with server:
        await all_of_them(answer)


def serve(answer, server=None):
    """Answers questions until there are no more; `server` is connected meanwhile."""
    asyncio.run(serving(answer, server))
