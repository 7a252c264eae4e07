"""A scripted dialogue of the official Python SDK with a server. Settings are JSON in the first argument:
  { sdk: "v1" | "v2", era: "modern" | "legacy", url, nonce }
One line of JSON on standard output per step: { step, said }. What differs from run to run is left out of `said`.
`v1` is the 1.x line of `mcp` (legacy revisions), `v2` the 2.x line (both)."""

import asyncio
import contextlib
import json
import re
import sys
import warnings

import anyio

warnings.simplefilter("ignore")
SETTINGS = json.loads(sys.argv[1])
V1 = SETTINGS["sdk"] == "v1"
MODERN = SETTINGS["era"] == "modern"
NONCE = SETTINGS["nonce"]

import mcp
from mcp import types

HEARD = []
LEFT_OUT = ("_meta", "ttlMs", "cacheScope", "resultType")


def say(step, said):
    print(json.dumps({"step": step, "said": said}), flush=True)


def plain(model):
    """A result as plain JSON."""
    value = model if isinstance(model, (dict, list)) else model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: part for name, part in value.items() if name not in LEFT_OUT}


def failure(error):
    if isinstance(error, BaseExceptionGroup):
        return failure(error.exceptions[0])
    told = getattr(error, "error", error)
    return {"failed": str(getattr(told, "message", told)), "code": getattr(told, "code", None)}


async def elicited(context, params):
    mode = getattr(params, "mode", None) or "form"
    HEARD.append({"question": params.message, "mode": mode})
    if mode == "url":
        return types.ElicitResult(action="accept")
    return types.ElicitResult(action="accept", content={"response": "yes", "name": "Ana", "context": "here"})


async def sampled(context, params):
    content = params.messages[0].content
    HEARD.append({"sampled": content.text})
    return types.CreateMessageResult(model="none", role="assistant", content=types.TextContent(type="text", text="sampled"))


async def rooted(context):
    HEARD.append({"roots": True})
    return types.ListRootsResult(roots=[types.Root(uri="file:///here", name="here")])


async def logged(params):
    HEARD.append({"log": params.data, "level": params.level})


async def received(message):
    told = getattr(message, "root", message)
    if type(told).__name__ == "ResourceUpdatedNotification" and not HEARD:
        HEARD.append({"updated": str(told.params.uri)})


class First:
    """The 1.x client with the calls of the 2.x one."""

    def __init__(self, session, about):
        self.session = session
        self.about = about

    def connected(self):
        about = self.about
        return about.protocolVersion, about.serverInfo.name, about.capabilities, about.instructions

    async def call(self, name, arguments=None, on_progress=None, seconds=None):
        from datetime import timedelta

        limit = timedelta(seconds=seconds) if seconds else None
        return await self.session.call_tool(name, arguments or {}, read_timeout_seconds=limit, progress_callback=on_progress)

    async def read(self, uri):
        return await self.session.read_resource(uri)

    async def complete(self, prompt, argument):
        return await self.session.complete(types.PromptReference(type="ref/prompt", name=prompt), argument)

    def __getattr__(self, name):
        return getattr(self.session, name)


class Second:
    """The 2.x client."""

    def __init__(self, client):
        self.client = client

    def connected(self):
        client = self.client
        return client.protocol_version, client.server_info and client.server_info.name, client.server_capabilities, client.instructions

    async def call(self, name, arguments=None, on_progress=None, seconds=None):
        return await self.client.call_tool(name, arguments or {}, read_timeout_seconds=seconds, progress_callback=on_progress)

    async def read(self, uri):
        return await self.client.read_resource(uri)

    async def complete(self, prompt, argument):
        return await self.client.complete(types.PromptReference(type="ref/prompt", name=prompt), argument)

    def __getattr__(self, name):
        return getattr(self.client, name)


@contextlib.asynccontextmanager
async def connect():
    if V1:
        from mcp.client.streamable_http import streamable_http_client

        async with streamable_http_client(SETTINGS["url"]) as (read, write, _):
            session = mcp.ClientSession(
                read, write, sampling_callback=sampled, elicitation_callback=elicited, list_roots_callback=rooted,
                logging_callback=logged, message_handler=received,
            )
            async with session:
                yield First(session, await session.initialize())
    else:
        client = mcp.Client(
            SETTINGS["url"], mode="2026-07-28" if MODERN else "legacy", sampling_callback=sampled, elicitation_callback=elicited,
            list_roots_callback=rooted, logging_callback=logged, message_handler=received, cache=None,
        )
        async with client:
            yield Second(client)


async def step(name, act):
    """One step: what it brought, and what was heard on the way."""
    HEARD.clear()
    try:
        brought = {"result": await act()}
    except Exception as error:
        brought = failure(error)
    say(name, {**brought, **({"heard": list(HEARD)} if HEARD else {})})


def names(items, key="name"):
    return sorted(str(getattr(item, key)) for item in items)


async def lists(client):
    tools = (await client.list_tools()).tools
    structured = next(tool for tool in tools if tool.name == "structured")
    listed = await client.list_resource_templates()
    templates = getattr(listed, "resourceTemplates", None) or listed.resource_templates
    prompts = sorted((await client.list_prompts()).prompts, key=lambda prompt: prompt.name)
    return {
        "tools": names(tools),
        "structured": plain(structured),
        "resources": names((await client.list_resources()).resources, "uri"),
        "templates": [plain(template) for template in templates],
        "prompts": [plain(prompt) for prompt in prompts],
    }


async def cancelled(client):
    """Leaves a call while it runs. The 1.x line tells nobody, so that the server hears nothing of it."""
    begun = anyio.Event()

    async def progress(done, total, message):
        begun.set()

    failed = False
    async with anyio.create_task_group() as group:

        async def run():
            nonlocal failed
            try:
                await client.call("waits", {"nonce": NONCE}, progress)
            except BaseException:
                failed = True
                raise

        group.start_soon(run)
        with anyio.move_on_after(10):
            await begun.wait()
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    return {"failed": failed}


async def progressed(client):
    async def progress(done, total, message):
        HEARD.append({"progress": done, "total": total, "message": message})

    return plain(await client.call("test_tool_with_progress", {}, progress))


async def large(client):
    text = (await client.call("large", {"bytes": 1_000_000})).content[0].text
    return {"length": len(text), "only": re.fullmatch("x+", text) is not None}


async def logging(client):
    await client.set_logging_level("info")
    return plain(await client.call("test_tool_with_logging"))


async def subscribed(client):
    await client.subscribe_resource("test://watched-resource")
    # The stream on which it is heard opens by itself: what happens before is heard by nobody.
    for _ in range(16):
        await client.call("test_trigger_resource_update")
        with anyio.move_on_after(0.5):
            while not HEARD:
                await anyio.sleep(0.05)
        if HEARD:
            break
    return plain(await client.unsubscribe_resource("test://watched-resource"))


async def heard_in(client, name, seconds=None):
    async def progress(done, total, message):
        HEARD.append({"message": message})

    return plain(await client.call(name, {"nonce": NONCE}, progress, seconds))


async def dialogue(client):
    version, server, capabilities, instructions = client.connected()
    say("connect", {"version": version, "server": server, "capabilities": plain(capabilities), "instructions": instructions})

    def of_call(name, arguments=None):
        async def act():
            return plain(await client.call(name, arguments))

        return act

    def of(act, *arguments):
        async def run():
            return plain(await act(*arguments))

        return run

    await step("lists", lambda: lists(client))
    await step("text", of_call("test_simple_text"))
    await step("content", of_call("test_multiple_content_types"))
    await step("structured", of_call("structured", {"city": "Kyiv"}))
    await step("isError", of_call("test_error_handling"))
    await step("progress", lambda: progressed(client))
    await step("cancel", lambda: cancelled(client))
    await step("elicit", of_call("test_elicitation", {"message": "May I?"}))
    await step("elicit-url", of_call("test_url_elicitation", {"url": "https://accounts.example/sign-in"}))
    await step("sample", of_call("test_sampling", {"prompt": "Say something"}))
    if MODERN:
        await step("rounds", of_call("test_input_required_result_multi_round"))
        await step("three", of_call("test_input_required_result_multiple_inputs"))
    await step("resource", of(client.read, "test://static-text"))
    await step("template", of(client.read, "test://template/7/data"))
    await step("no-resource", of(client.read, "test://nothing"))
    await step("prompt", of(client.get_prompt, "test_prompt_with_arguments", {"arg1": "one", "arg2": "two"}))
    await step("no-prompt", of(client.get_prompt, "nothing"))
    await step("complete", of(client.complete, "test_prompt_with_arguments", {"name": "arg1", "value": "par"}))
    if not MODERN:
        await step("log", lambda: logging(client))
        await step("ping", of(client.send_ping))
        await step("subscribe", lambda: subscribed(client))
    await step("large", lambda: large(client))
    await step("slow", of_call("slow", {"ms": 700}))
    if MODERN:
        await step("cut", lambda: heard_in(client, "cut", 3))
        await step("cut-and-again", of_call("cut", {"nonce": NONCE}))
    else:
        await step("cut-by-server", of_call("test_reconnection"))
        await step("cut-and-resume", lambda: heard_in(client, "resumed"))
    await step("unknown-tool", of_call("no_such_tool"))


async def main():
    try:
        async with connect() as client:
            await dialogue(client)
    except BaseException as error:
        say("end", failure(error))
        raise
    say("end", {"result": {}})


asyncio.run(main())
