"""The Coze translators talk to the Coze stand-in, which was built from the platform's pages and not for them.

A client of a few lines carries out plans and reads streams; no gateway is needed. Here it counts that the server,
which is strict, understands every request, and that its words come back as what it said.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import aiohttp
import pytest
from attrs import define, field

from proxy.simulators.coze import DEMO_BOT, DEMO_CHATFLOW, DEMO_SPACE, DEMO_TOKEN, DEMO_WORKFLOW, CozeStandIn
from proxy.simulators.coze_knobs import Ask, Break, Interrupt, Knobs, Node, Question, WorkflowKnobs
from tests.upstreams.coze_setup import USER, coze
from tests.wires.reader import ENVELOPE
from translators.errors import GatewayError
from translators.stream import Stream
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.conversations import Page
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import ANYBODY, Call, Listed, Pause, Plan, Recall, Remember, Reply, Script

T = TypeVar("T")


@define
class Talk:
    """One account at the stand-in."""

    server: CozeStandIn
    session: aiohttp.ClientSession
    memory: dict[str, Any] = field(factory=dict)

    async def send(self, call: Call) -> Reply:
        headers = {
            "Authorization": f"Bearer {DEMO_TOKEN}",
            "Content-Type": "application/json",
            **call.headers,
        }
        url = f"{self.server.url}/{call.path}"
        async with self.session.request(call.method, url, data=call.body or None, headers=headers) as answer:
            return Reply(answer.status, await answer.read(), dict(answer.headers))

    async def carry_out(self, plan: Plan[T]) -> T:
        brought: Any = None
        while True:
            try:
                step = plan.send(brought)
            except StopIteration as end:
                result: T = end.value
                return result
            brought = None
            if isinstance(step, Call):
                brought = await self.send(step)
            elif isinstance(step, Recall):
                brought = self.memory.get(step.key)
            elif isinstance(step, Remember):
                self.memory[step.key] = step.value
            else:
                assert isinstance(step, Pause)

    async def tell(self, upstream: Coze, surface: Any) -> tuple[bytes, GatewayError | None]:
        stream = Stream(upstream.framing(), upstream, surface)
        plan = upstream.prepare()
        if plan is not None:
            await self.carry_out(plan)
        asked = upstream.call()
        if isinstance(asked, Script):
            pieces = [data for _, data in asked.steps]
        else:
            reply = await self.send(asked)
            if reply.status != 200:
                raise upstream.reject(reply.status, reply.body, None)
            pieces = [reply.body]
        out = b"".join([*map(stream.feed, pieces), stream.close()])
        settle = upstream.settle()
        if settle is not None:
            await self.carry_out(settle)
        return out, stream.failure

    async def answer(self, upstream: Coze) -> dict[str, Any]:
        """The whole answer, or its error raised."""
        out, failure = await self.tell(upstream, ChatWhole(ENVELOPE))
        if failure is not None:
            raise failure
        document: dict[str, Any] = json.loads(out)
        return document

    async def says(self, *args: Any, **settings: Any) -> str:
        content: str = (await self.answer(ours(*args, **settings)))["choices"][0]["message"]["content"]
        return content


def ours(
    body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> Coze:
    return coze(body, headers, **{"bot_id": DEMO_BOT, "workflow_id": DEMO_WORKFLOW, **more})


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    async with (
        CozeStandIn(knobs=Knobs(said=(("Blue", " jay."),))) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Talk(server, session)


async def test_a_chat(talk: Talk) -> None:
    document = await talk.answer(ours())
    assert document["choices"][0]["message"]["content"] == "Blue jay."
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"]["total_tokens"] > 0


KNOBS: dict[str, Knobs] = {
    "two answers": Knobs(said=(("Hi",), ("The", "re"))),
    "interleaved": Knobs(said=(("H", "i"), ("The", "re")), interleaved=True),
    "whole": Knobs(said=(("Hi",),), whole=True),
    "more in the end": Knobs(said=(("H",),), completed=("Hi",), completed_twice=True),
    "thoughts": Knobs(said=(("Hi",),), reasoning=("let me", " see")),
    "noise": Knobs(
        said=(("Hi",),),
        noise=(
            "knowledge",
            "function_call",
            "broken_call",
            "tool_output",
            "verbose",
            "unknown_event",
            "ping",
        ),
        follow_ups=("Why?",),
    ),
    "sounds": Knobs(said=(("Hi",),), audio=2),
    "no usage": Knobs(said=(("Hi",),), usage="null"),
    "other usage": Knobs(said=(("Hi",),), usage="other_names"),
    "empty action": Knobs(said=(("Hi",),), empty_action=True, inserted=True),
    "done without data": Knobs(said=(("Hi",),), done="no_data"),
    "done alone": Knobs(said=(("Hi",),), done="no_data", end="none"),
    "cancelled": Knobs(said=(("Hi",),), end="cancelled"),
}


@pytest.mark.parametrize("name", KNOBS)
async def test_whatever_a_bot_does(talk: Talk, name: str) -> None:
    talk.server.bots[DEMO_BOT] = KNOBS[name]
    expected = {"two answers": "Hi\n\nThere", "interleaved": "H\n\nThe" + "i" + "re"}.get(name, "Hi")
    assert await talk.says() == expected


@pytest.mark.parametrize(
    "how", ["error", "error_empty", "error_text", "failed", "failed_bare", "json", "end"]
)
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_wherever_a_bot_fails(talk: Talk, how: Any, after: int) -> None:
    talk.server.bots[DEMO_BOT] = Knobs(said=(("Blue", " jay."),), fault=Break(after, how))
    with pytest.raises(GatewayError) as caught:
        await talk.says()
    assert caught.value.status == 502


async def test_studio(talk: Talk) -> None:
    talk.server.platform.studio = True
    assert await talk.says() == "Blue jay."
    assert await talk.says(headers={"x-model-type": "workflow"})


async def test_polling(talk: Talk) -> None:
    assert await talk.says(polling=True) == "Blue jay."
    assert [heard.path for heard in talk.server.requests if "retrieve" in heard.path]


async def test_a_conversation_and_its_history(talk: Talk) -> None:
    first = ours(headers={"x-model-type": "conversation"})
    await talk.answer(first)
    id = first.headers["x-conversation-id"]
    turns = [USER, {"role": "assistant", "content": "Blue jay."}, {"role": "user", "content": "Another?"}]
    assert await talk.says({"messages": turns}, {"x-conversation-id": id}) == "Blue jay."
    kept = Coze.conversations(CozeSettings(bot_id=DEMO_BOT), ANYBODY)
    listed = await talk.carry_out(kept.index(Page()))
    assert [one["id"] for one in listed["data"]] == [id]
    history = await talk.carry_out(kept.history(id, Page(ascending=True)))
    assert [one["content"] for one in history["data"]] == [
        "Name a blue bird.",
        "Blue jay.",
        "Another?",
        "Blue jay.",
    ]
    added = await talk.carry_out(kept.add(id, {"role": "user", "content": "Thanks."}))
    assert added["content"] == "Thanks."
    page = await talk.carry_out(kept.history(id, Page(2, after=history["data"][0]["id"], ascending=True)))
    assert [one["content"] for one in page["data"]] == ["Blue jay.", "Another?"]
    assert (await talk.carry_out(kept.show(id)))["id"] == id
    assert (await talk.carry_out(kept.clear(id)))["section_id"]
    assert (await talk.carry_out(kept.delete(id)))["deleted"] is True
    created = await talk.carry_out(kept.create([USER], {"a": "b"}))
    assert created["metadata"] == {"a": "b"}


async def test_pictures_sounds_and_files(talk: Talk) -> None:
    shown = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://img.example.org/b.png"}},
        {"type": "file", "file": {"file_data": "aGk=", "filename": "b.pdf"}},
    ]
    words = {"type": "text", "text": "What is it?"}
    assert await talk.says({"messages": [{"role": "user", "content": [words, *shown]}]}) == "Blue jay."
    assert await talk.says({"messages": [{"role": "user", "content": shown}]}) == "Blue jay."
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    assert await talk.says({"messages": [{"role": "user", "content": [sound]}]}) == "Blue jay."
    uploads = [heard for heard in talk.server.requests if heard.path == "/v1/files/upload"]
    assert len(uploads) == 3
    assert len(talk.memory) == 3


@pytest.mark.parametrize("polling", [False, True])
async def test_tools(talk: Talk, polling: bool) -> None:
    rounds = ((Ask("read_sensor", '{"room":3}'), Ask("read_clock")), (Ask("read_sensor"),))
    talk.server.bots[DEMO_BOT] = Knobs(said=(("It is 21.",),), rounds=rounds)
    messages: list[dict[str, Any]] = [USER]
    for expected in (2, 1):
        document = await talk.answer(ours({"messages": messages}, polling=polling))
        [choice] = document["choices"]
        assert choice["finish_reason"] == "tool_calls"
        calls = choice["message"]["tool_calls"]
        assert len(calls) == expected
        messages += [choice["message"]]
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "21"} for call in calls]
    assert await talk.says({"messages": messages}, polling=polling) == "It is 21."
    assert len([heard for heard in talk.server.requests if heard.path == "/v3/chat"]) == 1


async def test_a_question_of_the_bot(talk: Talk) -> None:
    talk.server.bots[DEMO_BOT] = Knobs(said=(("Blue jay.",),), rounds=(Question("Which?"),))
    first = ours(headers={"x-model-type": "conversation"})
    document = await talk.answer(first)
    assert document["choices"][0]["message"]["content"] == "Which?"
    id = {"x-conversation-id": first.headers["x-conversation-id"]}
    assert await talk.says({"messages": [{"role": "user", "content": "The big one."}]}, id) == "Blue jay."


FLOW = {"x-model-type": "workflow", "x-conversation-id": "s"}


async def test_a_workflow(talk: Talk) -> None:
    talk.server.workflows[DEMO_WORKFLOW] = WorkflowKnobs(
        nodes=(Node("A", ("one", " two"), "1"), Node("B", ("three",), "2")), pings=1
    )
    assert await talk.says(headers=FLOW) == "one two\n\nthree"
    assert await talk.says({"is_async": True}, FLOW) == "one twothree"  # what the End node returns
    assert talk.memory["session:s"]["status"] == "completed"


@pytest.mark.parametrize("modern", [True, False])
async def test_a_workflow_that_only_returns(talk: Talk, modern: bool) -> None:
    talk.server.workflows[DEMO_WORKFLOW] = WorkflowKnobs(nodes=(), outputs={"output": "x"}, modern=modern)
    assert await talk.says(headers=FLOW) == "x"
    assert await talk.says({"is_async": True}, FLOW) == "x"


async def test_a_workflow_that_asks(talk: Talk) -> None:
    talk.server.workflows[DEMO_WORKFLOW] = WorkflowKnobs(
        nodes=(Node("A", ("Done.",)),), interrupts=(Interrupt("Which city?"), Interrupt("Which day?"))
    )
    assert await talk.says(headers=FLOW) == "Which city?"
    assert talk.memory["session:s"]["status"] == "interrupted"
    assert await talk.says({"messages": [{"role": "user", "content": "Paris"}]}, FLOW) == "Which day?"
    assert await talk.says({"messages": [{"role": "user", "content": "Monday"}]}, FLOW) == "Done."
    assert talk.memory["session:s"]["status"] == "completed"


async def test_a_workflow_that_fails(talk: Talk) -> None:
    talk.server.workflows[DEMO_WORKFLOW] = WorkflowKnobs(fault=Break(1, "failed", 4000))
    with pytest.raises(GatewayError) as caught:
        await talk.says(headers=FLOW)
    assert caught.value.status == 400
    assert talk.memory["session:s"]["status"] == "failed"


async def test_a_chatflow(talk: Talk) -> None:
    flow = {"x-model-type": "workflow", "x-workflow-id": DEMO_CHATFLOW}
    upstream = ours(headers=flow, chatflow=True)
    assert (await talk.answer(upstream))["choices"][0]["message"]["content"]
    id = upstream.headers["x-conversation-id"]
    assert await talk.says(None, {**flow, "x-conversation-id": id}, chatflow=True)


async def test_models(talk: Talk) -> None:
    plan = Coze.catalog(CozeSettings(space_id=DEMO_SPACE))
    assert plan is not None
    ids = [listed.id for listed in await talk.carry_out(plan) if isinstance(listed, Listed)]
    assert {f"bot/{DEMO_BOT}", f"workflow/{DEMO_WORKFLOW}"} <= set(ids)


async def test_leaving(talk: Talk) -> None:
    upstream = ours()
    stream = Stream(upstream.framing(), upstream, ChatWhole(ENVELOPE))
    call = upstream.call()
    assert isinstance(call, Call)
    talk.server.bots[DEMO_BOT] = Knobs(said=(("a", "b"),), abandoned="stays", fault=Break(3, "end"))
    stream.feed((await talk.send(call)).body)
    farewell = upstream.farewell()
    assert farewell is not None
    assert json.loads((await talk.send(farewell)).body)["code"] == 0


async def test_a_token_that_is_refused(talk: Talk) -> None:
    with pytest.raises(GatewayError) as caught:
        await talk.says(key="pat_wrong", pass_through=True)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
