"""The door when somebody leaves, says nothing for too long or reads nothing, and when the gateway itself ends."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from proxy.heads import CHAT
from tests.proxy.door_setup import (
    ERRANT,
    Client,
    asked,
    gate,
    is_shut,
    is_whole,
    log,
    porch,
    post,
    unhurried,
    upstream,
)
from tests.support.waiting import until

__all__ = ["gate", "log", "porch", "unhurried", "upstream"]
pytestmark = pytest.mark.two_ways


# Who is slow, and who leaves.


def test_a_body_that_does_not_come_is_aiohttps_and_a_408(porch, log):
    house = porch(limits={"body_timeout": 0.2})
    with Client(house.port) as client:
        client.send(post()[:-10])
        until(lambda: house.given == 1, "it is aiohttp's")
        reply = client.reply()
        assert (reply.status, reply.json["error"]["type"]) == (408, "invalid_request_error")
    assert [line["status"] for line in log.requests] == [408]


def test_a_body_that_comes_late_is_taken(porch):
    house = porch()
    with Client(house.port) as client:
        client.send(post()[:-10])
        until(lambda: house.given == 1, "it is aiohttp's")
        client.send(post()[-10:])
        assert is_whole(client.reply())


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_who_leaves_within_a_slow_request_has_a_line(porch, log, reset):
    house = porch()
    with Client(house.port) as client:
        client.send(post()[:-10])
        until(lambda: house.given == 1, "it is aiohttp's")
        if reset:
            client.reset()
    until(lambda: len(log.requests) == 1, "the line")
    assert log.requests[0]["status"] == 499


@pytest.mark.parametrize("sent", [b"", post()[:-10]], ids=["nothing", "a part"])
def test_who_leaves_early_leaves_nothing(unhurried, porch, log, sent):
    house = porch()
    with Client(house.port) as client:
        client.send(sent)
        door = house.only
        until(lambda: (door._late is not None) == bool(sent), "it has come")
    until(lambda: house.open == 0, "it has left")
    assert (house.doors._idle, door._late, house.given, log.requests) == ({}, None, 0, [])


@pytest.mark.parametrize("text", ["silent", "stuck"])
@pytest.mark.parametrize("how", ["closes", "resets", "says that it is done"])
def test_who_leaves_in_the_middle_costs_one_line_and_lets_go_of_the_upstream(porch, upstream, log, text, how):
    house, before = porch(), upstream.connections
    asking = len(upstream.requests)
    with Client(house.port) as client:
        client.send(post(asked(text)) + post())
        upstream.received(asking + 1)
        if text == "stuck":
            client.until(b"w0 ")
        if how == "resets":
            client.reset()
        elif how == "closes":
            client.socket.close()
        else:
            client.socket.shutdown(socket.SHUT_WR)
            assert b"DONE" not in client.until(b"never")
        upstream.closed_by_peer(before + 1)
        until(lambda: log.requests != [], "the line")
    house.gateway.until_idle()
    assert [line["status"] for line in log.requests] == [499]
    assert (log.tracebacks, house.open, house.given) == ([], 0, 0)
    assert len(upstream.requests) == asking + 1


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_a_late_reader_gets_all_of_a_large_answer(porch, streams):
    house = porch()
    with Client(house.port, receive_buffer=4096) as client:
        client.send(post(asked("big", stream=streams)))
        door = house.only
        until(lambda: door._paused, "it is behind")
        client.send(post(asked("2")))
        reply = client.reply()
        text = reply.text if streams else reply.json["choices"][0]["message"]["content"]
        assert (reply.complete, len(text), set(text)) == (True, 5_000_000, {"~"})
        assert is_whole(client.reply(), 2)
    assert house.given == 0


def test_a_late_reader_of_a_large_answer_may_leave(porch, log):
    house = porch()
    with Client(house.port, receive_buffer=4096) as client:
        client.send(post(asked("big", stream=False)))
        door = house.only
        until(lambda: door._drained is not None, "it is behind")
        client.reset()
    until(lambda: house.open == 0, "it has left")
    house.gateway.until_idle()
    assert log.tracebacks == []


# Silence.


@pytest.mark.parametrize(
    "before", [b"", post(), post(asked("1", stream=False))], ids=["none", "stream", "whole"]
)
def test_a_silent_connection_is_closed(porch, before):
    house = porch(limits={"connection_timeout": 0.25})
    with Client(house.port) as client:
        began = time.monotonic()
        if before:
            client.send(before)
            assert client.reply().complete
            began = time.monotonic()
        assert is_shut(client)
        assert time.monotonic() - began > 0.2
    until(lambda: house.open == 0, "it is forgotten")
    assert (house.given, house.doors._timer) == (0, None)


def test_answers_and_those_who_ask_again_are_not_silent(porch):
    house = porch(limits={"connection_timeout": 0.25})
    with Client(house.port) as client, Client(house.port) as talker:
        client.send(post(asked("slow")))
        for _ in range(5):
            talker.send(post(asked("1")))
            assert is_whole(talker.reply(), 1)
            time.sleep(0.1)
        assert is_whole(client.reply(), 6)


def test_each_has_its_own_silence(porch):
    house = porch(limits={"connection_timeout": 0.3})
    with Client(house.port) as first, Client(house.port) as second:
        time.sleep(0.15)
        first.send(post(asked("1")))
        assert is_whole(first.reply(), 1)
        began = time.monotonic()
        assert is_shut(second)
        assert house.open == 1
        assert is_shut(first)
        assert time.monotonic() - began > 0.25


# The end of the gateway.


def test_draining_closes_the_idle_at_once_and_the_others_after_their_answer(unhurried, porch, gate):
    house = porch()
    with (
        Client(house.port) as idle,
        Client(house.port) as used,
        Client(house.port) as half,
        Client(house.port) as stuck,
        Client(house.port) as whole,
    ):
        used.send(post())
        assert is_whole(used.reply())
        half.send(post()[:-5])
        stuck.send(post(asked("gated")) + post())
        begun = stuck.until(b"w0 ")
        whole.send(post(asked("gated", stream=False)))
        until(lambda: house.gateway.held()["answers"] == 2, "both are under way")
        draining = asyncio.run_coroutine_threadsafe(house.gateway.serving.drain(), house.gateway.loop)
        assert all(is_shut(client) for client in (idle, used, half))
        until(lambda: house.open == 2, "only those that are answered are left")
        assert not draining.done()
        gate.set()
        stuck._buffer[:0] = begun
        reply = stuck.reply()
        assert is_whole(reply)
        assert is_shut(stuck)
        reply = whole.reply()
        assert (reply.complete, reply.headers["connection"]) == (True, "close")
        assert is_shut(whole)
        draining.result(5)
    assert (house.open, house.given) == (0, 0)


def test_a_stream_that_begins_while_draining_says_that_it_is_the_last(porch, upstream):
    house, before = porch(), len(upstream.requests)
    with Client(house.port) as client:
        client.send(post(asked("slow")))
        upstream.received(before + 1)
        house.soon(house.doors.close)
        reply = client.reply()
        assert (is_whole(reply, 6), reply.headers.get("connection")) == (True, "close")
        assert is_shut(client)


def test_cutting_hangs_up_on_everybody(porch):
    house = porch()
    with Client(house.port) as idle, Client(house.port) as stuck, Client(house.port) as further:
        stuck.send(post(asked("stuck")))
        begun = stuck.until(b"w0 ")
        further.send(ERRANT)
        assert further.reply().status == 200
        house.soon(house.gateway.serving.cut)
        stuck._buffer[:0] = begun
        assert not stuck.reply().complete
        assert is_shut(idle) and is_shut(further)
    until(lambda: house.open == 0, "all have left")
    house.gateway.until_idle()


def test_stopping_waits_so_long_and_then_hangs_up(porch, log):
    house = porch()
    with Client(house.port) as client, Client(house.port) as idle:
        client.send(post(asked("silent")))
        until(lambda: house.gateway.held()["answers"] == 1, "it is under way")
        began = time.monotonic()
        house.gateway.call(house.doors.shutdown, 0.2)
        assert 0.15 < time.monotonic() - began < 3.0
        assert is_shut(client) and is_shut(idle)
    until(lambda: log.requests != [], "the line")
    assert [line["status"] for line in log.requests] == [499]
    assert (house.open, house.doors._timer.cancelled()) == (0, True)


def test_stopping_waits_for_no_longer_than_it_must(porch, upstream):
    house, before = porch(), len(upstream.requests)
    with Client(house.port) as client:
        client.send(post(asked("slow", stream=False)))
        upstream.received(before + 1)
        began = time.monotonic()
        house.gateway.call(house.doors.shutdown, 10.0)
        assert time.monotonic() - began < 5.0
        assert client.reply().complete


@pytest.mark.parametrize("target", [CHAT, CHAT + "?by=aiohttp"], ids=["door", "aiohttp"])
def test_stopping_lets_a_reader_have_the_end_of_a_large_answer(porch, target):
    house = porch()
    server = house.gateway.serving._runner.server
    with Client(house.port, receive_buffer=4096) as client:
        client.send(post(asked("big", stream=False), target=target))
        client.take(1)
        stopping = asyncio.run_coroutine_threadsafe(server.shutdown(5.0), house.gateway.loop)
        reply = client.reply()
        assert (reply.complete, len(reply.body) > 5_000_000) == (True, True)
        stopping.result(5)


def test_stopping_does_not_wait_for_a_reader_that_takes_nothing(porch):
    house = porch()
    with Client(house.port, receive_buffer=4096) as client:
        client.send(post(asked("big", stream=False)))
        door = house.only
        until(lambda: door._drained is not None, "it is behind")
        house.gateway.call(house.doors.shutdown, 0.1)
        until(lambda: house.open == 0, "it is hung up on")
        assert not client.reply().complete
