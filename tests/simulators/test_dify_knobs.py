"""Each knob, and the bytes or the time it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.simulators.dify_apps import App, Knobs
from tests.simulators.dify_setup import COUNTED, KEYS, Client, dify, named, shape, text

PING = b"event: ping\n\n"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


async def pieces(client: Client, mode: str = "chat") -> list[bytes]:
    async with client.open(mode) as response:
        return [piece async for piece, _ in response.content.iter_chunks() if piece]


# Time.


async def test_delays() -> None:
    async with dify("1.12", Knobs(delay=0.05, first_delay=0.3)) as client:
        began = time.monotonic()
        count = len((await client.ask("chat")).events)
        assert 0.3 + 0.05 * count <= time.monotonic() - began
        client.server.knobs.delay = client.server.knobs.first_delay = 0.0
        began = time.monotonic()
        await client.ask("chat")
        assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    ("version", "more", "slow"),
    [
        ("1.12", {"auto_generate_name": True}, True),
        ("1.12", {"auto_generate_name": ...}, True),
        ("1.12", {"auto_generate_name": False}, False),
        ("1.9", {"auto_generate_name": True}, False),
        ("1.16", {"auto_generate_name": True}, False),
    ],
)
async def test_a_name_for_a_new_conversation_takes_its_time(
    version: str, more: dict[str, Any], slow: bool
) -> None:
    async with dify(version) as client:
        asked = {"inputs": {}, "query": "hi", "user": "ann", "response_mode": "streaming", **more}
        asked = {name: value for name, value in asked.items() if value is not ...}
        began = time.monotonic()
        got = await client.ask("chat", asked)
        assert (time.monotonic() - began >= 1.0) is slow
        asked["conversation_id"] = got.events[0]["conversation_id"]
        began = time.monotonic()
        assert (await client.ask("chat", asked)).status == 200
        assert time.monotonic() - began < 0.5


async def test_the_time_for_a_name_can_be_turned() -> None:
    async with dify("1.12", Knobs(name_pause=0.0)) as client:
        began = time.monotonic()
        await client.ask("chat", auto_generate_name=True, query="A long story")
        assert time.monotonic() - began < 0.5
        assert [one.name for one in client.server.store.conversations.values()] == ["A long story"]


# Pings.


async def test_pings_have_no_data() -> None:
    async with dify("1.12", Knobs(delay=0.04, ping_every=0.1)) as client:
        got = await client.ask("chat")
        assert got.body.count(PING) >= 1
        assert not got.body.startswith(PING)
        assert text(got.events) == "".join(COUNTED)
        client.server.knobs.ping_data = True
        assert b'data: {"event":"ping"}\n\n' in (await client.ask("chat")).body


async def test_pings_come_while_nothing_else_does() -> None:
    knobs = Knobs(delay=3.0, ping_every=0.2)
    async with dify("1.16", knobs) as client, client.open("advanced-chat") as response:
        began = time.monotonic()
        lines = [(await response.content.readline(), time.monotonic() - began) for _ in range(6)]
    assert [line for line, _ in lines[::2]] == [b"event: ping\n"] * 3
    assert lines[0][1] < 0.15 < lines[2][1] < lines[4][1]
    assert 0.35 < lines[4][1] < 2.0


# Bytes.


async def test_cuts() -> None:
    async with dify("1.12", Knobs(delay=0.02, cuts=(1, 7, 50))) as client:
        whole = (await client.ask("chat")).body
        got = await pieces(client)
    sizes = [len(piece) for piece in got[:4]]
    assert sizes == [1, 6, 43, len(whole.split(b"\n\n")[0]) + 2 - 50]
    assert b"".join(got).startswith(b'data: {"event":"message"')


async def test_cuts_within_characters() -> None:
    async with dify("1.12", Knobs(delay=0.005, cut_every=3)) as client:
        got = await client.ask("chat", query="say 千里之行 😀")
        assert text(got.events) == "千里之行 😀"
        sizes = [len(piece) for piece in await pieces(client)]
    assert sum(size <= 3 for size in sizes) > 0.9 * len(sizes)


async def test_line_ends_and_spaces() -> None:
    async with dify("1.16", Knobs(newline="\r\n", space=False)) as client:
        got = await client.ask("advanced-chat")
    assert got.body.startswith(b'event: ping\r\n\r\ndata:{"event":')
    assert got.body.endswith(b"}\r\n\r\n")
    assert got.body.replace(b"\r\n", b"").count(b"\n") == 0
    assert text(got.events) == "".join(COUNTED)


async def test_one_body_although_a_stream_was_asked_for() -> None:
    async with dify("1.12", Knobs(blocking=True)) as client:
        got = await client.ask("advanced-chat")
    assert got.headers["Content-Type"].startswith("application/json")
    assert got.json["answer"] == "".join(COUNTED)


async def test_events_that_get_lost() -> None:
    async with dify("1.13", Knobs(lost=frozenset({"message_end", "node_started"}))) as client:
        got = await client.ask("advanced-chat")
        assert client.server.runs[0].told == len(got.events)
    assert shape(got.events) == [
        "workflow_started",
        "node_finished(start)",
        "message",
        "node_finished(llm)",
        "node_finished(answer)",
        "workflow_finished",
    ]


async def test_a_stream_that_closes_with_its_workflow() -> None:
    async with dify("1.13", Knobs(closes_early=True)) as client:
        got = await client.ask("advanced-chat")
        assert got.events[-1]["event"] == "workflow_finished"
        assert named(got.events, "message_end") == []
        assert (await client.ask("chat")).events[-1]["event"] == "message_end"


async def test_a_body_that_ends_too_soon() -> None:
    async with dify("1.12", Knobs(end_after=2)) as client:
        got = await client.ask("chat")
        assert [event["answer"] for event in got.events] == COUNTED[:2]
        client.server.knobs.end_after = 0
        assert (await client.ask("chat")).body == b""
        client.server.knobs.end_after = 7
        assert len((await client.ask("chat")).events) == 7


# Words.


async def test_citations() -> None:
    async with dify("1.12", Knobs(citations=2)) as client:
        end = (await client.ask("chat")).events[-1]
        assert (await client.send("GET", "parameters")).json["retriever_resource"] == {"enabled": True}
    first, second = end["metadata"]["retriever_resources"]
    assert (first["position"], first["document_name"]) == (1, "chapter-1.pdf")
    assert (first["doc_metadata"], second["doc_metadata"]) == ({"url": "https://handbook.example/1"}, None)


async def test_annotations() -> None:
    async with dify("1.12", Knobs(annotation="Hi é")) as client:
        began = time.monotonic()
        chat = (await client.ask("chat")).events
        assert time.monotonic() - began >= 0.04
        flow = (await client.ask("advanced-chat")).events
    assert [event.get("answer") for event in chat] == ["H", "i", " ", "é", None]
    assert chat[-1]["metadata"]["usage"]["total_tokens"] == 0
    assert chat[-1]["metadata"]["annotation_reply"]["account"]["name"] == "Editor"
    assert [event.get("answer") for event in flow] == ["Hi é", None]
    assert shape(flow) == ["message", "message_end"]


@pytest.mark.parametrize(
    ("mode", "version", "end", "reason"),
    [
        ("chat", "1.16", ["message", "message_replace", "message_end"], ""),
        (
            "advanced-chat",
            "1.12",
            ["workflow_finished", "message_replace", "message_end"],
            "output_moderation",
        ),
        (
            "advanced-chat",
            "1.16",
            ["message_replace", "message_end", "workflow_finished"],
            "output_moderation",
        ),
    ],
)
async def test_moderation(mode: str, version: str, end: list[str], reason: str) -> None:
    async with dify(version, Knobs(moderation="No.")) as client:
        events = (await client.ask(mode)).events
        whole = (await client.ask(mode, response_mode="blocking")).json
    assert shape(events)[-3:] == end
    replaced = named(events, "message_replace")[0]
    assert (replaced["answer"], replaced["reason"]) == ("No.", reason)
    assert whole["answer"] == "No."


async def test_usage_that_is_missing() -> None:
    async with dify("1.12", Knobs(usage="null")) as client:
        assert (await client.ask("chat")).events[-1]["metadata"]["usage"] is None
        client.server.knobs.usage = "none"
        assert (await client.ask("chat")).events[-1]["metadata"] == {}


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
async def test_speech_after_the_end(mode: str) -> None:
    async with dify("1.12", Knobs(speech=2)) as client:
        events = (await client.ask(mode)).events
    before = {"workflow": "workflow_finished"}.get(mode, "message_end")
    assert [event["event"] for event in events[-4:]] == [
        before,
        "tts_message",
        "tts_message",
        "tts_message_end",
    ]
    assert (bool(events[-2]["audio"]), events[-1]["audio"]) == (True, "")


async def test_files_in_an_answer() -> None:
    async with dify("1.12", Knobs(answer_files=1)) as client:
        events = (await client.ask("advanced-chat")).events
        file = named(events, "message_end")[0]["files"][0]
        assert named(events, "workflow_finished")[0]["data"]["files"] == [file]
        assert file["dify_model_identity"] == "__dify__file__"
        origin = client.server.url.removesuffix("/v1")
        got = await client.send("GET", origin + file["url"], headers={"Authorization": ""})
    assert got.headers["Content-Type"] == "image/png"
    assert got.body.startswith(b"\x89PNG")


# Runs.


async def test_the_reason_the_model_stopped() -> None:
    async with dify("1.12", Knobs(finish_reason="length")) as client:
        events = (await client.ask("advanced-chat")).events
    model = next(one["data"] for one in named(events, "node_finished") if one["data"]["node_id"] == "llm")
    assert (model["outputs"]["finish_reason"], model["process_data"]["finish_reason"]) == ("length", "length")


@pytest.mark.parametrize("version", ["1.0", "1.16"])
@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
async def test_noise(mode: str, version: str) -> None:
    async with dify(version, Knobs(noise=True)) as client:
        events = (await client.ask(mode)).events
    names = [event["event"] for event in events]
    assert names.count("brand_new") == 1
    assert text(events) == "".join(COUNTED)
    said = [event for event in events if event.get("answer") == "" or event.get("data", {}).get("text") == ""]
    assert len(said) == 1
    if mode == "chat":
        return
    for kind in ("iteration", "loop"):
        told = [name for name in names if name.startswith(f"{kind}_")]
        assert told == [f"{kind}_started", f"{kind}_next", f"{kind}_next", f"{kind}_completed"]
    assert [event["data"]["pre_loop_output"] for event in named(events, "loop_next")] == [
        {"round": 0},
        {"round": 1},
    ]
    assert ("workflow_run_id" in named(events, "agent_log")[0]) is (mode == "workflow")
    assert names.count("parallel_branch_started") == (2 if version == "1.0" else 0)


async def test_a_huge_node() -> None:
    async with dify("1.12", Knobs(huge_node=3 << 20)) as client:
        got = await client.ask("workflow")
    assert max(len(line) for line in got.body.split(b"\n")) > 3 << 20
    assert text(got.events) == "".join(COUNTED)


async def test_retries() -> None:
    async with dify("1.12", Knobs(retries=2)) as client:
        events = (await client.ask("advanced-chat")).events
    assert [event["data"]["retry_index"] for event in named(events, "node_retry")] == [1, 2]
    assert named(events, "node_retry")[0]["data"]["status"] == "retry"
    assert text(events) == "1, 2" * 2 + "1, 2, 3."


async def test_exceptions_that_do_not_fail_the_run() -> None:
    async with dify("1.12", Knobs(exceptions=2)) as client:
        events = (await client.ask("advanced-chat")).events
        assert client.server.runs[0].status == "partial-succeeded"
    nodes = [event["data"]["status"] for event in named(events, "node_finished")]
    assert nodes == ["succeeded", "exception", "exception", "succeeded", "succeeded"]
    finished = named(events, "workflow_finished")[0]["data"]
    assert (finished["status"], finished["exceptions_count"]) == ("partial-succeeded", 2)
    assert events[-1]["event"] == "message_end"


@pytest.mark.parametrize("outputs", [{"a": 1, "b": [2]}, {"text": "T", "score": 3}, {}])
async def test_outputs_that_are_not_streamed(outputs: dict[str, Any]) -> None:
    async with dify("1.12", Knobs(outputs=outputs)) as client:
        events = (await client.ask("workflow")).events
        whole = (await client.ask("workflow", response_mode="blocking")).json
    assert named(events, "text_chunk") == []
    assert events[-1]["data"]["outputs"] == outputs
    assert whole["data"]["outputs"] == outputs


async def test_an_app_with_knobs_of_its_own() -> None:
    own = App("chat", knobs=Knobs(annotation="mine"))
    async with dify("1.12", apps={"app-own": own}) as client:
        asked = {"inputs": {}, "query": "count to 3", "user": "u", "response_mode": "blocking"}
        asked["auto_generate_name"] = False
        mine, other = await asyncio.gather(
            client.send("POST", "chat-messages", key="app-own", json=asked),
            client.send("POST", "chat-messages", key=KEYS["chat"], json=asked),
        )
    assert (mine.json["answer"], other.json["answer"]) == ("mine", "1, 2, 3.")
