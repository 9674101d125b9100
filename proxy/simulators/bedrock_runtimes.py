"""InvokeAgentRuntime of AgentCore: any payload in, and out whatever the agent behind it yields.

There is no framing of AWS around the answer: it is server-sent events or one JSON document, and only the
Content-Type says which. The built-in agent wants a JSON object with a ``prompt`` or with ``messages``, as most do;
what it cannot read is its own error, which AgentCore passes on as a RuntimeClientError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from proxy.simulators import bedrock_bodies as bodies
from proxy.simulators.bedrock_auth import bearer_of
from proxy.simulators.bedrock_faults import Fault, invalid, missing
from proxy.simulators.bedrock_knobs import Failure, Runtime
from proxy.simulators.bedrock_sessions import Session, keep
from proxy.simulators.bedrock_stream import FAILURE, hang_up
from proxy.simulators.bedrock_world import WORLD, World
from translators import prose, wirejson
from translators.generator import answer

SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
_QUERY = ("qualifier", "accountId")


def runtime_of(world: World, name: str, account: str | None) -> Runtime:
    """The runtime with this ARN, or with this id in an account that is named."""
    bare = name.rpartition("/")[2]
    if "/" not in name:
        if account is None:
            raise invalid("The accountId is needed where the runtime is named by its id.")
        bodies.ACCOUNT_ID.check(account, "accountId")
    known = name == world.arn(f"runtime/{bare}", "bedrock-agentcore") or (
        name == bare and account == world.account
    )
    if not known or (runtime := world.runtimes.get(bare)) is None:
        raise missing()
    return runtime


async def invoke_runtime(request: web.Request, name: str) -> web.StreamResponse:
    world = request.app[WORLD]
    query = request.query
    if unknown := [one for one in query if one not in _QUERY]:
        raise invalid(f"The query has a member that is not known here: '{unknown[0]}'.")
    runtime = runtime_of(world, name, query.get("accountId"))
    _check_caller(request, runtime)
    if query.get("qualifier", "DEFAULT") not in runtime.endpoints:
        raise missing()
    given = request.headers.get(SESSION_HEADER)
    if given is not None:
        bodies.RUNTIME_SESSION_ID.check(given, "runtimeSessionId")
    for header in ("Content-Type", "Accept"):
        if (value := request.headers.get(header)) is not None:
            bodies.MIME_TYPE.check(value, header)
    body = await request.read()
    if len(body) > bodies.MOST_PAYLOAD:
        raise invalid("The payload may have 100 MB at most.")
    session = _session(world, name, given or world.new_id())
    session.say({"role": "user", "content": _prompt(body)})
    headers = {SESSION_HEADER: session.id}
    accepted = request.headers.get("Accept", "")
    if runtime.streams if runtime.streams is not None else "text/event-stream" in accepted:
        return await _stream(request, world, runtime, session, headers)
    text = "".join(_words(session))
    session.say({"role": "assistant", "content": text})
    document = {"result": text} if runtime.document is None else runtime.document
    return web.Response(body=wirejson.dumps(document), content_type="application/json", headers=headers)


async def stop_session(request: web.Request, name: str) -> web.Response:
    world = request.app[WORLD]
    runtime = runtime_of(world, name, request.query.get("accountId"))
    _check_caller(request, runtime)
    if request.query.get("qualifier", "DEFAULT") not in runtime.endpoints:
        raise missing()
    session = request.headers.get(SESSION_HEADER, "")
    bodies.RUNTIME_SESSION_ID.check(session, "runtimeSessionId")
    if world.runtime_sessions.pop((name, session), None) is None:
        raise missing()
    return web.json_response({}, headers={SESSION_HEADER: session})


def _check_caller(request: web.Request, runtime: Runtime) -> None:
    token = bearer_of(request.headers)
    if (token is None) is not (runtime.bearer is None):
        raise Fault(
            "accessDeniedException",
            "Authorization method mismatch. The agent is configured for a different authorization method "
            "than what was used in your request.",
        )
    if token != runtime.bearer:
        raise Fault("accessDeniedException", "The bearer token is not valid.")


def _session(world: World, name: str, session_id: str) -> Session:
    key = name, session_id
    if (found := world.runtime_sessions.get(key)) is None:
        found = Session(session_id, world.clock(), 0)
        keep(world.runtime_sessions, key, found)
    return found


def _prompt(body: bytes) -> str:
    try:
        given = wirejson.loads(body)
        text = given["prompt"] if "prompt" in given else prose.words_of(given["messages"][-1]["content"])
    except (ValueError, LookupError, TypeError):
        raise Fault("runtimeClientError") from None
    if not isinstance(text, str):
        raise Fault("runtimeClientError")
    return prose.clean(text)


def _words(session: Session) -> tuple[str, ...]:
    choice = answer({"messages": session.messages}).choices[0]
    return choice.content or choice.refusal


# The stream.


async def _stream(
    request: web.Request, world: World, runtime: Runtime, session: Session, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **headers})
    await response.prepare(request)
    failure: Failure | None = request.get(FAILURE)
    pieces = _words(session)
    session.say({"role": "assistant", "content": "".join(pieces)})
    writes = iter(runtime.script) if runtime.script is not None else _events(runtime, pieces)
    for place, data in enumerate(writes):
        if failure is not None and place == failure.after:
            break
        await asyncio.sleep(runtime.delay)
        await response.write(data)
    if failure is not None and failure.how in ("event", "error"):
        await response.write(_data(wirejson.dumps({"error": failure.trouble.document["message"]})))
    if failure is not None and failure.how == "abort":
        hang_up(request)
    else:
        await response.write_eof()
    return response


def _events(runtime: Runtime, pieces: tuple[str, ...]) -> Iterator[bytes]:
    if runtime.yields == "strands":
        yield _data(wirejson.dumps({"init_event_loop": True}))
        yield _data(wirejson.dumps({"event": {"messageStart": {"role": "assistant"}}}))
    for place, piece in enumerate(pieces):
        if place == runtime.fails_after:
            told = {"error": "the model is overloaded", "error_type": "ModelThrottled"}
            yield _data(wirejson.dumps(told))
            return
        yield _data(_FORMS[runtime.yields](piece))
    if runtime.yields == "strands":
        yield _data(wirejson.dumps({"event": {"messageStop": {"stopReason": "end_turn"}}}))


def _data(payload: bytes) -> bytes:
    lines = payload.split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def _strand(piece: str) -> bytes:
    delta: dict[str, Any] = {"delta": {"text": piece}, "contentBlockIndex": 0}
    return wirejson.dumps({"event": {"contentBlockDelta": delta}})


_FORMS: Mapping[str, Callable[[str], bytes]] = {
    "strands": _strand,
    "text": str.encode,
    "strings": wirejson.dumps,
    "chunks": lambda piece: wirejson.dumps({"data": piece}),
}
