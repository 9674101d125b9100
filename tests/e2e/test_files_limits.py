"""How large, how slow, how many and how long: what a file may not be, and what is left of one that is."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.files_setup import (
    END,
    FORM,
    LARGEST,
    Client,
    ServeConfig,
    connected,
    field,
    form,
    keeping,
    refused,
    stored,
)
from tests.support.gateway import GatewayThread
from tests.support.waiting import nothing_left, until

CHUNKED = (
    "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    f"Content-Type: {FORM['Content-Type']}\r\n\r\n"
).encode()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(serve_config: ServeConfig, data: Path) -> GatewayThread:
    return serve_config(keeping(data, max_file=LARGEST, limits={"body_timeout": 0.6}))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway, "sk-one") as client:
        yield client


def test_the_largest_file_and_one_that_is_larger(client: Client, gateway: GatewayThread, data: Path):
    kept = client.keep(b"x" * LARGEST)
    assert kept["bytes"] == LARGEST
    over = client.upload(form(b"x" * (LARGEST + 1)))
    refused(over, 413, "file", "request_too_large")
    until(lambda: stored(data) == [kept["id"]], "nothing is left of it")
    assert client.keep(b"after")["bytes"] == 5  # the connection goes on


def test_what_says_that_it_is_too_large_is_refused_before_it_comes(gateway: GatewayThread, data: Path):
    with connected(gateway) as client:
        client.raw.send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
        )
        refused(client.raw.reply(), 413, "file", "request_too_large")
    assert not data.exists()


def test_what_turns_out_to_be_too_large_is_refused_while_it_comes(gateway: GatewayThread, data: Path):
    with connected(gateway) as client:
        client.raw.send(CHUNKED)
        opening = field("file", b"", "x")[:-2]
        client.raw.send(b"%x\r\n%b\r\n" % (len(opening), opening))
        piece = b"%x\r\n%b\r\n" % (50_000, bytes(50_000))
        for _ in range(8):
            client.raw.send(piece)
        refused(client.raw.reply(), 413, "file", "request_too_large")
    until(lambda: stored(data) == [], "nothing is kept")


def test_a_body_of_any_size_is_not_gathered(serve_config: ServeConfig, data: Path):
    """Files go past the limit for requests, and none of this process's memory goes with them."""
    gateway = serve_config(keeping(data, limits={"max_body": 10_000}))
    with connected(gateway) as client:
        block = os.urandom(1 << 20)
        opening, closing = field("purpose", "batch") + field("file", b"", "x")[:-2], b"\r\n" + END
        client.raw.send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {len(opening) + (40 << 20) + len(closing)}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
        )
        before = resident()
        client.raw.send(opening)
        for _ in range(40):
            client.raw.send(block)
        client.raw.send(closing)
        kept = client.raw.reply().json
        assert kept["bytes"] == 40 << 20
        assert resident() - before < 20 << 20
        assert client.content(kept["id"]) == block * 40


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_whoever_leaves_in_the_middle_leaves_nothing(gateway: GatewayThread, data: Path):
    with connected(gateway) as client:
        client.get("/v1/files")  # from its first use on the storage has a task of its own
    with nothing_left(gateway):
        for reset in (False, True):
            with connected(gateway) as client:
                body = form(b"x" * 200_000)
                client.raw.send(
                    f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                    f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
                    + body[:100_000]
                )
                until(lambda: len(stored(data)) == 1, "the bytes have begun")
                if reset:
                    client.raw.reset()
            until(lambda: stored(data) == [], "nothing is left")
    with connected(gateway) as client:
        assert client.get("/v1/files").json["data"] == []


def test_whoever_stops_sending_is_told_so(gateway: GatewayThread, data: Path):
    with connected(gateway) as client:
        body = form(b"x" * 1000)
        client.raw.send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
            + body[:500]
        )
        reply = client.raw.reply()
        assert (reply.status, reply.json["error"]["code"]) == (408, "request_timeout")
    until(lambda: stored(data) == [], "nothing is left")


def test_a_trickle_is_not_waited_for_forever(gateway: GatewayThread):
    """Each byte comes soon enough, but all of them would take a month."""
    with connected(gateway) as client:
        body = form(b"x" * 100_000)
        client.raw.send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
        )
        began = time.monotonic()
        client.raw.socket.setblocking(False)
        for place in range(1000):
            try:
                client.raw.socket.send(body[place : place + 1])
                if client.raw.socket.recv(12, socket.MSG_PEEK):
                    break
            except BlockingIOError:
                time.sleep(0.02)
        client.raw.socket.settimeout(5)
        assert client.raw.reply().status == 408
        assert time.monotonic() - began < 3


def test_a_file_that_ends_is_gone_by_itself(serve_config: ServeConfig, data: Path):
    gateway = serve_config(keeping(data))
    told = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    with connected(gateway) as client:
        kept = client.keep(**told)
        assert kept["expires_at"] == kept["created_at"] + 3600
        assert client.get(f"/v1/files/{kept['id']}").json == kept
        gateway.serving.gateway.storage.store._store.clock = lambda: time.time() + 3601
        assert client.get(f"/v1/files/{kept['id']}").status == 404
        assert client.get(f"/v1/files/{kept['id']}/content").status == 404
        assert client.get("/v1/files").json["data"] == []


def test_nobody_keeps_more_than_there_is_room_for(serve_config: ServeConfig, data: Path):
    gateway = serve_config(keeping(data, quota=1000))
    with connected(gateway, "sk-one") as client, connected(gateway, "sk-two") as other:
        first = client.keep(b"x" * 600)
        for size in (401, 5000):
            message = refused(client.upload(form(b"x" * size)), 413, None, "quota_exceeded")
            assert "1000 bytes" in message
        assert other.keep(b"x" * 1000)["bytes"] == 1000
        client.keep(b"x" * 400)
        client.ask("DELETE", f"/v1/files/{first['id']}")
        assert client.keep(b"x" * 600)["bytes"] == 600
        assert client.keep(b"")["bytes"] == 0
    until(lambda: len(stored(data)) == 4, "nothing else is left")


def test_there_may_be_room_for_any_number(serve_config: ServeConfig, data: Path):
    gateway = serve_config(keeping(data, quota=0))
    with connected(gateway) as client:
        assert client.keep(b"x" * 100_000)["bytes"] == 100_000


def test_many_at_once_do_not_get_past_the_quota(serve_config: ServeConfig, data: Path):
    gateway = serve_config(keeping(data, quota=1000))
    clients = [Client(gateway.port, "sk-one") for _ in range(6)]
    body = form(b"x" * 300)
    for client in clients:  # all of them have begun before the first has ended
        client.raw.send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-one\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
            + body[:-20]
        )
    until(lambda: len(stored(data)) == 6, "all have begun")
    for client in clients:
        client.raw.send(body[-20:])
    statuses = sorted(client.raw.reply().status for client in clients)
    for client in clients:
        client.raw.socket.close()
    assert statuses == [200, 200, 200, 413, 413, 413]
    until(lambda: len(stored(data)) == 3, "what had no room is gone")


def test_a_form_has_little_beside_its_file(client: Client, gateway: GatewayThread, data: Path):
    """Each field is short enough, but all of them together are not."""

    def fields(count: int) -> bytes:
        return b"".join(field(f"x{number}", b"x" * 60_000) for number in range(count)) + form()

    assert client.upload(fields(15)).status == 200
    refused(client.upload(fields(30)), 413, "file", "request_too_large")
    with connected(gateway) as other:
        other.raw.send(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(fields(30)), fields(30)))
        refused(other.raw.reply(), 413, "file", "request_too_large")


def test_a_body_that_is_no_http_is_refused(gateway: GatewayThread, data: Path):
    piece = form(b"x" * 100)[:-60]
    chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
    with connected(gateway) as client:
        client.raw.send(CHUNKED + b"nonsense\r\n")
        refused(client.raw.reply(), 400, None)
    with connected(gateway) as client:  # aiohttp tells nobody who already waits, so the limit of time ends it
        client.raw.send(CHUNKED + chunk)
        until(lambda: len(stored(data)) == 1, "the bytes have begun")
        client.raw.send(b"nonsense\r\n")
        assert client.raw.reply().status == 408
    until(lambda: stored(data) == [], "nothing is left")
