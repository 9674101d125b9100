"""The matrix: every upstream fault × {stream, whole} × {bytes, SDK} × {loop, tap} × {asyncio, uvloop}.

All cases of one way run at once through one gateway, before the first test that looks at them; each test then
judges one case. So the matrix is also a crowd: faults of every kind beside one another, nothing left behind.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from attrs import define, field

from proxy.config import Secret
from tests.conftest import WAYS
from tests.e2e.faults import CLEAN, FAULTS, HEADER, KEY, PLANTED, SAID, Fault
from tests.support.gateway import GatewayThread, config_of, openai_upstream
from tests.support.loglines import LogLines
from tests.support.raw import Reply, ask
from tests.support.upstream import BluntThread, ScriptThread, told_by

SDK_CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}


@define
class Told:
    """What the SDK made of one answer."""

    text: str = ""
    finish: str | None = None
    error: openai.APIError | None = None


@define
class Matrix:
    """Everything that was seen, one way of relaying."""

    raw: dict[tuple[str, bool], Reply]
    told: dict[tuple[str, bool], Told]
    log: LogLines
    asked: dict[str, int]
    held: dict[str, int]
    urls: list[str]
    errors: list[Any] = field(factory=list)


def body(name: str, stream: bool, upstream: str) -> dict[str, Any]:
    return {"model": f"{upstream}/m", "stream": stream, "messages": [{"role": "user", "content": name}]}


def listen(client: openai.OpenAI, request: dict[str, Any]) -> Told:
    told = Told()
    try:
        answer = client.chat.completions.create(**request)
        if not request["stream"]:
            return Told(answer.choices[0].message.content, answer.choices[0].finish_reason)
        with answer:
            for chunk in answer:
                told.text += chunk.choices[0].delta.content or ""
                told.finish = chunk.choices[0].finish_reason or told.finish
    except openai.APIError as error:
        told.error = error
    return told


def look(port: int, request: dict[str, Any]) -> Reply:
    try:
        return ask(port, request, timeout=8.0)
    except TimeoutError:
        return Reply(0, {}, b"", False)  # for the test of this one case to judge


def closed_port() -> int:
    """A port on which nobody listens: it stays taken, so nobody else will."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    HOLDERS.append(holder)
    return holder.getsockname()[1]


HOLDERS: list[socket.socket] = []


@pytest.fixture(scope="module", params=WAYS, ids=["-".join(way) for way in WAYS])
def matrix(request: pytest.FixtureRequest) -> Iterator[Matrix]:
    relay, loop = request.param
    scripts = {name: fault.script for name, fault in FAULTS.items()} | CLEAN
    plain = BluntThread(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with (
        ScriptThread(told_by(scripts)) as upstream,
        plain,
        LogLines() as log,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("proxy.dial.PATIENCE", 0.5)
        own = {"api_key": Secret(KEY), "headers": {"X-Own": HEADER}, "retries": 0}
        upstreams = [
            openai_upstream(upstream.url, **own),
            openai_upstream(upstream.url, "impatient", first_byte_timeout=3.0, idle_timeout=0.6, **own),
            openai_upstream(f"http://127.0.0.1:{closed_port()}", "refused", **own),
            openai_upstream("http://planted-host.invalid/v1", "nameless", **own),
            openai_upstream(f"https://127.0.0.1:{plain.port}", "tls", **own),
        ]
        config = config_of(*upstreams, limits={"relay": relay, "commit_after": 15.0})
        with GatewayThread(config, loop) as gateway:
            yield play(gateway, log, upstream, [one.base_url for one in upstreams])
    for holder in HOLDERS:
        holder.close()
    HOLDERS.clear()


def play(gateway: GatewayThread, log: LogLines, upstream: ScriptThread, urls: list[str]) -> Matrix:
    names = {name: fault.upstream for name, fault in FAULTS.items()} | dict.fromkeys(CLEAN, "up")
    cells = [(name, stream) for name in names for stream in (True, False)]
    url = f"{gateway.url}/v1"
    with (
        ThreadPoolExecutor(24) as pool,
        openai.OpenAI(base_url=url, api_key="client", max_retries=0, timeout=15) as client,
    ):
        raw = pool.map(lambda cell: look(gateway.port, body(*cell, names[cell[0]])), cells)
        told = pool.map(lambda cell: listen(client, body(*cell, names[cell[0]])), cells)
        seen = dict(zip(cells, raw, strict=True)), dict(zip(cells, told, strict=True))
    gateway.until_idle()
    asked: dict[str, int] = {}
    for recorded in upstream.requests:
        name = recorded.document["messages"][-1]["content"]
        asked[name] = asked.get(name, 0) + 1
    return Matrix(*seen, log, asked, gateway.held(), urls, gateway.errors)


@pytest.mark.parametrize("name", FAULTS)
def test_a_whole_answer_that_fails_is_an_honest_status(matrix, name):
    fault = FAULTS[name]
    judge_refusal(matrix.raw[name, False], fault)
    judge_refusal_told(matrix.told[name, False], fault)


@pytest.mark.parametrize("name", FAULTS)
def test_a_stream_that_fails_says_so_the_way_it_still_can(matrix, name):
    fault = FAULTS[name]
    if fault.said is None:
        judge_refusal(matrix.raw[name, True], fault)
        judge_refusal_told(matrix.told[name, True], fault)
    else:
        judge_break(matrix.raw[name, True], fault)
        judge_break_told(matrix.told[name, True], fault)


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_odd_but_complete_is_an_answer(matrix, name):
    reply = matrix.raw[name, True]
    assert (reply.status, reply.complete, reply.text, reply.frames[-1]) == (200, True, SAID, "[DONE]")
    assert matrix.raw[name, False].json["choices"][0]["message"]["content"] == SAID
    for stream in (True, False):
        assert matrix.told[name, stream] == Told(SAID, "stop")


def judge_refusal(reply: Reply, fault: Fault) -> None:
    assert (reply.status, reply.json["error"]["code"]) == (fault.status, fault.code)
    assert reply.complete
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers.get("retry-after") == fault.retry_after
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    assert 0 < len(reply.json["error"]["message"]) <= 400


def judge_refusal_told(told: Told, fault: Fault) -> None:
    expected = SDK_CLASSES.get(fault.status, openai.InternalServerError)
    if fault.status == 413:
        expected = openai.APIStatusError
    assert type(told.error) is expected
    assert (told.error.status_code, told.error.code) == (fault.status, fault.code)
    assert told.text == ""


def judge_break(reply: Reply, fault: Fault) -> None:
    assert (reply.status, reply.complete) == (200, True)
    *frames, last = reply.chunks
    assert last["error"]["code"] == fault.code
    assert not any("error" in frame for frame in frames)
    assert "[DONE]" not in reply.frames
    assert all(choice["finish_reason"] is None for frame in frames for choice in frame["choices"])
    said = "".join(choice["delta"].get("content") or "" for f in frames for choice in f["choices"])
    assert said == fault.said


def judge_break_told(told: Told, fault: Fault) -> None:
    assert type(told.error) is openai.APIError
    assert told.error.code == fault.code
    assert (told.text, told.finish) == (fault.said, None)


def test_no_fault_was_asked_for_twice(matrix):
    """Raw and SDK, stream and whole: four questions, and with retries off four requests."""
    reached = {name for name, fault in FAULTS.items() if fault.upstream in ("up", "impatient")} | set(CLEAN)
    assert matrix.asked == dict.fromkeys(reached, 4)


def test_nothing_is_held_afterwards_and_nothing_reached_the_event_loop(matrix):
    assert matrix.held == {"answers": 0, "places": 0, "waiting": 0}
    assert matrix.errors == []


def test_no_secret_and_no_address_reaches_a_client(matrix):
    hidden = [*PLANTED, "planted-host", *(url.removeprefix("http://") for url in matrix.urls)]
    replies = [str(reply.headers) + reply.body.decode() for reply in matrix.raw.values()]
    assert [(word, reply) for reply in replies for word in hidden if word in reply] == []


def test_no_secret_reaches_the_log(matrix):
    assert [line for line in matrix.log.lines for word in PLANTED if word in line] == []


def test_each_request_has_one_line_and_none_a_traceback(matrix):
    requests = matrix.log.requests
    assert len(requests) == 2 * len(matrix.raw)
    assert matrix.log.tracebacks == []
    assert len(matrix.log.events) == len(requests)
