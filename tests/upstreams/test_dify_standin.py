"""The translators against the stand-in, which somebody else built from the same page: every app, every release.

Plans and questions are carried out with a plain HTTP client, the answer is read as it comes.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from attrs import define, field

from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import App, Knobs, RunFailure, Variable
from proxy.simulators.dify_versions import VERSIONS
from tests.simulators.dify_setup import KEYS, app_of
from tests.upstreams.dify_setup import assistant, dify, stream_to, user, words
from tests.wires.reader import Recorder
from translators.errors import GatewayError, RateLimited, UpstreamError, UpstreamFailed
from translators.events import Activity, Event, Failed, File, Finish, Reasoning, Replace, Usage
from translators.upstreams.dify import Dify
from translators.upstreams.plan import Cached, Call, Plan, Recall, Remember, Reply

COUNT = "count to 3"
COUNTED = "1, 2, 3."
SAID = dict.fromkeys(("agent-chat", "agent"), f"Let me look that up. {COUNTED}")


@define
class Client:
    """One owner of a key, who remembers."""

    url: str
    key: str
    session: aiohttp.ClientSession
    memory: dict[str, Any] = field(factory=dict)
    paths: list[str] = field(factory=list)

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        self.paths.append(call.path)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}", **call.headers}
        return await self.session.request(
            call.method, f"{self.url}/{call.path}", data=call.body, headers=headers
        )

    async def carry_out(self, plan: Plan[Any] | None) -> None:
        brought: Any = None
        while plan is not None:
            try:
                step = plan.send(brought)
            except StopIteration:
                return
            if isinstance(step, Recall):
                brought = self.memory.get(step.key)
            elif isinstance(step, Remember):
                brought, self.memory[step.key] = None, step.value
            else:
                call = step.call if isinstance(step, Cached) else step
                async with await self._send(call) as answer:
                    brought = Reply(answer.status, await answer.read())

    async def ask(self, upstream: Dify, leave_after: int | None = None) -> list[Event]:
        """Everything from what comes before the question to what is left when the answer is over."""
        upstream.base_url = self.url
        try:
            await self.carry_out(upstream.prepare())
            return await self._exchange(upstream, leave_after)
        finally:
            await self.carry_out(upstream.settle())

    async def _exchange(self, upstream: Dify, leave_after: int | None) -> list[Event]:
        recorder = Recorder()
        stream = stream_to(recorder, upstream)
        while True:
            async with await self._send(upstream.call()) as answer:
                if answer.status != 200:
                    error = upstream.reject(answer.status, await answer.read(), None)
                    if upstream.reconsider(error):
                        continue
                    return [Failed(error)]
                upstream.asked()
                async for data in answer.content.iter_any():
                    stream.feed(data)
                    if leave_after is not None and len(recorder.events) >= leave_after:
                        break
                else:
                    stream.close()
            if not stream.done and (farewell := upstream.farewell()) is not None:
                (await self._send(farewell)).close()
            return recorder.events


Open = Callable[..., Client]


@asynccontextmanager
async def opened(
    apps: dict[str, App], version: str, knobs: Knobs | None = None
) -> AsyncIterator[tuple[DifyStandIn, Open]]:
    async with DifyStandIn(apps, version, knobs=knobs) as standin, aiohttp.ClientSession() as session:
        yield standin, lambda key: Client(standin.url, key, session)


def asks(text: str = COUNT, **options: Any) -> Dify:
    return dify({"messages": [user(text)], "stream": True}, **{"mode": "auto", **options})


COMBINATIONS = [(version, mode) for version in VERSIONS for mode in KEYS if mode in VERSIONS[version].modes]


@pytest.mark.parametrize(("version", "mode"), COMBINATIONS)
async def test_every_app_of_every_release_answers(version: str, mode: str) -> None:
    async with opened({KEYS[mode]: app_of(mode)}, version) as (_, client):
        events = await client(KEYS[mode]).ask(asks())
    assert words(events) == SAID.get(mode, COUNTED)
    last = events[-1]
    assert type(last) is Finish
    assert last.reason == "stop"
    assert any(type(event) is Usage for event in events)


@pytest.mark.parametrize("mode", list(KEYS))
async def test_noise_says_nothing(mode: str) -> None:
    knobs = Knobs(
        noise=True, huge_node=600_000, cut_every=7000, newline="\r\n", space=False, speech=2, ping_data=True
    )
    async with opened({KEYS[mode]: app_of(mode)}, "1.16", knobs) as (_, client):
        assert words(await client(KEYS[mode]).ask(asks())) == SAID.get(mode, COUNTED)


@pytest.mark.parametrize("version", list(VERSIONS))
async def test_an_app_is_found_out_and_remembered(version: str) -> None:
    async with opened({"app-w": app_of("workflow")}, version) as (_, client):
        one = client("app-w")
        for _ in range(2):
            assert words(await one.ask(asks())) == COUNTED
    runs = [path for path in one.paths if path == "workflows/run"]
    assert len(runs) == 2
    assert one.paths.count("chat-messages") <= 1


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
async def test_a_conversation_goes_on_and_forks(version: str, mode: str) -> None:
    async with opened({KEYS[mode]: app_of(mode)}, version) as (standin, client):
        one = client(KEYS[mode])
        turns: list[dict[str, str]] = []
        for _ in range(3):
            turns.append(user(COUNT))
            events = await one.ask(dify({"messages": turns, "stream": True}, mode=mode))
            assert words(events) == COUNTED
            turns.append(assistant(words(events)))
        edited = [user("count to 3 "), assistant("1, 2."), user(COUNT)]
        await one.ask(dify({"messages": edited, "stream": True}, mode=mode))
        asked = [json.loads(request.body) for request in standin.requests]
        named = [body.get("conversation_id") for body in asked]
        assert named[0] is named[3] is None
        assert named[1] == named[2] is not None
        assert asked[3]["query"] == "User: count to 3\n\nAssistant: 1, 2.\n\nUser: count to 3"


async def test_a_conversation_that_is_gone_is_begun_anew() -> None:
    async with opened({"app-chat": app_of("chat")}, "1.12") as (_, client):
        one = client("app-chat")
        await one.ask(dify({"messages": [user(COUNT)]}, mode="chat"))
        one.memory = dict.fromkeys(one.memory, "00000000-0000-4000-8000-0000000000ff")
        turns = [user(COUNT), assistant(COUNTED), user(COUNT)]
        events = await one.ask(dify({"messages": turns}, mode="chat"))
        assert type(events[-1]) is Finish
        assert one.paths == ["chat-messages"] * 3


async def test_files_are_uploaded_and_given() -> None:
    image = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"png").decode()},
    }
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": COUNT}, image]}]}
    async with opened({"app-chat": app_of("chat")}, "1.12") as (_, client):
        one = client("app-chat")
        assert type((await one.ask(dify(body)))[-1]) is Finish
        assert one.paths == ["files/upload", "chat-messages"]
    form = (Variable("topic"), Variable("picture", "file"))
    async with opened({"app-w": App("workflow", form=form)}, "1.16") as (_, client):
        assert type((await client("app-w").ask(dify(body, mode="workflow")))[-1]) is Finish


KNOBS: list[tuple[str, Knobs, Callable[[list[Event]], bool]]] = [
    ("chat", Knobs(reasoning="tagged"), lambda events: any(type(event) is Reasoning for event in events)),
    (
        "advanced-chat",
        Knobs(reasoning="separated"),
        lambda events: any(type(event) is Reasoning for event in events),
    ),
    ("workflow", Knobs(reasoning="tagged"), lambda events: any(type(event) is Reasoning for event in events)),
    ("chat", Knobs(moderation="No."), lambda events: Replace("No.", COUNTED) in events),
    ("chat", Knobs(annotation="Yes."), lambda events: words(events) == "Yes."),
    ("chat", Knobs(usage="null"), lambda events: not any(type(event) is Usage for event in events)),
    ("chat", Knobs(usage="none"), lambda events: not any(type(event) is Usage for event in events)),
    ("chat", Knobs(blocking=True), lambda events: words(events) == COUNTED),
    ("advanced-chat", Knobs(blocking=True), lambda events: words(events) == COUNTED),
    ("workflow", Knobs(blocking=True), lambda events: words(events) == COUNTED),
    ("agent-chat", Knobs(tools=2), lambda events: sum(type(event) is Activity for event in events) >= 4),
    ("agent-chat", Knobs(react=True), lambda events: words(events) == COUNTED),
    ("advanced-chat", Knobs(finish_reason="length"), lambda events: events[-1].reason == "length"),  # type: ignore[union-attr]
    ("advanced-chat", Knobs(exceptions=1), lambda events: words(events) == COUNTED),
    ("workflow", Knobs(outputs={"a": 1}), lambda events: words(events) == '{"a":1}'),
    (
        "chat",
        Knobs(answer_files=1),
        lambda events: any(type(event) is File and "://" in event.url for event in events),
    ),
    ("chat", Knobs(citations=2), lambda events: "retriever_resources" in (events[-1].platform or {})),  # type: ignore[union-attr]
    ("chat", Knobs(speech=2), lambda events: words(events) == COUNTED),
]


@pytest.mark.parametrize(("mode", "knobs", "holds"), KNOBS)
@pytest.mark.parametrize("version", ["1.9", "1.12", "1.16"])
async def test_knobs(mode: str, knobs: Knobs, holds: Callable[[list[Event]], bool], version: str) -> None:
    async with opened({KEYS[mode]: app_of(mode)}, version, knobs) as (_, client):
        events = await client(KEYS[mode]).ask(asks())
    assert type(events[-1]) is Finish
    assert holds(events)


@pytest.mark.parametrize("version", ["1.9", "1.13", "1.16"])
async def test_a_chatflow_that_loses_its_last_word(version: str) -> None:
    for knobs in (Knobs(closes_early=True), Knobs(lost=frozenset(["message_end"]))):
        async with opened({"app-flow": app_of("advanced-chat")}, version, knobs) as (_, client):
            events = await client("app-flow").ask(asks())
        assert words(events) == COUNTED
        assert type(events[-1]) is Finish
        assert any(type(event) is Usage for event in events)


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow", "completion", "agent-chat"])
@pytest.mark.parametrize("after", [0, 2])
async def test_runs_that_fail(mode: str, after: int) -> None:
    knobs = Knobs(failure=RunFailure(after))
    async with opened({KEYS[mode]: app_of(mode)}, "1.12", knobs) as (_, client):
        events = await client(KEYS[mode]).ask(asks())
    last = events[-1]
    assert type(last) is Failed
    # A graph has done some of its work; elsewhere only the model failed.
    graph = mode in ("advanced-chat", "workflow")
    assert type(last.error) is (UpstreamFailed if graph else UpstreamError)
    assert sum(type(event) in (Failed, Finish) for event in events) == 1


async def test_a_run_that_waits_for_somebody() -> None:
    for mode in ("advanced-chat", "workflow"):
        async with opened({KEYS[mode]: app_of(mode)}, "1.16", Knobs(pause=True)) as (_, client):
            events = await client(KEYS[mode]).ask(asks())
        last = events[-1]
        assert type(last) is Finish
        assert last.platform is not None
        assert last.platform["human_input"]
        assert words(events).strip()


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow", "completion"])
async def test_the_farewell_stops_the_run(mode: str) -> None:
    async with opened({KEYS[mode]: app_of(mode)}, "1.12", Knobs(delay=0.02)) as (standin, client):
        one = client(KEYS[mode])
        await one.ask(asks("count to 50"), leave_after=6)
        assert one.paths[-1].endswith("/stop")
        [run] = standin.runs
        async with asyncio.timeout(5):
            await run.done.wait()
        assert run.status == "stopped"  # which a foreign user would not have been granted


async def test_a_crowded_app() -> None:
    async with opened({"app-chat": app_of("chat")}, "1.12", Knobs(max_active=1, delay=0.05)) as (_, client):
        answers = await asyncio.gather(*(client("app-chat").ask(asks()) for _ in range(3)))
    errors = [last.error for events in answers if type(last := events[-1]) is Failed]
    assert errors
    assert all(type(error) is RateLimited and error.retry_after == 1.0 for error in errors)


async def test_a_key_that_opens_nothing() -> None:
    async with opened({"app-chat": app_of("chat")}, "1.12") as (_, client):
        with pytest.raises(GatewayError) as caught:
            await client("app-wrong").ask(asks())
        assert caught.value.code == "upstream_auth_failed"
