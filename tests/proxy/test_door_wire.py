"""The door on real connections: however the bytes are cut, and whatever comes too early or is not read here."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable

import aiohttp
import openai
import pytest

from proxy.config import Auth, Cors, Secret
from proxy.door import LARGE, MOST_PIECES, NOTSENT_LOWAT, Door
from proxy.heads import CHAT
from proxy.outlet import HIGH_WATER
from tests.e2e.node.runtime import node
from tests.proxy.door_setup import (
    ERRANT,
    Client,
    Porch,
    asked,
    gate,
    head,
    is_shut,
    is_whole,
    porch,
    post,
    unhurried,
    upstream,
)
from tests.support.gateway import config_of, openai_upstream
from tests.support.upstream import text_of
from tests.support.waiting import until

__all__ = ["gate", "porch", "unhurried", "upstream"]
pytestmark = pytest.mark.two_ways

READ_SIZE = 256 * 1024
"""No event loop reads more at once."""


# How the bytes come.


def test_a_request_may_be_cut_anywhere(unhurried, porch):
    house, data = porch(), post(asked("1"))
    begin, in_head = data.index(b"\r\n\r\n") + 4, 0
    for at in range(1, len(data)):
        with Client(house.port) as client:
            client.send(data[:at])
            time.sleep(0.001)
            client.send(data[at:])
            reply = client.reply()
        assert is_whole(reply, 1), at
        in_head += at < begin
        assert house.given <= in_head, at
    assert house.given > in_head // 4


def test_a_request_may_come_byte_by_byte(unhurried, porch):
    house = porch()
    body = asked("2")
    with Client(house.port) as client:
        client.send(head(body))
        for at in range(len(body)):
            client.send(body[at : at + 1])
            time.sleep(0.0005)
        assert is_whole(client.reply(), 2)
        assert house.given == 0
        for at in range(len(data := post())):
            client.send(data[at : at + 1])
        assert is_whole(client.reply())


def test_head_and_body_apart_is_usual(porch, monkeypatch):
    """However often, and however long the answers take."""
    monkeypatch.setattr("proxy.door.SLOW", 0.3)
    house = porch()
    with Client(house.port) as client:
        for text, count in [*[(str(1 + number % 3), 1 + number % 3) for number in range(10)], ("slow", 6)]:
            body = asked(text)
            client.send(head(body))
            until(lambda: house.only._pieces == 1, "the head has come")
            client.send(body)
            assert is_whole(client.reply(), count)
    assert house.given == 0


@pytest.mark.parametrize("pieces", [MOST_PIECES, MOST_PIECES + 1])
def test_a_request_in_too_many_pieces_is_aiohttps(porch, monkeypatch, pieces):
    monkeypatch.setattr("proxy.door.SLOW", 9.0)
    house, body = porch(), asked("2")
    with Client(house.port) as client:
        door, piece = house.only, head(body)
        for number in range(1, pieces):
            client.send(piece)
            until(lambda number=number: door._pieces == number or house.given == 1, "it has come")
            piece, body = body[:1], body[1:]
        client.send(piece + body)
        assert is_whole(client.reply(), 2)
    assert house.given == (pieces > MOST_PIECES)


@pytest.mark.parametrize("counts", [(1, 2), (3, 1, 2)])
def test_requests_in_one_piece_are_answered_in_order(porch, counts):
    house = porch()
    with Client(house.port) as client:
        for _ in range(2):
            client.send(b"".join(post(asked(str(count))) for count in counts))
            for count in counts:
                assert is_whole(client.reply(), count)
    assert house.given == 0


def test_requests_of_every_kind_in_one_piece_are_answered_in_order(porch):
    house = porch()
    whole = asked("2", stream=False)
    with Client(house.port) as client:
        client.send(post(asked("1")) + post(whole) + post(b"oops") + post(asked("3")) + ERRANT + post())
        replies = [client.reply() for _ in range(6)]
    assert [reply.status for reply in replies] == [200, 200, 400, 200, 200, 200]
    assert replies[1].json["choices"][0]["message"]["content"] == text_of(2)
    assert all(map(is_whole, (replies[0], replies[3], replies[5]), (1, 3, 3)))
    assert house.given == 1


def test_requests_in_one_piece_may_be_cut_anywhere(unhurried, porch):
    house = porch()
    data = post(asked("1")) + post(asked("2"))
    for at in range(5, len(data), 23):
        with Client(house.port) as client:
            client.send(data[:at])
            time.sleep(0.002)
            client.send(data[at:])
            assert is_whole(client.reply(), 1), at
            assert is_whole(client.reply(), 2), at


@pytest.mark.parametrize("apart", [False, True], ids=["together", "later"])
def test_a_second_request_waits_for_the_first_answer(porch, upstream, gate, apart):
    house, before = porch(), len(upstream.requests)
    with Client(house.port) as client:
        client.send(post(asked("gated")) + (b"" if apart else post(asked("1"))))
        begun = client.until(b"w0 ")
        if apart:
            client.send(post(asked("1"))[:60])
            client.send(post(asked("1"))[60:])
        time.sleep(0.05)
        assert len(upstream.requests) == before + 1
        gate.set()
        client._buffer[:0] = begun
        assert is_whole(client.reply())
        assert is_whole(client.reply(), 1)
    assert house.given == 0


def test_a_flood_is_held_back_and_answered_in_order(porch, gate, monkeypatch):
    held: list[int] = []
    heard = Door.data_received

    def hearing(door: Door, data: bytes) -> None:
        heard(door, data)
        held.append(len(door._later))

    monkeypatch.setattr(Door, "data_received", hearing)
    house, count = porch(), 30
    flood = b"".join(post(asked(str(1 + number % 3), size=60_000)) for number in range(count))
    with Client(house.port) as client:
        client.send(post(asked("gated")))
        begun = client.until(b"w0 ")
        sending = threading.Thread(target=client.send, args=(flood,), daemon=True)
        sending.start()
        until(lambda: not house.only.transport.is_reading(), "no more is read")
        gate.set()
        client._buffer[:0] = begun
        assert is_whole(client.reply())
        for number in range(count):
            assert is_whole(client.reply(), 1 + number % 3)
        sending.join(5)
        client.send(post(asked("2")))
        assert is_whole(client.reply(), 2)
    assert house.given == 0
    assert max(held) <= LARGE + READ_SIZE


BEHIND = {
    "a part of a request": post(asked("2", size=LARGE)),
    "a request that is aiohttp's": post(asked("2", size=3 * LARGE), target=CHAT + "?a=b"),
    "a part of a head": post(asked("2"), *(f"X{number}: {'x' * 6000}" for number in range(12))),
}


@pytest.mark.parametrize("data", BEHIND.values(), ids=BEHIND)
def test_what_was_held_back_is_asked_for_when_it_is_needed(porch, gate, data):
    house, at = porch(), LARGE + 10
    with Client(house.port) as client:
        client.send(post(asked("gated")))
        begun = client.until(b"w0 ")
        client.send(data[:at])
        until(lambda: not house.only.transport.is_reading(), "no more is read")
        client.send(data[at:])
        gate.set()
        client._buffer[:0] = begun
        assert is_whole(client.reply())
        assert is_whole(client.reply(), 2)
        client.send(post(asked("1")))
        assert is_whole(client.reply(), 1)


def test_chat_then_another_route_then_chat(porch):
    house = porch()
    with Client(house.port) as client:
        for given, data in ((0, post()), (0, post()), (1, ERRANT), (1, post()), (1, ERRANT)):
            client.send(data)
            assert client.reply().status == 200
            assert house.given == given
    assert house.open == 0


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"\0\0\r\n\r\n", b"oops\r\n\r\n"])
def test_garbage_after_a_request_is_refused_after_its_answer(porch, garbage):
    house = porch()
    with Client(house.port) as client:
        client.send(post() + garbage)
        assert is_whole(client.reply())
        refused = client.reply()
        assert (refused.status, refused.json["error"]["type"]) == (400, "invalid_request_error")
        assert is_shut(client)
    assert house.given == 1


def test_line_ends_after_a_request_are_nothing(porch):
    house = porch()
    with Client(house.port) as client:
        client.send(post() + b"\r\n" + post(asked("1")))
        assert is_whole(client.reply())
        assert is_whole(client.reply(), 1)


# Who comes this way.


def by_sdk(url: str, text: str) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        messages = [{"role": "user", "content": text}]
        chunks = client.chat.completions.create(model="m", messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def by_aiohttp(url: str, text: str) -> str:
    async def ask() -> str:
        async with aiohttp.ClientSession() as session:
            body = json.loads(asked(text, stream=False))
            async with session.post(url + CHAT, json=body) as response:
                return (await response.json())["choices"][0]["message"]["content"]

    return asyncio.run(ask())


def by_command(*command: str) -> Callable[[str, str], str]:
    def ask(url: str, text: str) -> str:
        words = [url + CHAT if word == "URL" else word for word in command]
        words[0] = node() if words[0] == "node" else words[0]
        body = asked(text, stream=False).decode()
        said = subprocess.run([*words, body], capture_output=True, timeout=15, check=True).stdout
        return json.loads(said)["choices"][0]["message"]["content"]

    return ask


FETCH = """
const [url, body] = process.argv.slice(1)
const headers = {"content-type": "application/json"}
fetch(url, {method: "POST", headers, body}).then(response => response.text()).then(console.log)
"""
CLIENTS = {
    "openai": by_sdk,
    "aiohttp": by_aiohttp,
    "curl": by_command("curl", "-s", "-H", "Content-Type: application/json", "URL", "-d"),
    "node": by_command("node", "-e", FETCH, "URL"),
}


@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
def test_usual_clients_come_by_the_door(serve_config, upstream, ask):
    house = Porch(serve_config(config_of(openai_upstream(upstream.url, retries=0))))
    assert ask(house.gateway.url, "3") == text_of(3)
    assert house.given == 0


# What is not read here.

ELSEWHERE = {
    "HTTP/1.0": post(version="1.0"),
    "goes after it": post(asked(), "Connection: close"),
    "chunked": post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(asked()), asked()),
    "a query": post(target=CHAT + "?a=b"),
    "line end first": b"\r\n" + post(),
}


@pytest.mark.parametrize("data", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_the_door_does_not_read_works_as_well(porch, data):
    house = porch()
    assert is_whole(house.fetch(data)) or data == ELSEWHERE["HTTP/1.0"]
    assert b"[DONE]" in house.fetch(data).body
    assert house.given == 2


def test_who_waits_to_be_told_is_told(porch):
    house = porch()
    with Client(house.port) as client:
        client.send(head(asked(), "Expect: 100-continue"))
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(asked())
        assert is_whole(client.reply())
    assert house.given == 1


SIZES = {
    "within": (LARGE, {}, 200, 0),
    "beyond": (LARGE + 1, {}, 200, 1),
    "at the limit": (1000, {"max_body": 1000}, 200, 0),
    "above the limit": (1001, {"max_body": 1000}, 413, 1),
}


@pytest.mark.parametrize(("size", "limits", "status", "given"), SIZES.values(), ids=SIZES)
def test_how_large_a_body_may_be(unhurried, porch, size, limits, status, given):
    house = porch(limits=limits)
    assert house.fetch(post(asked(size=size))).status == status
    assert house.given == given


# What is on the wire.

KINDS = {
    "stream": (post(), {}),
    "whole": (post(asked(stream=False)), {}),
    "error": (post(b"oops"), {}),
    "origin": (post(asked(stream=False), "Origin: https://app.example"), {}),
    "origin in a stream": (post(asked(), "Origin: https://app.example"), {}),
    "one of the listed": (
        post(asked(stream=False), "Origin: https://app.example"),
        {"cors": Cors(origins=("https://app.example",))},
    ),
    "no key": (post(), {"auth": Auth(api_keys=(Secret("first-key-0123456789"),))}),
}


@pytest.mark.parametrize(("data", "sections"), KINDS.values(), ids=KINDS)
def test_no_header_comes_twice(porch, data, sections):
    house = porch(**sections)
    with Client(house.port) as client:
        client.send(data)
        lines = client.until(b"\r\n\r\n").decode().strip().split("\r\n")[1:]
    names = Counter(line.partition(":")[0].lower() for line in lines)
    assert set(names.values()) == {1}
    assert {"date", "server", "content-type", "x-request-id"} <= set(names)
    assert ("content-length" in names) != ("transfer-encoding" in names)
    assert house.given == 0


def test_the_kernel_holds_little_for_a_client_and_notices_dead_ones(porch):
    house = porch()
    with Client(house.port):
        transport = house.only.transport
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_LOWAT
        assert transport.get_write_buffer_limits()[1] == HIGH_WATER
