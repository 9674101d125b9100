"""Sessions: what is remembered and for how long, one turn at a time, the end, and what a lost client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proxy.simulators import bedrock_sessions
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Agent, Event, Failure, Knobs, Sleep, failure
from tests.simulators.bedrock_client import HISTORY, STREAMED, TRACED, Client, bedrock, refused, where

SLOW = Wire(delay=0.03)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.002)


def open_stream(aws: Client, question: str = "count to 8") -> Any:
    """A streamed turn that the test reads, or leaves."""
    body = json.dumps({"inputText": question, **STREAMED}).encode()
    headers = aws.signed("POST", where(), body, {"Content-Type": "application/json"}, "bedrock")
    return aws.session.post(URL(aws.server.url + where(), encoded=True), data=body, headers=headers)


async def test_a_session_remembers() -> None:
    async with bedrock() as aws:
        await aws.ask("say one")
        await aws.ask("say two", sessionState={"sessionAttributes": {"a": "1"}})
        await aws.ask("say three", sessionState={"sessionAttributes": {"b": "2"}})
        other = await aws.ask("say four", session="s:2")
        session, fresh = aws.server.session("s:1"), aws.server.session("s:2")
    assert session is not None and fresh is not None
    assert [message["content"] for message in session.messages] == [
        "say one",
        "one",
        "say two",
        "two",
        "say three",
        "three",
    ]
    assert (session.turns, session.attributes) == (3, {"a": "1", "b": "2"})
    assert (fresh.turns, other.headers["x-amz-bedrock-agent-session-id"]) == (1, "s:2")


async def test_sessions_of_other_aliases_are_others() -> None:
    async with bedrock() as aws:
        await aws.ask("say one")
        await aws.send("POST", where(alias="TSTALIASID"), {"inputText": "say two"})
        draft = aws.server.session("s:1", alias_id="TSTALIASID")
    assert draft is not None
    assert draft.turns == 1


@pytest.mark.parametrize(("seconds", "turns"), [(59.0, 2), (60.0, 2), (61.0, 1)])
async def test_an_idle_session_is_forgotten(seconds: float, turns: int) -> None:
    async with bedrock(Agent(ttl=60)) as aws:
        await aws.ask()
        aws.clock.now += seconds
        assert (await aws.ask()).status == 200
        session = aws.server.session("s:1")
    assert session is not None
    assert session.turns == turns


async def test_history_seeds_a_new_session() -> None:
    state = {"conversationHistory": {"messages": HISTORY}}
    async with bedrock() as aws:
        await aws.ask("say more", sessionState=state)
        session = aws.server.session("s:1")
        used = await aws.ask("say more", sessionState=state)
        aws.server.knobs.seeds_used_sessions = False
        late = await aws.ask("say more", sessionState=state)
    assert session is not None
    assert [message["content"] for message in session.messages][:3] == ["hi", "hello", "say more"]
    assert used.status == 200
    assert refused(late, "new session")


async def test_attributes_of_a_prompt_need_a_place_in_it() -> None:
    state = {"promptSessionAttributes": {"system_prompt": "be brief"}}
    prompts = []
    for placeholder in (True, False):
        async with bedrock(Agent(placeholder=placeholder)) as aws:
            reply = await aws.ask("say hi", sessionState=state, **TRACED)
        prompts.append(reply.named("trace")[0]["trace"]["orchestrationTrace"]["modelInvocationInput"]["text"])
    assert prompts == ["be brief\n\nsay hi", "say hi"]


async def test_the_end_of_a_session() -> None:
    async with bedrock() as aws:
        await aws.ask("say one")
        ended = await aws.ask("say two", endSession=True)
        await aws.ask("say three")
        session = aws.server.session("s:1")
        bare = await aws.ask(None, endSession=True)
        aws.server.knobs.farewell = ""
        silent = await aws.ask(None, endSession=True)
        aws.server.knobs.ends_after_answer = True
        answered = await aws.ask("say four", endSession=True)
        last = aws.server.session("s:1")
    assert ended.text == bare.text == "Session is terminated as 'endSession' flag is set in request."
    assert session is not None and last is not None
    assert session.turns == 1
    assert (silent.status, silent.body) == (200, b"")
    assert (answered.text, last.ended) == ("four", True)


async def test_memory_is_told_where_there_is_any() -> None:
    for memory, told in ((True, "me"), (False, None)):
        async with bedrock(Agent(memory=memory)) as aws:
            reply = await aws.ask(memoryId="me")
        assert reply.headers.get("x-amz-bedrock-agent-memory-id") == told


@pytest.mark.parametrize("how", ["http", "event"])
async def test_one_turn_at_a_time(how: Any) -> None:
    held = (Event("chunk", {"bytes": "aGk="}), Sleep(20))
    knobs = Knobs(conflict=how, abandoned="stops")
    async with bedrock(Agent(scripts={"hold": held}), knobs=knobs) as aws:
        async with open_stream(aws, "hold") as first:
            await first.content.readany()
            second = await aws.ask()
            other = await aws.ask(session="s:2")
            first.close()
        session = aws.server.session("s:1")
        assert session is not None
        await until(lambda: not session.busy)
        third = await aws.ask()
    if how == "http":
        assert second.error == (409, "ConflictException")
    else:
        assert (second.status, second.kinds) == (200, ["conflictException"])
    assert (other.text, third.text) == ("1, 2, 3.", "1, 2, 3.")


async def test_a_turn_goes_on_when_its_client_has_left() -> None:
    async with bedrock(knobs=Knobs(wire=SLOW)) as aws:
        async with open_stream(aws) as response:
            await response.content.readany()
            response.close()
        await until(lambda: aws.server.requests[-1].left is not None)
        session = aws.server.session("s:1")
        assert session is not None
        busy = session.busy
        await until(lambda: not session.busy)
        answered = session.messages[-1]["content"]
    assert busy
    assert answered.endswith("8.")


async def test_or_it_stops() -> None:
    async with bedrock(knobs=Knobs(wire=SLOW, abandoned="stops")) as aws:
        async with open_stream(aws) as response:
            await response.content.readany()
            response.close()
        await until(lambda: aws.server.requests[-1].left is not None)
        session = aws.server.session("s:1")
    assert session is not None
    assert not session.busy


@pytest.mark.parametrize("how", ["end", "abort"])
async def test_a_turn_goes_on_when_its_stream_was_broken(how: Any) -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(Failure(failure("x").trouble, how, 2))
        async with open_stream(aws) as response:
            try:
                await response.read()
                broken = False
            except aiohttp.ClientError:
                broken = True
        session = aws.server.session("s:1")
        assert session is not None
        await until(lambda: not session.busy)
    assert broken is (how == "abort")
    assert session.messages[-1]["content"].endswith("8.")


async def test_an_exception_is_the_end_of_a_turn() -> None:
    async with bedrock() as aws:
        failed = await aws.ask("[late throttlingException] count to 3", **STREAMED)
        again = await aws.ask("count to 3", **STREAMED)
    assert failed.kinds == ["chunk", "throttlingException"]
    assert len(failed.frames) == 5
    assert again.text == "1, 2, 3."


async def test_a_stand_in_that_closes_does_not_wait_for_turns() -> None:
    async with bedrock(knobs=Knobs(wire=Wire(delay=60))) as aws:
        task = asyncio.ensure_future(aws.ask(**STREAMED))
        await until(lambda: (session := aws.server.session("s:1")) is not None and session.busy)
        task.cancel()
        await until(lambda: aws.server.requests[-1].left is not None)
        session = aws.server.session("s:1")
        assert session is not None and session.busy
    assert not session.busy


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_sessions, "_MOST_KEPT", 2)
    monkeypatch.setattr(bedrock_sessions, "_MOST_MESSAGES", 3)
    async with bedrock() as aws:
        for session in ("s:1", "s:2", "s:3", "s:3"):
            await aws.ask("say hi", session=session)
        kept = list(aws.server.world.sessions.kept)
        last = aws.server.session("s:3")
    assert [key[-1] for key in kept] == ["s:2", "s:3"]
    assert last is not None
    assert [message["content"] for message in last.messages] == ["hi", "say hi", "hi"]
