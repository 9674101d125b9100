"""The official SDK talks to the stand-in and notices nothing: all that is read here are cozepy's typed objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.simulators.coze import DEMO_BOT, DEMO_CHATFLOW, DEMO_SPACE, DEMO_TOKEN, DEMO_WORKFLOW, CozeStandIn
from proxy.simulators.coze_access import OAuthApp
from proxy.simulators.coze_knobs import Ask, Break, Interrupt, Knobs, Platform, WorkflowKnobs
from tests.simulators.coze_client import cozepy

ASK: list[Any] = [cozepy.Message.build_user_question_text("count to 3")]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK polls every second; nobody here needs to wait for that."""
    monkeypatch.setattr("cozepy.chat.time.sleep", lambda seconds: None)


@contextmanager
def sdk(url: str, auth: Any) -> Iterator[Any]:
    with cozepy.SyncHTTPClient() as http:
        yield cozepy.Coze(auth=auth, base_url=url, http_client=http)


async def use(do: Callable[[Any], Any], **settings: Any) -> tuple[Any, CozeStandIn]:
    """What ``do`` brings with a client of the synchronous SDK."""

    def with_client(url: str) -> Any:
        with sdk(url, cozepy.TokenAuth(DEMO_TOKEN)) as coze:
            return do(coze)

    async with CozeStandIn(**settings) as server:
        return await asyncio.to_thread(with_client, server.url), server


async def test_a_streamed_chat() -> None:
    def do(coze: Any) -> Any:
        return list(coze.chat.stream(bot_id=DEMO_BOT, user_id="u", additional_messages=ASK))

    got, server = await use(do, knobs=Knobs(follow_ups=("And then?",), reasoning=("Hm", "m")))
    names = [event.event.value.removeprefix("conversation.") for event in got]
    assert names[:2] == ["chat.created", "chat.in_progress"]
    assert names[-1] == "chat.completed"
    deltas = [event.message for event in got if event.event.value == "conversation.message.delta"]
    assert "".join(delta.content for delta in deltas) == "1, 2, 3."
    assert "".join(delta.reasoning_content or "" for delta in deltas) == "Hmm"
    assert got[-1].chat.usage.token_count == 9
    completed = [event.message for event in got if event.event.value.endswith("message.completed")]
    assert [message.type.value for message in completed] == ["answer", "verbose", "follow_up"]
    assert got[-1].response.logid
    assert server.requests[0].headers["authorization"] == f"Bearer {DEMO_TOKEN}"


async def test_a_chat_that_is_polled() -> None:
    def do(coze: Any) -> Any:
        return coze.chat.create_and_poll(bot_id=DEMO_BOT, user_id="u", additional_messages=ASK)

    poll, server = await use(do)
    assert poll.chat.status == cozepy.ChatStatus.COMPLETED
    assert poll.chat.usage.output_count == 6
    assert [message.content for message in poll.messages if message.type == "answer"] == ["1, 2, 3."]
    assert len(server.heard("/v3/chat/retrieve")) == 3


async def test_tools_and_cancelling() -> None:
    def do(coze: Any) -> Any:
        first = list(coze.chat.stream(bot_id=DEMO_BOT, user_id="u", additional_messages=ASK))[-1].chat
        calls = first.required_action.submit_tool_outputs.tool_calls
        outputs = [cozepy.ToolOutput(tool_call_id=calls[0].id, output="21 degrees")]
        where = {"conversation_id": first.conversation_id, "chat_id": first.id}
        with pytest.raises(cozepy.CozeAPIError) as caught:
            coze.chat.cancel(**where)
        rest = list(coze.chat.submit_tool_outputs(**where, tool_outputs=outputs, stream=True))
        return first, calls, caught.value, rest

    (first, calls, error, rest), _ = await use(do, knobs=Knobs(rounds=((Ask("read", '{"room":3}'),),)))
    assert first.status == "requires_action"
    assert (calls[0].function.name, calls[0].function.arguments) == ("read", '{"room":3}')
    assert error.code == 4104
    assert error.logid
    assert {event.chat.id for event in rest if event.chat} == {first.id}
    assert "21 degrees" in "".join(event.message.content for event in rest if event.message)


async def test_conversations_and_their_messages() -> None:
    def do(coze: Any) -> Any:
        made = [
            coze.conversations.create(bot_id=DEMO_BOT, messages=ASK, name=f"n{place}", meta_data={"a": "b"})
            for place in range(3)
        ]
        coze.conversations.create()
        one = made[0].id
        listed = [found.id for found in coze.conversations.list(bot_id=DEMO_BOT, page_size=2)]
        for place in range(4):
            coze.conversations.messages.create(
                conversation_id=one, role="user", content=f"m{place}", content_type="text"
            )
        section = coze.conversations.clear(conversation_id=one)
        renamed = coze.conversations.update(conversation_id=one, name="other")
        pages = [
            message.content
            for message in coze.conversations.messages.list(conversation_id=one, order="asc", limit=2)
        ]
        last = next(iter(coze.conversations.messages.list(conversation_id=one)))
        coze.conversations.messages.update(
            conversation_id=one, message_id=last.id, content="new", content_type="text"
        )
        again = coze.conversations.messages.retrieve(conversation_id=one, message_id=last.id)
        coze.conversations.messages.delete(conversation_id=one, message_id=last.id)
        coze.conversations.delete(conversation_id=made[1].id)
        with pytest.raises(cozepy.CozeAPIError) as caught:
            coze.conversations.retrieve(conversation_id=made[1].id)
        return made, listed, section, renamed, pages, again, caught.value.code

    (made, listed, section, renamed, pages, again, code), server = await use(do)
    assert listed == [made[2].id, made[1].id, made[0].id]
    assert made[0].meta_data == {"a": "b"}
    assert section.conversation_id == made[0].id
    assert section.id != made[0].last_section_id
    assert (renamed.name, renamed.last_section_id) == ("other", section.id)
    assert pages == ["count to 3", "m0", "m1", "m2", "m3"]
    assert again.content == "new"
    assert code == 4200
    assert [message.content for message in server.world.conversations[made[0].id].messages][-1] == "m2"


async def test_files_in_a_question() -> None:
    def do(coze: Any) -> Any:
        file = coze.files.upload(file=("b.png", b"\x89PNG\r\n--\x00"))
        image = cozepy.MessageObjectString.build_image(file_id=file.id)
        words = cozepy.MessageObjectString.build_text("what is it")
        asked = [cozepy.Message.build_user_question_objects([words, image])]
        answer = list(coze.chat.stream(bot_id=DEMO_BOT, user_id="u", additional_messages=asked))
        return file, coze.files.retrieve(file_id=file.id), answer

    (file, again, answer), _ = await use(do)
    assert (file.file_name, file.bytes) == ("b.png", 9)
    assert again.model_dump() == file.model_dump()
    assert "I see an image." in "".join(event.message.content for event in answer if event.message)


async def test_workflows() -> None:
    words = {"input": "count to 2"}

    def do(coze: Any) -> Any:
        runs = coze.workflows.runs
        streamed = list(runs.stream(workflow_id=DEMO_WORKFLOW, parameters=words))
        whole = runs.create(workflow_id=DEMO_WORKFLOW, parameters=words)
        later = runs.create(workflow_id=DEMO_WORKFLOW, parameters=words, is_async=True)
        where = {"workflow_id": DEMO_WORKFLOW, "execute_id": later.execute_id}
        history = [runs.run_histories.retrieve(**where) for _ in range(3)]
        node = next(iter(history[-1].node_execute_status.values()))
        output = runs.run_histories.execute_nodes.retrieve(**where, node_execute_uuid=node.node_execute_uuid)
        listed = list(coze.workflows.list(workspace_id=DEMO_SPACE, page_size=1))
        shown = coze.workflows.retrieve(workflow_id=DEMO_WORKFLOW)
        return streamed, whole, later, history, output, listed, shown

    (streamed, whole, later, history, output, listed, shown), _ = await use(do)
    assert [event.id for event in streamed] == [0, 1, 2, 3, 4]
    assert "".join(event.message.content for event in streamed[:-1]) == "1, 2."
    assert json.loads(streamed[-1].message.content) == {"output": "1, 2."} == json.loads(whole.data)
    assert whole.usage.token_count == 7
    assert later.data == ""
    assert [found.execute_status.value for found in history] == ["Running", "Running", "Success"]
    assert json.loads(history[-1].output) == {"output": "1, 2."}
    assert output.node_output == "1, 2."
    assert [found.workflow_id for found in listed] == [DEMO_WORKFLOW, DEMO_CHATFLOW]
    assert shown.workflow_detail.workflow_id == DEMO_WORKFLOW


async def test_a_workflow_that_asks() -> None:
    def do(coze: Any) -> Any:
        runs = coze.workflows.runs
        first = list(runs.stream(workflow_id=DEMO_WORKFLOW))
        asked = first[-1].interrupt.interrupt_data
        rest = runs.resume(
            workflow_id=DEMO_WORKFLOW,
            event_id=asked.event_id,
            resume_data="say Rome",
            interrupt_type=asked.type,
        )
        return first, list(rest)

    knobs = WorkflowKnobs(interrupts=(Interrupt("Which town?"),))
    (first, rest), _ = await use(do, workflows={DEMO_WORKFLOW: knobs})
    assert [event.event.value for event in first] == ["Message", "Interrupt"]
    assert first[0].message.content == "Which town?"
    assert rest[0].id == 0
    assert json.loads(rest[-1].message.content) == {"output": "Rome"}


async def test_a_chatflow() -> None:
    def do(coze: Any) -> Any:
        asked = {"bot_id": DEMO_BOT, "parameters": {"n": 1}, "additional_messages": ASK}
        return list(coze.workflows.chat.stream(workflow_id=DEMO_CHATFLOW, **asked))

    got, _ = await use(do)
    assert "1, 2, 3." in [event.message.content for event in got if event.message]
    assert {event.chat.bot_id for event in got if event.chat} == {None}


async def test_what_the_account_has() -> None:
    def do(coze: Any) -> Any:
        return (
            list(coze.bots.list(space_id=DEMO_SPACE, page_size=2)),
            list(coze.bots.list(space_id=DEMO_SPACE, page_size=2, use_api_version=2)),
            coze.bots.retrieve(bot_id=DEMO_BOT),
            coze.users.me(),
            list(coze.workspaces.list()),
        )

    names = {
        DEMO_BOT: Knobs(name="one"),
        DEMO_BOT[:-1] + "7": Knobs(),
        DEMO_BOT[:-1] + "8": Knobs(name="three"),
    }
    (old, new, bot, me, spaces), _ = await use(do, bots=names)
    assert [found.bot_name for found in old] == ["one", "Bot 0007", "three"]
    assert [found.id for found in new] == list(names)
    assert bot.name == "one"
    assert me.user_name == "standin"
    assert [space.id for space in spaces] == [DEMO_SPACE]


@pytest.mark.parametrize("auth_status", [401, 200])
async def test_a_wrong_token(auth_status: int) -> None:
    def do(url: str) -> Any:
        with sdk(url, cozepy.TokenAuth("pat_other")) as coze, pytest.raises(cozepy.CozeAPIError) as caught:
            coze.users.me()
        return caught.value

    async with CozeStandIn(platform=Platform(auth_status=auth_status)) as server:
        error = await asyncio.to_thread(do, server.url)
    assert (error.code, error.msg) == (4100, "authentication is invalid")
    assert error.logid


async def test_a_failed_chat() -> None:
    def do(coze: Any) -> Any:
        return list(coze.chat.stream(bot_id=DEMO_BOT, user_id="u", additional_messages=ASK))

    got, _ = await use(do, knobs=Knobs(fault=Break(3, "failed", 5000, "event interval error")))
    assert got[-1].event == "conversation.chat.failed"
    assert (got[-1].chat.status, got[-1].chat.last_error.code) == ("failed", 5000)
    assert len(got) == 4


async def test_a_token_for_a_jwt() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def do(url: str) -> Any:
        app = cozepy.JWTOAuthApp("1130", private, "kid-1", base_url=url)
        with closing(app._requester.sync_client):
            with sdk(url, cozepy.JWTAuth(oauth_app=app, ttl=900)) as coze:
                first, again = coze.users.me(), coze.users.me()
            scope = cozepy.Scope.build_bot_chat(["1"])
            scoped = app.get_access_token(scope=scope, session_name="ann")
        with sdk(url, cozepy.TokenAuth(scoped.access_token)) as limited:
            with pytest.raises(cozepy.CozeAPIError) as caught:
                list(limited.chat.stream(bot_id=DEMO_BOT, user_id="u", additional_messages=ASK))
            return first, again, scoped, limited.users.me(), caught.value

    async with CozeStandIn(apps=[OAuthApp("1130", "kid-1", public.decode())]) as server:
        first, again, scoped, limited, error = await asyncio.to_thread(do, server.url)
        assert len(server.heard("/api/permission/oauth2/token")) == 2
    assert first.user_id == again.user_id == "1130"
    assert scoped.access_token.startswith("czs_")
    assert scoped.expires_in > 1_700_000_000
    assert limited.user_id == "1130/ann"
    assert error.code == 4101
