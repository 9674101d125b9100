"""What every answer carries: a stream's own head and aiohttp's responses say the same, line for line."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.config import Cors
from proxy.headers import EXPOSED, SECURITY, STREAM, AnswerHeaders
from proxy.keys import RECORD
from proxy.record import Record

ORIGIN = "https://app.example"
ELSEWHERE = "https://evil.example"
START = 951782400.0
"""Tue, 29 Feb 2000 00:00:00 UTC"""


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


def request(method: str = "POST", id: str | None = "req_1", **headers: str) -> web.Request:
    made = make_mocked_request(method, "/", headers=headers)
    if id is not None:
        made[RECORD] = Record(id, method, "/", asyncio.get_running_loop().time() - 0.25)
    return made


def lines_of(head: bytes) -> Counter[tuple[str, str]]:
    """The headers, each with how often it is there; the status line has to be one."""
    status, *lines = head.decode().removesuffix("\r\n").split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    return Counter((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines))


def dressed(headers: AnswerHeaders, asked: web.Request) -> Counter[tuple[str, str]]:
    response = web.Response()
    response.headers.clear()
    headers.dress(asked, response)
    return Counter((name.lower(), value) for name, value in response.headers.items())


def timeless(lines: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    return Counter(
        {(name, "" if name == "openai-processing-ms" else value): n for (name, value), n in lines.items()}
    )


CORS = {
    "anybody": (Cors(), ORIGIN),
    "one of the listed": (Cors(origins=(ELSEWHERE, ORIGIN)), ORIGIN),
    "not listed": (Cors(origins=(ORIGIN,)), None),
    "other methods": (Cors(methods=("GET",)), None),
    "switched off": (Cors(enabled=False), None),
}


@pytest.mark.parametrize("name", CORS)
@pytest.mark.parametrize("origin", [ORIGIN, ELSEWHERE, None], ids=["known", "stranger", "none"])
async def test_a_stream_and_a_response_are_dressed_alike(name, origin):
    headers = AnswerHeaders(CORS[name][0], Clock())
    asked = request(**({} if origin is None else {"Origin": origin}))
    own, others = lines_of(headers.stream_head(asked)), dressed(headers, asked)
    only_streams = {(key.lower(), value) for key, value in STREAM.items()}
    only_streams.add(("date", "Tue, 29 Feb 2000 00:00:00 GMT"))
    assert timeless(own) - timeless(others) == Counter(only_streams)
    assert timeless(others) - timeless(own) == Counter()
    assert set(own.values()) == {1}


@pytest.mark.parametrize("name", CORS)
async def test_who_may_read_an_answer(name):
    cors, expected = CORS[name]
    headers = AnswerHeaders(cors)
    origin = ELSEWHERE if name == "not listed" else ORIGIN
    got = dict(lines_of(headers.stream_head(request(Origin=origin))))
    assert [key[1] for key in got if key[0] == "access-control-allow-origin"] == [expected] * bool(expected)
    assert (("access-control-expose-headers", ",".join(EXPOSED)) in got) == bool(expected)
    assert ("vary", "Origin") in got, "a cache must tell origins apart even where they are refused"


async def test_without_an_origin_nothing_is_said_about_origins():
    got = lines_of(AnswerHeaders(Cors()).stream_head(request()))
    assert not [name for name, _ in got if name.startswith("access-control") or name == "vary"]


async def test_an_answer_names_its_request_and_says_how_long_it_took():
    got = dict(lines_of(AnswerHeaders(Cors()).stream_head(request(id="mine"))))
    took = [value for name, value in got if name == "openai-processing-ms"]
    assert ("x-request-id", "mine") in got
    assert len(took) == 1 and 250 <= int(took[0]) < 10_000


async def test_an_answer_outside_of_any_record_has_neither():
    asked = request(id=None)
    got = dressed(AnswerHeaders(Cors()), asked)
    assert set(got) == {(name.lower(), value) for name, value in SECURITY.items()}
    assert lines_of(AnswerHeaders(Cors()).stream_head(asked))


async def test_what_a_response_says_itself_is_left_as_it_is():
    response = web.Response(headers={"x-request-id": "its own", "Vary": "Accept"})
    AnswerHeaders(Cors()).dress(request(Origin=ORIGIN), response)
    assert response.headers.getall("x-request-id") == ["its own"]
    assert response.headers.getall("Vary") == ["Accept", "Origin"]


async def test_a_response_does_not_say_what_it_was_made_with():
    """aiohttp names itself and Python, with their versions, before the application is asked."""
    response = web.Response(headers={"Server": "Python/3 aiohttp/3"})
    AnswerHeaders(Cors()).dress(request(), response)
    assert response.headers.getall("Server") == ["deltawire"]


async def test_the_date_is_todays_however_long_the_gateway_runs():
    clock = Clock()
    headers = AnswerHeaders(Cors(), clock)
    dates = []
    for later in (0.0, 0.9, 1.0, 86400.0):
        clock.now = START + later
        dates += [value for name, value in lines_of(headers.stream_head(request())) if name == "date"]
    assert dates == [
        "Tue, 29 Feb 2000 00:00:00 GMT",
        "Tue, 29 Feb 2000 00:00:00 GMT",
        "Tue, 29 Feb 2000 00:00:01 GMT",
        "Wed, 01 Mar 2000 00:00:00 GMT",
    ]


METHODS = [("GET", True), ("HEAD", True), ("POST", False), ("DELETE", False)]


@pytest.mark.parametrize(("method", "allowed"), METHODS)
async def test_head_is_allowed_where_get_is(method, allowed):
    assert AnswerHeaders(Cors(methods=("GET",))).allows(method) is allowed


async def test_a_preflight_is_left_to_who_answers_preflights():
    got = dressed(AnswerHeaders(Cors()), request("OPTIONS", Origin=ORIGIN))
    assert not [name for name, _ in got if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["null", "ü", "a b", "x" * 4000])
async def test_an_odd_origin_is_given_back_as_it_came_in_one_line(origin):
    head = AnswerHeaders(Cors()).stream_head(request(Origin=origin))
    told = f"\r\nAccess-Control-Allow-Origin: {origin}\r\n".encode("utf-8", "surrogateescape")
    assert head.count(told) == 1
    assert len(head.splitlines()) == len(head.split(b"\r\n")) - 1


async def test_what_the_platform_tells_stands_in_the_head_unless_it_could_be_a_line_of_its_own():
    told = {
        "x-conversation-id": "7600",
        "x-chat-id": "a b~!",
        "x-task-id": "1\r\nSet-Cookie: own=1",
        "x-session-id": "caf\u00e9",
        "x-empty": "",
        "x-long": "7" * 257,
    }
    got = lines_of(AnswerHeaders(Cors()).stream_head(request(), told))
    kept = {name: value for name, value in got if name.startswith("x-") and name in told}
    assert kept == {"x-conversation-id": "7600", "x-chat-id": "a b~!"}
    assert not [name for name, _ in got if name == "set-cookie"]
