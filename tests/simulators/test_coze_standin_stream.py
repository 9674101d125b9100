"""Every knob of a stream, by the bytes or the events it changes."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp
import pytest

from proxy.simulators.coze_events import Drop, End, Event, Line
from proxy.simulators.coze_knobs import Break, Framing, Knobs
from proxy.simulators.coze_stream import Rendered, Writer, cut
from tests.simulators.coze_client import Client, chat, events, platform, says, studio

SAID = Knobs(said=(("Blue", " jay."),))
CHAT = (
    '"conversation_id":"7519000000000000001","bot_id":"7512000000000000001","created_at":1795000000,{}'
    '"last_error":{{"code":0,"msg":""}},"status":"{}",'
    '"usage":{{"token_count":{},"output_count":{},"input_count":{}}},"section_id":"7519000000000000001"}}'
)
MESSAGE = (
    '"conversation_id":"7519000000000000001","bot_id":"7512000000000000001","role":"assistant","type":"{}",'
    '"content":"{}","content_type":"text","chat_id":"7519000000000000002","section_id":"7519000000000000001"}}'
)
FINISH = (
    '{\\"msg_type\\":\\"generate_answer_finish\\",'
    '\\"data\\":\\"{\\\\\\"finish_reason\\\\\\":0,\\\\\\"FinData\\\\\\":\\\\\\"\\\\\\"}\\",'
    '\\"from_module\\":null,\\"from_unit\\":null}'
)
BLUE_JAY = [
    ("conversation.chat.created", '{"id":"7519000000000000002",' + CHAT.format("", "created", 0, 0, 0)),
    (
        "conversation.chat.in_progress",
        '{"id":"7519000000000000002",' + CHAT.format("", "in_progress", 0, 0, 0),
    ),
    ("conversation.message.delta", '{"id":"7519000000000000004",' + MESSAGE.format("answer", "Blue")),
    ("conversation.message.delta", '{"id":"7519000000000000004",' + MESSAGE.format("answer", " jay.")),
    (
        "conversation.message.completed",
        '{"id":"7519000000000000004",' + MESSAGE.format("answer", "Blue jay."),
    ),
    ("conversation.message.completed", '{"id":"7519000000000000005",' + MESSAGE.format("verbose", FINISH)),
    (
        "conversation.chat.completed",
        '{"id":"7519000000000000002",' + CHAT.format('"completed_at":1795000000,', "completed", 7, 4, 3),
    ),
    ("done", '"[DONE]"'),
]


def wire(colon: str = ":", newline: str = "\n") -> bytes:
    blocks = [f"event{colon}{name}{newline}data{colon}{data}{newline}{newline}" for name, data in BLUE_JAY]
    return "".join(blocks).encode()


async def sent(knobs: Knobs, path: str = "/v3/chat", **more: Any) -> bytes:
    async with platform(knobs) as client:
        return await client.bytes(path, chat(**more))


async def heard(knobs: Knobs, *messages: Any, **more: Any) -> list[tuple[str, Any]]:
    async with platform(knobs) as client:
        return await client.chat(*messages, **more)


def named(got: list[tuple[str, Any]], name: str) -> list[Any]:
    return [data for found, data in got if found.removeprefix("conversation.") == name]


def of_type(got: list[tuple[str, Any]], kind: str) -> list[str]:
    return [data["content"] for data in named(got, "message.completed") if data["type"] == kind]


# Bytes.


async def test_the_short_stream() -> None:
    assert await sent(SAID) == wire()


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (Framing(space=True), wire(": ")),
        (Framing(space=False), wire()),
        (Framing(newline=b"\r\n"), wire(newline="\r\n")),
        (Framing(newline=b"\r"), wire(newline="\r")),
        (Framing(final_blank=False), wire()[:-1]),
        (Framing(final_blank=False, newline=b"\r\n", space=True), wire(": ", "\r\n")[:-2]),
        (Framing(prelude=b"\xef\xbb\xbf"), b"\xef\xbb\xbf" + wire()),
        (Framing(prelude=b"retry:10\n\n", final_blank=False), b"retry:10\n\n" + wire()[:-1]),
        (Framing(comment_every=1), wire().replace(b"\n\n", b"\n\n:keep-alive\n\n")),
        (
            Framing(comment_every=1, comment=b": x", comment_blank=False),
            wire().replace(b"\n\n", b"\n\n: x\n"),
        ),
    ],
)
async def test_framing(framing: Framing, expected: bytes) -> None:
    assert await sent(Knobs(said=SAID.said, framing=framing)) == expected


async def test_comments_come_every_so_often() -> None:
    raw = await sent(Knobs(said=SAID.said, framing=Framing(comment_every=3)))
    assert raw.count(b":keep-alive\n\n") == 2
    assert raw.replace(b":keep-alive\n\n", b"") == wire()


async def test_members_in_another_order() -> None:
    raw = await sent(Knobs(said=SAID.said, framing=Framing(mixed_order=True)))
    assert raw != wire()
    assert raw.startswith(wire().split(b"\n\n", maxsplit=1)[0])
    assert events(raw) == events(wire())


async def test_html_escapes() -> None:
    said = (("<a> & b",),)
    plain = await sent(Knobs(said=said))
    escaped = await sent(Knobs(said=said, framing=Framing(html_escapes=True)))
    assert b"<a> & b" in plain
    assert b"\\u003ca\\u003e \\u0026 b" in escaped
    assert b"&" not in escaped
    assert events(plain) == events(escaped)


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_bytes_for_each_write(size: int) -> None:
    parts = [wire()[:100], wire()[100:130], wire()[130:]]
    pieces = list(cut(iter(parts), size))
    assert b"".join(pieces) == wire() == await sent(Knobs(said=SAID.said, per_write=size))
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert list(cut(iter(parts), 0)) == parts


async def test_delays() -> None:
    began = time.monotonic()
    raw = await sent(Knobs(said=SAID.said, first_delay=0.1, delay=0.02))
    assert time.monotonic() - began >= 0.1 + 0.02 * len(BLUE_JAY)
    assert raw == wire()


def test_raw_lines_and_early_ends() -> None:
    events: list[Any] = [Event("a", {}), Line(b'{"code":1}'), End(), Event("never")]
    rendered = Rendered(iter(events), Writer(Framing(newline=b"\r\n"), space=True, numbered=True))
    assert b"".join(rendered.parts()) == b'id: 0\r\nevent: a\r\ndata: {}\r\n\r\n{"code":1}\r\n\r\n'
    assert rendered.stopped == End()
    nothing = Rendered(iter([Drop()]), Writer(Framing(final_blank=False), space=True))
    assert list(nothing.parts()) == []
    assert nothing.stopped == Drop()


# Ends.


@pytest.mark.parametrize(
    ("form", "tail"),
    [
        ("quoted", b'\n\nevent:done\ndata:"[DONE]"\n\n'),
        ("bare", b"\n\nevent:done\ndata:[DONE]\n\n"),
        ("empty", b"\n\nevent:done\ndata:\n\n"),
        ("no_data", b"\n\nevent:done\n\n"),
        (
            "debug_url",
            b'\n\nevent:done\ndata:{"debug_url":"https://www.coze.com/work_flow?execute_id=7519000000000000002"}\n\n',
        ),
        ("missing", b'"section_id":"7519000000000000001"}\n\n'),
    ],
)
async def test_done(form: Any, tail: bytes) -> None:
    raw = await sent(Knobs(said=SAID.said, done=form))
    assert raw.endswith(tail)
    assert (b"event:done" in raw) is (form != "missing")
    assert raw[: -len(tail)] in wire()


@pytest.mark.parametrize(
    ("end", "status"), [("cancelled", "canceled"), ("expired", "expired"), ("completed", "completed")]
)
async def test_other_ends(end: Any, status: str) -> None:
    got = await heard(Knobs(end=end))
    assert got[-2][0] == f"conversation.chat.{end}"
    assert got[-2][1]["status"] == status


async def test_no_end_but_done() -> None:
    got = await heard(Knobs(end="none"))
    assert [name for name, _ in got[-2:]] == ["conversation.message.completed", "done"]


async def test_a_status_with_a_typo() -> None:
    assert named(await heard(Knobs(status="compleated")), "chat.completed")[0]["status"] == "compleated"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("full", {"usage": {"token_count": 7, "output_count": 4, "input_count": 3}}),
        ("null", {"usage": None}),
        ("missing", {}),
        ("zeros", {"usage": {"token_count": 0, "output_count": 0, "input_count": 0}}),
        ("other_names", {"usage": {"token_count": 7, "input_tokens": 3, "output_tokens": 4}}),
        ("total_only", {"usage": {"token_count": 7}}),
    ],
)
async def test_usage(form: Any, expected: dict[str, Any]) -> None:
    got = await heard(Knobs(usage=form))
    (over,) = named(got, "chat.completed")
    assert {name: over[name] for name in over if name == "usage"} == expected
    assert got[0][1]["usage"] == {"token_count": 0, "output_count": 0, "input_count": 0}


# Answers.


async def test_several_answers() -> None:
    got = await heard(Knobs(said=(("a", "b"), ("c", "d", "e"))))
    deltas = named(got, "message.delta")
    assert [delta["content"] for delta in deltas] == list("abcde")
    assert len({delta["id"] for delta in deltas}) == 2
    assert of_type(got, "answer") == ["ab", "cde"]


async def test_answers_in_turn() -> None:
    got = await heard(Knobs(said=(("a", "b"), ("c", "d", "e")), interleaved=True))
    assert [delta["content"] for delta in named(got, "message.delta")] == list("acbde")
    assert of_type(got, "answer") == ["ab", "cde"]


async def test_the_generator_gives_several_answers() -> None:
    got = await heard(Knobs(answers=3), says("tell me about rivers"))
    assert len(set(of_type(got, "answer"))) == 3
    assert of_type(got, "answer") == of_type(
        await heard(Knobs(answers=3), says("tell me about rivers")), "answer"
    )


async def test_what_is_completed_need_not_be_what_was_streamed() -> None:
    got = await heard(Knobs(said=(("A", "B"), ("C",), ("D",)), completed=("ABC", None), completed_twice=True))
    assert of_type(got, "answer") == ["ABC", "ABC", "C", "C", "D", "D"]
    assert "".join(delta["content"] for delta in named(got, "message.delta")) == "ABCD"


async def test_answers_that_do_not_stream() -> None:
    got = await heard(Knobs(said=(("a", "b"),), whole=True, reasoning=("hm",)))
    assert named(got, "message.delta") == []
    (answer,) = (data for data in named(got, "message.completed") if data["type"] == "answer")
    assert (answer["content"], answer["reasoning_content"]) == ("ab", "hm")


async def test_cards() -> None:
    got = await heard(Knobs(said=(("a", "b"),), card=True))
    (card,) = (data for data in named(got, "message.completed") if data["type"] == "answer")
    assert card["content_type"] == "card"
    assert json.loads(card["content"]) == {"card": {"text": "ab"}}
    assert named(got, "message.delta") == []


async def test_reasoning() -> None:
    got = await heard(Knobs(said=(("4", "2"), ("!",)), reasoning=("let me", " see")))
    told = [(delta.get("reasoning_content"), delta["content"]) for delta in named(got, "message.delta")]
    assert told == [("let me", ""), (" see", ""), (None, "4"), (None, "2"), (None, "!")]
    answers = [data for data in named(got, "message.completed") if data["type"] == "answer"]
    assert answers[0]["reasoning_content"] == "let me see"
    assert "reasoning_content" not in answers[1]
    generated = await heard(Knobs(reasoning=True), says("why"))
    assert named(generated, "message.delta")[0]["reasoning_content"]
    assert not any("reasoning_content" in str(data) for data in await heard(Knobs()))


async def test_noise() -> None:
    every: Any = (
        *("knowledge", "function_call", "broken_call", "tool_output", "tool_response", "verbose"),
        *("unknown_type", "unknown_event", "ping"),
    )
    got = await heard(Knobs(said=(("x",),), noise=every))
    types = [data.get("type") or name for name, data in got[2:11]]
    assert types == [
        *("knowledge", "function_call", "function_call", "tool_output", "tool_response", "verbose"),
        *("ack", "conversation.foo.bar", "ping"),
    ]
    calls = of_type(got, "function_call")
    assert json.loads(calls[0])["name"] == "almanac-search"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(calls[1])
    assert json.loads(of_type(got, "knowledge")[0])["msg_type"] == "knowledge_recall"


async def test_follow_ups_and_the_marker() -> None:
    got = await heard(Knobs(follow_ups=("Why?", "How?")))
    assert of_type(got, "follow_up") == ["Why?", "How?"]
    assert len(of_type(got, "verbose")) == 1
    assert of_type(await heard(Knobs(verbose=False)), "verbose") == []


async def test_sound_comes_after_the_end() -> None:
    element = '[{"type":"audio","file_url":"https://a.example.org/a.wav"}]'
    spoken = await heard(Knobs(), {**says(element), "content_type": "object_string"})
    for got, count in ((spoken, 2), (await heard(Knobs(audio=3)), 3)):
        names = [name for name, _ in got]
        assert names[-2 - count :] == [
            "conversation.chat.completed",
            *["conversation.audio.delta"] * count,
            "done",
        ]
        assert {sound["content_type"] for sound in named(got, "audio.delta")} == {"audio"}


async def test_objects_that_say_more() -> None:
    got = await heard(Knobs(empty_action=True, inserted=True), meta_data={"a": "b"})
    created = got[0][1]
    assert created["required_action"] == {"type": "", "submit_tool_outputs": {"tool_calls": []}}
    assert [inserted["id"] for inserted in created["inserted_additional_messages"]] == ["7519000000000000003"]
    assert created["meta_data"] == {"a": "b"}


# Faults.


FAILED: list[tuple[Break, list[str], Any]] = [
    (Break(0, "error", 4101, "no permission"), ["error", "done"], {"code": 4101, "msg": "no permission"}),
    (Break(2, "error_empty"), ["error"], {}),
    (Break(2, "error_text", msg="boom"), ["error"], "boom"),
    (
        Break(3, "failed_bare", "701231", "x"),
        ["conversation.chat.failed", "done"],
        {"code": "701231", "msg": "x"},
    ),
]


@pytest.mark.parametrize(("fault", "names", "data"), FAILED)
async def test_faults(fault: Break, names: list[str], data: Any) -> None:
    got = await heard(Knobs(fault=fault))
    assert [name for name, _ in got[fault.after :]] == names
    assert got[fault.after][1] == data


async def test_a_fault_with_a_whole_object() -> None:
    raw = await sent(Knobs(said=SAID.said, fault=Break(3, "failed")))
    assert raw.startswith(b"\n\n".join(wire().split(b"\n\n")[:3]))
    failed = events(raw)[3][1]
    assert failed["last_error"] == {"code": 5000, "msg": "event interval error"}
    assert (failed["status"], failed["failed_at"]) == ("failed", 1_795_000_000)


@pytest.mark.parametrize("after", [0, 3])
async def test_an_envelope_among_the_lines(after: int) -> None:
    raw = await sent(Knobs(said=SAID.said, fault=Break(after, "json", 4100, "authentication is invalid")))
    blocks = wire().split(b"\n\n")[:after]
    assert raw.split(b"\n\n") == [*blocks, b'{"code":4100,"msg":"authentication is invalid"}', b""]


async def partly(client: Client) -> tuple[bytes, bool]:
    """What came of a stream, and whether it ended as it should."""
    headers, url = {"Authorization": f"Bearer {client.token}"}, f"{client.server.url}/v3/chat"
    out = b""
    async with client.session.post(url, json=chat(), headers=headers) as response:
        try:
            async for data in response.content.iter_any():
                out += data
        except aiohttp.ClientPayloadError:
            return out, False
    return out, True


@pytest.mark.parametrize(("how", "clean"), [("drop", False), ("end", True)])
async def test_streams_that_stop_while_the_run_goes_on(how: Any, clean: bool) -> None:
    async with platform(Knobs(said=SAID.said, fault=Break(3, how))) as client:
        assert await partly(client) == (b"\n\n".join(wire().split(b"\n\n")[:3]) + b"\n\n", clean)
        (conversation,) = client.server.world.conversations.values()
        while conversation.busy:
            await client.get("/v1/users/me")
        assert [chat.status for chat in conversation.chats.values()] == ["completed"]
        assert client.server.heard("/v3/chat")[0].left is None


async def test_a_fault_past_the_end() -> None:
    async with platform(Knobs(said=SAID.said, fault=Break(99, "drop"))) as client:
        assert await partly(client) == (wire(), False)


# Studio.


async def test_studio_streams_in_its_own_way() -> None:
    async with studio(Knobs(said=(("<a>",),))) as client:
        status, _, raw = await client.raw("POST", "/v3/chat", json={**chat(), "stream": None})
        got = events(raw)
    assert status == 200
    assert raw.endswith(b"\n\nevent:conversation.stream.done\ndata:\n\n")
    assert b"\\u003ca\\u003e" in raw
    assert all(data["reasoning_content"] == "" for name, data in got if ".message." in name)


async def test_studio_ends_with_an_error() -> None:
    async with studio(Knobs(fault=Break(3, "error"))) as client:
        assert (await client.chat())[-1] == ("error", {"code": 5000, "msg": "event interval error"})
