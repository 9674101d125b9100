"""What each kind of app says and in which order, for every line of releases, streamed and in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy.simulators.dify_apps import App, Knobs, RunFailure, Variable
from proxy.simulators.dify_versions import VERSIONS
from tests.simulators.dify_setup import COUNTED, KEYS, app_of, dify, named, shape, text

ENVELOPE = ["event", "conversation_id", "message_id", "created_at", "task_id"]
GRAPH_START = ["workflow_started", "node_started(start)", "node_finished(start)", "node_started(llm)"]
AGENT_ROUND = ["agent_thought", "agent_message", "agent_thought", "agent_thought"]
OLD_END = ["workflow_finished", "message_end"]
ALL = tuple(VERSIONS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


def flow(end: list[str], words: str = "message", last: str = "answer") -> list[str]:
    return [
        *GRAPH_START,
        words,
        "node_finished(llm)",
        f"node_started({last})",
        f"node_finished({last})",
        *end,
    ]


def always(*names: str) -> dict[str, list[str]]:
    return {version: list(names) for version in ALL}


ORDERS: dict[str, dict[str, list[str]]] = {
    "chat": always("message", "message_end"),
    "completion": always("message", "message_end"),
    "agent-chat": always(*AGENT_ROUND, "agent_thought", "agent_message", "agent_thought", "message_end"),
    "agent": {
        "1.16": [*AGENT_ROUND, "agent_thought", "agent_message", "agent_thought", "message", "message_end"],
    },
    "advanced-chat": {
        **always(*flow(OLD_END)),
        "1.16": flow(OLD_END[::-1]),
    },
    "workflow": always(*flow(["workflow_finished"], "text_chunk", "end")),
}
CASES = [(mode, version) for mode, orders in ORDERS.items() for version in orders]


@pytest.mark.parametrize(("mode", "version"), CASES)
async def test_order(mode: str, version: str) -> None:
    async with dify(version) as client:
        got = await client.ask(mode)
    assert got.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "Cache-Control" not in got.headers
    assert shape(got.events) == ORDERS[mode][version]
    preface = "Let me look that up. " if mode in ("agent-chat", "agent") else ""
    whole = preface + "".join(COUNTED)
    # The new agent repeats itself.
    assert text(got.events) == whole * (2 if mode == "agent" else 1)


@pytest.mark.parametrize(("mode", "version"), CASES)
async def test_envelope(mode: str, version: str) -> None:
    async with dify(version) as client:
        events = (await client.ask(mode)).events
    head = ["event", "workflow_run_id", "task_id"] if mode == "workflow" else list(ENVELOPE)
    if mode == "completion":
        head.remove("conversation_id")
    for event in events:
        assert list(event)[: len(head)] == head
        assert event.get("created_at", 1_760_000_000) == 1_760_000_000
    for constant in head[1:]:
        assert len({event[constant] for event in events}) == 1


@pytest.mark.parametrize(
    ("version", "spaced"), [("1.0", True), ("1.9", False), ("1.12", False), ("1.16", False)]
)
async def test_bytes_of_a_stream(version: str, spaced: bool) -> None:
    async with dify(version) as client:
        got = await client.ask("chat", query="say é 😀")
    assert got.body.startswith(b'data: {"event": "message", ' if spaced else b'data: {"event":"message",')
    assert got.body.endswith(b"}\n\n")
    assert (rb"\u00e9" in got.body, rb"\ud83d\ude00" in got.body) == (spaced, spaced)
    assert "é".encode() in got.body or spaced
    assert b"[DONE]" not in got.body
    assert all(line == b"" or line.startswith(b"data: ") for line in got.body.split(b"\n"))
    assert text(got.events) == "é 😀"


@pytest.mark.parametrize("version", ALL)
async def test_only_graphs_of_the_newest_begin_with_a_ping(version: str) -> None:
    async with dify(version) as client:
        for mode in ("chat", "agent-chat", "completion", "advanced-chat", "workflow"):
            body = (await client.ask(mode)).body
            pings = version == "1.16" and mode in ("advanced-chat", "workflow")
            assert body.startswith(b"event: ping\n\ndata: ") is pings
            assert body.count(b"ping") == pings


# What the versions add and take away.


@pytest.mark.parametrize("version", ALL)
async def test_members_by_version(version: str) -> None:
    traits = VERSIONS[version]
    async with dify(version) as client:
        events = (await client.ask("advanced-chat")).events
    started = named(events, "workflow_started")[0]["data"]
    assert ("sequence_number" in started, started.get("reason")) == (
        version == "1.0",
        "initial" if version in ("1.13", "1.16") else None,
    )
    assert started["inputs"]["sys.query"] == "count to 3"
    said = named(events, "message")[0]
    assert said.get("from_variable_selector") == (None if version == "1.0" else ["llm", "text"])
    node = named(events, "node_started")[0]["data"]
    assert sum(key.startswith(("parallel_", "parent_parallel_")) for key in node) == (
        6 if version in ("1.0", "1.9") else 0
    )
    finished = named(events, "workflow_finished")[0]["data"]
    assert (finished["status"], finished["error"]) == ("succeeded", "" if version == "1.9" else None)
    assert finished["outputs"] == {"answer": "1, 2, 3."}
    usage = named(events, "message_end")[0]["metadata"]["usage"]
    assert ("time_to_first_token" in usage) is traits.usage_times
    assert (usage["completion_tokens"], usage["total_price"]) == (
        6,
        f"{usage['prompt_tokens'] / 1e4 + 6 / 5e3:.7f}",
    )
    model = next(one["data"] for one in named(events, "node_finished") if one["data"]["node_id"] == "llm")
    assert (model["outputs"]["text"], model["outputs"]["finish_reason"]) == ("1, 2, 3.", "stop")
    assert model["execution_metadata"]["total_tokens"] == usage["total_tokens"]


async def test_literal_text_comes_before_its_time() -> None:
    async with dify(apps={KEYS["advanced-chat"]: App(prefix="So: ")}) as client:
        events = (await client.ask("advanced-chat")).events
    assert shape(events)[:4] == ["workflow_started", "node_started(start)", "message", "node_finished(start)"]
    assert named(events, "message")[0]["from_variable_selector"] == ["answer", "answer"]
    assert text(events) == "So: 1, 2, 3."


async def test_several_outputs_of_a_workflow() -> None:
    async with dify(apps={KEYS["workflow"]: app_of("workflow", outputs=("x", "y"))}) as client:
        events = (await client.ask("workflow")).events
    assert text(events) == "1, 2, 3.\n1, 2, 3."
    selectors = [event["data"]["from_variable_selector"] for event in named(events, "text_chunk")]
    assert selectors[-2:] == [["end", "answer"], ["llm", "text"]]
    assert named(events, "workflow_finished")[0]["data"]["outputs"] == {"x": "1, 2, 3.", "y": "1, 2, 3."}


async def test_a_workflow_reads_its_inputs() -> None:

    form = (Variable("topic"), Variable("n", "number"))
    async with dify(apps={KEYS["workflow"]: App("workflow", form=form)}) as client:
        got = await client.ask("workflow", inputs={"topic": "say hello", "n": 4, "other": "x"})
    assert text(got.events) == "hello"


async def test_an_agent_shows_its_tools() -> None:
    async with dify("1.12", Knobs(tools=2, answer_files=1)) as client:
        events = (await client.ask("agent-chat", query="say é")).events
    thoughts = named(events, "agent_thought")
    assert [thought["position"] for thought in thoughts] == [1, 1, 1, 2, 2, 2, 3, 3]
    assert len({thought["id"] for thought in thoughts}) == 3
    empty, asked, observed = thoughts[:3]
    assert (empty["thought"], empty["tool"], empty["message_files"]) == ("", "", [])
    assert (asked["thought"], asked["tool"], asked["observation"]) == ("Let me look that up. ", "search", "")
    assert asked["tool_input"] == '{"search": {"q": "say é"}}'
    file = named(events, "message_file")[0]
    assert observed["message_files"] == [file["id"]]
    assert observed["observation"]
    assert (file["type"], file["belongs_to"]) == ("image", "assistant")
    assert file["url"].startswith("/files/tools/f1.png?")
    assert thoughts[-1]["thought"] == "é"
    assert text(events) == "Let me look that up. " * 2 + "é"
    assert [one["filename"] for one in named(events, "message_end")[0]["files"]] == ["f1.png"]


async def test_a_reasoning_agent_answers_in_one_piece() -> None:
    async with dify("1.12", Knobs(react=True)) as client:
        events = (await client.ask("agent-chat")).events
    assert shape(events) == ["agent_thought"] * 5 + ["agent_message", "message_end"]
    assert [event["answer"] for event in named(events, "agent_message")] == ["", "1, 2, 3."]


# Failing.

FAILING: list[tuple[str, str, list[str]]] = [
    ("chat", "1.12", ["message", "error"]),
    ("completion", "1.12", ["message", "error"]),
    ("agent-chat", "1.12", [*AGENT_ROUND, "agent_thought", "agent_message", "error"]),
    (
        "advanced-chat",
        "1.12",
        [*GRAPH_START, "message", "node_finished(llm)", "workflow_finished", "error"],
    ),
    ("advanced-chat", "1.16", [*GRAPH_START, "message", "node_finished(llm)", "workflow_finished", "error"]),
    ("workflow", "1.16", [*GRAPH_START, "text_chunk", "node_finished(llm)", "workflow_finished"]),
]


@pytest.mark.parametrize(("mode", "version", "order"), FAILING)
async def test_a_run_that_fails(mode: str, version: str, order: list[str]) -> None:
    async with dify(version, Knobs(failure=RunFailure(2, "no credit"))) as client:
        got = await client.ask(mode)
        run = client.server.runs[0]
    assert got.status == 200
    assert shape(got.events) == order
    assert text(got.events).endswith("1,")
    assert run.status == "failed"
    graph = mode in ("advanced-chat", "workflow")
    if graph:
        finished = named(got.events, "workflow_finished")[0]["data"]
        assert (finished["status"], finished["error"]) == ("failed", "no credit")
    if mode != "workflow":
        told = (
            ("invalid_param", 400, "Run failed: no credit")
            if graph
            else ("completion_request_error", 400, "no credit")
        )
        error = got.events[-1]
        assert (error["code"], error["status"], error["message"]) == told
        assert "task_id" not in error


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
async def test_a_failure_before_the_first_word(mode: str) -> None:
    failure = RunFailure(0, "no key", "provider_not_initialize", outside=True)
    async with dify("1.12", Knobs(failure=failure)) as client:
        events = (await client.ask(mode)).events
    assert text(events) == ""
    assert (events[-1]["event"], events[-1]["code"]) == ("error", "provider_not_initialize")
    assert named(events, "workflow_finished") == []


# In one piece.


@pytest.mark.parametrize("mode", ["chat", "completion", "advanced-chat"])
async def test_in_one_piece(mode: str) -> None:
    async with dify("1.12") as client:
        got = await client.ask(mode, response_mode=None, query="say é")
    assert got.headers["Content-Type"] == "application/json; charset=utf-8"
    assert rb'"answer": "\u00e9"' in got.body
    told = got.json
    assert (told["event"], told["mode"], told["id"]) == ("message", mode, told["message_id"])
    assert ("conversation_id" in told) is (mode != "completion")
    assert told["metadata"]["usage"]["completion_tokens"] == 1


async def test_a_workflow_in_one_piece() -> None:
    async with dify("1.12") as client:
        told = (await client.ask("workflow", response_mode="blocking", inputs={})).json
    assert list(told) == ["task_id", "workflow_run_id", "data"]
    assert told["data"]["id"] == told["workflow_run_id"]
    assert (told["data"]["status"], told["data"]["error"]) == ("succeeded", None)
    assert told["data"]["outputs"].keys() == {"text"}


async def test_failures_in_one_piece() -> None:
    async with dify("1.12", Knobs(failure=RunFailure(1, "no credit"))) as client:
        flow = await client.ask("advanced-chat", response_mode="blocking")
        chat = await client.ask("chat", response_mode="blocking")
        workflow = await client.ask("workflow", response_mode="blocking")
    assert flow.error == (400, "invalid_param", "Run failed: no credit")
    assert chat.error == (400, "completion_request_error", "no credit")
    assert workflow.status == 200
    assert (workflow.json["data"]["status"], workflow.json["data"]["error"]) == ("failed", "no credit")


# Waiting for a person.


@pytest.mark.parametrize("mode", ["advanced-chat", "workflow"])
async def test_a_run_that_waits_for_a_person(mode: str) -> None:
    async with dify("1.13", Knobs(pause=True)) as client:
        got = await client.ask(mode)
        whole = await client.ask(mode, response_mode="blocking")
        assert [run.status for run in client.server.runs] == ["paused", "paused"]
    assert shape(got.events)[-2:] == ["human_input_required", "workflow_paused"]
    asked, paused = got.events[-2:]
    assert asked["data"]["actions"][0] == {"id": "yes", "title": "Go on", "button_style": "primary"}
    assert paused["data"]["reasons"][0]["form_token"] == asked["data"]["form_token"]
    assert whole.status == 200
    if mode == "workflow":
        assert whole.json["data"]["status"] == "paused"


async def test_versions_before_cannot_wait() -> None:
    async with dify("1.12", Knobs(pause=True)) as client:
        events = (await client.ask("workflow")).events
    assert events[-1]["event"] == "workflow_finished"


# Words.


def thoughts(events: list[dict[str, Any]]) -> str:
    return "".join(event["data"]["reasoning"] for event in named(events, "reasoning_chunk"))


@pytest.mark.parametrize(
    ("mode", "version", "reasoning", "tagged"),
    [
        ("chat", "1.16", "tagged", True),
        ("chat", "1.16", "separated", True),
        ("advanced-chat", "1.12", "separated", True),
        ("advanced-chat", "1.16", "tagged", True),
        ("advanced-chat", "1.16", "separated", False),
        ("workflow", "1.16", "separated", False),
    ],
)
async def test_reasoning(mode: str, version: str, reasoning: str, tagged: bool) -> None:
    async with dify(version, Knobs(reasoning=reasoning)) as client:
        events = (await client.ask(mode)).events
    said = text(events)
    assert said.startswith("<think>\nThe user") is tagged
    assert ("\n</think>1, 2" in said) is tagged
    pieces = [event["answer"] for event in named(events, "message")]
    assert not tagged or (pieces[0] == "<think>\nThe" and "\n</think>1" in pieces)
    chunks = named(events, "reasoning_chunk")
    assert bool(chunks) is not tagged
    if chunks:
        assert thoughts(events).startswith("The user")
        assert [chunk["data"]["is_final"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert shape(events).index("reasoning_chunk") < shape(events).index("node_finished(llm)")


@pytest.mark.parametrize(
    ("version", "name"), [("1.9", "message"), ("1.12", "message_file"), ("1.13", "message")]
)
@pytest.mark.parametrize("mode", ["chat", "completion"])
async def test_an_answer_about_a_file_is_called_a_file(mode: str, version: str, name: str) -> None:
    file = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example/a.png"}
    async with dify(version) as client:
        events = (await client.ask(mode, files=[file])).events
    assert {event["event"] for event in events} == {name, "message_end"}
    assert "".join(event.get("answer", "") for event in events) == "1, 2, 3."
