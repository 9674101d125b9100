"""The translator against the stand-in, which somebody else built from the same page: signed, strict, in frames.

Plans and questions are carried out with a plain HTTP client, the answer is read as it comes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field

from proxy.simulators.bedrock import DEMO_AGENT, DEMO_ALIAS
from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_knobs import Agent, Collaborator, Guardrail, Produced
from tests.simulators.bedrock_client import Client, bedrock
from tests.upstreams.bedrock_setup import Platform, agent, stream_to, user, words
from tests.wires.reader import Recorder, told
from translators.errors import GatewayError, UpstreamAuthFailed
from translators.events import Citation, Event, Failed, File, Finish, Reasoning, ToolCall, Usage

LONG = "You answer questions about parcels, and nothing else at all."
INLINE = {"foundation_model": "anthropic.claude-3-haiku-20240307-v1:0", "instruction": LONG}
TRACK = {
    "type": "function",
    "function": {
        "name": "track",
        "parameters": {
            "type": "object",
            "properties": {"parcel": {"type": "integer"}},
            "required": ["parcel"],
        },
    },
}


@define
class Chat:
    """One client of a gateway, who sends all that was said."""

    client: Client
    settings: dict[str, Any] = field(factory=dict)
    platform: Platform = field(factory=Platform)
    messages: list[dict[str, Any]] = field(factory=list)
    sessions: list[str] = field(factory=list)
    asked: int = 0

    async def say(self, content: Any, **body: Any) -> list[Event]:
        self.messages.append(user(content))
        return await self.go_on(**body)

    async def go_on(self, **body: Any) -> list[Event]:
        self.asked += 1
        options = {"agent_id": DEMO_AGENT, "agent_alias_id": DEMO_ALIAS, **self.settings}
        document = {"stream": True, **body, "messages": self.messages}
        upstream = agent(document, envelope=f"chatcmpl-{self.asked}", **options)
        self.platform.carry_out(upstream.prepare())
        call = upstream.call()
        reply = await self.client.send(call.method, f"/{call.path}", call.body, **call.headers)
        upstream.answered(reply.headers)
        if reply.status != 200:
            raise upstream.reject(reply.status, reply.body, None)
        upstream.asked()
        recorder = Recorder()
        told(
            stream_to(recorder, upstream), [reply.body[at : at + 50] for at in range(0, len(reply.body), 50)]
        )
        self.platform.carry_out(upstream.settle())
        self.sessions.append(upstream.headers["x-session-id"])
        self._hear(recorder.events)
        return recorder.events

    def _hear(self, events: list[Event]) -> None:
        calls = [event for event in events if isinstance(event, ToolCall)]
        document: dict[str, Any] = {"role": "assistant", "content": words(events)}
        if calls:
            document["tool_calls"] = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
                for one in calls
            ]
        self.messages.append(document)

    def bring(self, *results: str) -> None:
        ids = [call["id"] for call in self.messages[-1]["tool_calls"]]
        told = zip(ids, results, strict=True)
        self.messages += [{"role": "tool", "tool_call_id": id, "content": text} for id, text in told]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_conversation_is_one_session(stream: bool) -> None:
    async with bedrock() as client:
        chat = Chat(client)
        first = await chat.say("count to 3", stream=stream)
        assert words(first) == "1, 2, 3."
        assert isinstance(first[-1], Finish)
        assert any(isinstance(event, Reasoning) for event in first)
        [usage] = [event for event in first if isinstance(event, Usage)]
        assert usage.input > 0 < usage.output
        assert words(await chat.say("count to 5", stream=stream)) == "1, 2, 3, 4, 5."
        assert len(set(chat.sessions)) == 1


async def test_a_history_is_told_to_a_new_session() -> None:
    async with bedrock() as client:
        chat = Chat(client, {"history": "replay"})
        await chat.say("count to 3")
        await chat.say("count to 4")
        assert words(await chat.say("count to 5")) == "1, 2, 3, 4, 5."
        assert len(set(chat.sessions)) == 3


@pytest.mark.parametrize("settings", [{}, INLINE])
async def test_calls_and_their_results_go_round(settings: dict[str, Any]) -> None:
    async with bedrock() as client:
        chat = Chat(client, settings)
        tools = {"tools": [TRACK]} if settings else {}
        events = await chat.say("Please track parcel 77", **tools)
        [call] = [event for event in events if isinstance(event, ToolCall)]
        assert (call.name, json.loads(call.arguments)) == ("track", {"parcel": 77})
        finish = events[-1]
        assert isinstance(finish, Finish)
        assert finish.reason == "tool_calls"
        chat.bring("in Ulm")
        assert "in Ulm" in words(await chat.go_on(**tools))
        assert words(await chat.say("count to 3", **tools)) == "1, 2, 3."
        assert len(set(chat.sessions)) == 1


async def test_two_calls_of_two_kinds_and_one_that_wants_to_be_allowed() -> None:
    groups = (
        Group("Parcels", (Function("track", {"parcel": "integer"}, invocation="USER_CONFIRMATION"),)),
        Group("Orders", (Api("/orders/{id}", "GET", {"id": "string"}),)),
    )
    async with bedrock(Agent(groups=groups)) as client:
        chat = Chat(client)
        events = await chat.say("track parcel 77 and GET /orders/{id} of order 9")
        names = [event.name for event in events if isinstance(event, ToolCall)]
        assert names == ["track", "get_orders_id"]
        chat.bring("yes", '{"state":"sent"}')
        assert "sent" in words(await chat.go_on())


async def test_session_attributes_files_and_more_are_taken() -> None:
    async with bedrock() as client:
        chat = Chat(client)
        content = [
            {"type": "text", "text": "count to 3"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            {"type": "image_url", "image_url": {"url": "s3://bucket/b.png"}},
        ]
        events = await chat.say(
            content,
            session_id="s:1",
            memory_id="mem:1",
            metadata={"a": "b"},
            bedrock={
                "apply_guardrail_interval": 20,
                "latency": "standard",
                "prompt_session_attributes": {"c": "d"},
                "prompt_creation_configurations": {"previousConversationTurnsToInclude": 2},
                "knowledge_base_configurations": [
                    {
                        "knowledgeBaseId": "KB12345678",
                        "retrievalConfiguration": {"vectorSearchConfiguration": {}},
                    }
                ],
            },
        )
        assert words(events) == "1, 2, 3."
        assert chat.sessions == ["s:1"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("validationException", 400),
        ("accessDeniedException", 403),
        ("resourceNotFoundException", 404),
        ("conflictException", 409),
        ("serviceQuotaExceededException", 429),
        ("dependencyFailedException", 424),
        ("throttlingException", 429),
        ("modelNotReadyException", 503),
        ("internalServerException", 500),
        ("badGatewayException", 502),
    ],
)
async def test_every_exception_is_one_error_wherever_it_stands(name: str, status: int) -> None:
    async with bedrock() as client:
        with pytest.raises(GatewayError) as caught:
            await Chat(client).say(f"[{name}]")
        assert caught.value.status == status
        for place in ("event", "late"):
            last = (await Chat(client).say(f"[{place} {name}]"))[-1]
            assert isinstance(last, Failed)
            assert (last.error.status, last.error.code) == (status, caught.value.code)


async def test_a_wrong_secret_is_the_operators() -> None:
    async with bedrock() as client:
        client.keys = type(client.keys)(client.keys.access_key, "another")
        with pytest.raises(UpstreamAuthFailed):
            await Chat(client).say("hi")


async def answer_of(made: Agent, text: str = "count to 3", **settings: Any) -> list[Event]:
    async with bedrock(made) as client:
        return await Chat(client, settings).say(text)


@pytest.mark.parametrize(
    "made",
    [
        Agent(degrades=True),
        Agent(preprocessing=True),
        Agent(silent=True),
        Agent(chunk_bytes=1, said=("1, 2, 3.",)),
        Agent(noise=True, custom_trace="thinking"),
        Agent(prompt_size=50_000, usage="repeated"),
        Agent(collaborator=Collaborator()),
        Agent(reasoning="both"),
        Agent(reasoning="redacted", usage="none"),
    ],
)
async def test_an_answer_is_the_same_whatever_it_is_told_with(made: Agent) -> None:
    events = await answer_of(made)
    assert words(events) == "1, 2, 3."
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    [usage] = [event for event in events if isinstance(event, Usage)]
    assert (usage.native is not None) == (made.usage == "none")


async def test_characters_in_halves_are_whole_again() -> None:
    events = await answer_of(Agent(chunk_bytes=1, said=("Grüße 🎉 您好",)))
    assert words(events) == "Grüße 🎉 您好"


async def test_requests_that_are_told_twice_are_counted_once() -> None:
    [once] = [event for event in await answer_of(Agent()) if isinstance(event, Usage)]
    [twice] = [event for event in await answer_of(Agent(usage="repeated")) if isinstance(event, Usage)]
    assert once == twice


async def test_a_guardrail_that_blocks_and_one_that_masks() -> None:
    made = Agent(guardrail=Guardrail(blocked=("bomb",)))
    blocked = await answer_of(made, "how to build a bomb")
    assert words(blocked) == "Sorry, the model cannot answer this question."
    assert isinstance(blocked[-1], Finish)
    assert blocked[-1].reason == "content_filter"
    masked = await answer_of(Agent(guardrail=Guardrail(masked=("2",))))
    assert "2" not in words(masked)
    assert isinstance(masked[-1], Finish)
    assert masked[-1].reason == "stop"


async def test_sources_stand_where_their_words_do() -> None:
    events = await answer_of(Agent(citations=2))
    text = words(events)
    found = [event for event in events if isinstance(event, Citation)]
    assert found
    assert all(text[one.start : one.end] and one.source.startswith(("s3://", "http")) for one in found)
    assert not [
        one for one in await answer_of(Agent(citations=2, references=False)) if isinstance(one, Citation)
    ]


async def test_files_come_before_and_after_the_words() -> None:
    files = (Produced("plot.png", "image/png", b"\x89PNG"), Produced("empty.csv", "text/csv", b""))
    for first in (True, False):
        events = await answer_of(Agent(files=files, files_first=first))
        assert [one.name for one in events if isinstance(one, File)] == ["plot.png", "empty.csv"]
        assert "1, 2, 3." in words(events)


async def test_a_failure_trace_is_the_reason() -> None:
    last = (await answer_of(Agent(fails=(424, "The function said no."))))[-1]
    assert isinstance(last, Failed)
    assert (last.error.status, last.error.code) == (424, "dependency_failed")


async def test_a_collaborators_call_goes_back_with_its_name() -> None:
    sub = Collaborator(groups=(Group("Parcels", (Function("track", {"parcel": "integer"}),)),))
    async with bedrock(Agent(collaborator=sub)) as client:
        chat = Chat(client)
        events = await chat.say("track parcel 77")
        assert [one.name for one in events if isinstance(one, ToolCall)] == ["track"]
        chat.bring("in Ulm")
        assert "in Ulm" in words(await chat.go_on())
