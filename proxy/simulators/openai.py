"""A server of the OpenAI dialect for the demo, the tests and the bench: OpenAI, Ollama, vLLM or a sloppy one.

A real aiohttp application: it checks requests strictly, records them and answers with the built-in generator,
rendered as the chosen profile renders. ``Knobs`` make it slow, wrong or broken while it runs; what breaks the
connection itself is the script engine's business.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import Factory, define, evolve, field, frozen

from proxy.simulators.openai_checks import check
from proxy.simulators.openai_embeddings import EMBEDDERS, embedded
from proxy.simulators.openai_profiles import PROFILES, Fault, Profile
from proxy.simulators.recorded import Recorded
from translators import wirejson
from translators.errors import BadRequest, GatewayError, NotFound, Unauthenticated
from translators.generator import answer, documents, whole

_REMEMBERED = 10_000  # requests kept for whoever asks; a demo may run for weeks
_BODY_LIMIT = 64 << 20
_DONE = b"[DONE]"


@frozen
class Failure:
    """One answer that is an error; ``body`` replaces the profile's own words."""

    status: int
    message: str = "The server had an error while processing your request."
    type: str = "server_error"
    code: str | None = None
    retry_after: str | None = None
    body: bytes | None = None
    content_type: str = "application/json"


@frozen
class StreamError:
    """An error object inside a stream that began with 200, in place of the chunk after ``after`` others."""

    after: int
    document: Mapping[str, Any] = field(
        factory=lambda: {
            "error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}
        }
    )


@define
class Knobs:
    """What may be turned while the stand-in runs."""

    delay: float = 0.0
    """Seconds before each write of a stream."""
    first_delay: float = 0.0
    """Seconds before any answer begins."""
    per_write: int = 1
    """Frames that leave in one write."""
    blocking: bool = False
    """Answer with one JSON body although a stream was asked for."""
    think_tags: bool = False
    """Reasoning as ``<think>`` in the content."""
    numbers_only: bool = False
    """Refuse to give vectors as base64."""
    stream_error: StreamError | None = None
    failures: deque[Failure] = Factory(deque)
    """Answers for the next requests, one each."""


@define
class _State:
    profile: Profile
    api_key: str | None
    clock: Callable[[], float]
    new_id: Callable[[], str]
    knobs: Knobs
    requests: deque[Recorded] = Factory(lambda: deque(maxlen=_REMEMBERED))
    peers: dict[Any, int] = Factory(dict)


_STATE = web.AppKey("state", _State)


def build(
    profile: Profile | str = "openai",
    *,
    api_key: str | None = None,
    knobs: Knobs | None = None,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] | None = None,
) -> web.Application:
    """The application; ids count up unless ``new_id`` makes them."""
    chosen = PROFILES[profile] if isinstance(profile, str) else profile
    numbers = itertools.count(1)
    app = web.Application(middlewares=[_recorded, _refusals], client_max_size=_BODY_LIMIT)
    app[_STATE] = _State(
        chosen, api_key, clock, new_id or (lambda: chosen.id_of(next(numbers))), knobs or Knobs()
    )
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_post("/v1/embeddings", _embeddings)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/v1/models/{model:.+}", _model)
    app.router.add_route("*", "/{path:.*}", _nowhere)
    return app


class OpenAIStandIn:
    """The application on a port of its own, as an async context manager."""

    def __init__(
        self,
        profile: Profile | str = "openai",
        *,
        api_key: str | None = None,
        knobs: Knobs | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        app = build(profile, api_key=api_key, knobs=knobs, clock=clock, new_id=new_id)
        self._state = app[_STATE]
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def profile(self) -> Profile:
        return self._state.profile

    @property
    def knobs(self) -> Knobs:
        return self._state.knobs

    @property
    def requests(self) -> deque[Recorded]:
        return self._state.requests

    @property
    def connections(self) -> int:
        """How many connections ever brought a request."""
        return len(self._state.peers)

    @property
    def open_connections(self) -> int:
        return len(self._runner.server.connections) if self._runner.server is not None else 0


# Around every request.


@web.middleware
async def _recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    state = request.app[_STATE]
    number = state.peers.setdefault(request.get_extra_info("peername"), len(state.peers) + 1)
    body = await request.read()
    state.requests.append(Recorded(request.method, request.raw_path, request.headers, body, number))
    if state.knobs.first_delay:
        await asyncio.sleep(state.knobs.first_delay)
    if state.knobs.failures:
        return _failed(state, state.knobs.failures.popleft())
    return await handler(request)


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The key, and errors in the profile's own shape."""
    state = request.app[_STATE]
    try:
        if state.api_key is not None and request.headers.get("Authorization") != f"Bearer {state.api_key}":
            raise Unauthenticated("Incorrect API key provided.")
        return await handler(request)
    except GatewayError as error:
        fault = Fault(error.status, error.message, error.type, error.param, error.code)
        return _json(state.profile.errors(fault), error.status)


def _failed(state: _State, failure: Failure) -> web.Response:
    fault = Fault(failure.status, failure.message, failure.type, code=failure.code)
    body = failure.body if failure.body is not None else wirejson.dumps(state.profile.errors(fault))
    headers = {"Retry-After": failure.retry_after} if failure.retry_after is not None else {}
    return web.Response(body=body, status=failure.status, content_type=failure.content_type, headers=headers)


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=wirejson.dumps(document), status=status, content_type="application/json")


# Routes.


async def _nowhere(request: web.Request) -> web.StreamResponse:
    raise NotFound(f"Invalid URL ({request.method} {request.path})")


async def _models(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    return _json({"object": "list", "data": [_card(state, model) for model in state.profile.models]})


async def _model(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    return _json(_card(state, _served(state, request.match_info["model"])))


def _card(state: _State, model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": state.profile.owner}


def _served(state: _State, model: str) -> str:
    if not state.profile.serves(model):
        raise NotFound(state.profile.unknown_model.format(model=model), param="model", code="model_not_found")
    return model


async def _document(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise BadRequest(f"Unsupported content type '{request.content_type}': send application/json.")
    try:
        return wirejson.loads(await request.read())
    except ValueError:
        raise BadRequest("We could not parse the JSON body of your request.") from None


async def _embeddings(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    embedder, asked = EMBEDDERS[state.profile.name], await _document(request)
    strict, numbers_only = state.profile.strict, state.knobs.numbers_only
    return _json(embedded(embedder, asked, strict=strict, numbers_only=numbers_only))


async def _chat(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    asked = check(await _document(request), strict=state.profile.strict)
    _served(state, asked["model"])
    heard = {name: value for name, value in asked.items() if name not in state.profile.ignored}
    if heard.get("stream") and not state.knobs.blocking:
        return await _streamed(request, state, heard)
    reply = whole(answer(heard), heard, id=state.new_id(), created=int(state.clock()))
    return _json(_profile(state).whole(reply))


def _profile(state: _State) -> Profile:
    """The profile, with what the knobs add to it."""
    if not state.knobs.think_tags:
        return state.profile
    return evolve(state.profile, quirks=("think_tags", *state.profile.quirks))


async def _streamed(request: web.Request, state: _State, asked: Mapping[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    frames = _profile(state).framing.frames(_payloads(state, asked))
    await response.prepare(request)
    while batch := b"".join(itertools.islice(frames, state.knobs.per_write)):
        # Also without a delay: a reader in the same process must have its turn.
        await asyncio.sleep(state.knobs.delay)
        await response.write(batch)
    await response.write_eof()
    return response


def _payloads(state: _State, asked: Mapping[str, Any]) -> Iterator[bytes]:
    profile, error = _profile(state), state.knobs.stream_error
    plain = documents(answer(asked), asked, id=state.new_id(), created=int(state.clock()))
    chunks = profile.stream(plain, asked)
    if error is not None:
        chunks = itertools.chain(itertools.islice(chunks, error.after), [dict(error.document)])
    yield from map(wirejson.dumps, chunks)
    if profile.framing.done and (error is None or profile.framing.done_after_error):
        yield _DONE
