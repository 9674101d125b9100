"""Serving and stopping in this very process; ``tests/e2e/test_shutdown.py`` does it to a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time

import pytest
import uvloop

from proxy.server import SECOND_SIGNAL, Serving, catch_signals, loop_factory, run_until_signal, until_signal
from proxy.simulators.script import Hang, ScriptServer, Send, chunk, event_stream_head
from tests.support.gateway import builtin_upstream, config_of, openai_upstream
from tests.support.loglines import LogLines
from tests.support.raw import RawClient, question
from tests.support.upstream import words

STUCK = [Send(event_stream_head()), Send(chunk(words(1)[0])), Hang()]


def test_loops_by_name(monkeypatch):
    assert loop_factory("asyncio") is None
    assert loop_factory("uvloop") is loop_factory("auto") is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("auto") is None
    with pytest.raises(ImportError):
        loop_factory("uvloop")


def test_the_exit_code_is_what_main_says():
    async def main() -> int:
        return 7

    assert run_until_signal("asyncio", main) == 7


async def test_a_taken_port_is_told_in_words():
    with socket.create_server(("127.0.0.1", 0)) as taken, LogLines() as log:
        serving = Serving(config_of(builtin_upstream(), server={"port": taken.getsockname()[1]}))
        assert not await serving.listen()
    assert "cannot listen on 127.0.0.1 port" in log.text
    assert log.tracebacks == []


async def test_an_ipv6_address_is_written_in_brackets():
    serving = Serving(config_of(builtin_upstream(), server={"host": "::1"}))
    async with serving:
        assert serving.url.startswith("http://[::1]:")


async def test_stopping_what_never_started_is_harmless():
    serving = Serving(config_of(builtin_upstream()))
    serving.cut()
    await serving.stop()


async def test_a_signal_stops_an_idle_server():
    serving = Serving(config_of(builtin_upstream()))
    assert await serving.listen()
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    assert await until_signal(serving, catch_signals()) == 0
    assert serving.gateway.draining


async def test_a_signal_while_it_starts_stops_it_as_cleanly():
    signals, serving = catch_signals(), Serving(config_of(builtin_upstream()))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving.listen()
    assert await until_signal(serving, signals) == 0
    assert serving.gateway.draining


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_answer_that_does_not_end_is_told_and_then_the_server_stops(number):
    async with ScriptServer(STUCK) as upstream:
        serving = Serving(config_of(openai_upstream(upstream.url), server={"drain": 0.2}))
        await serving.start()
        talking = asyncio.create_task(asyncio.to_thread(talk, serving))
        await upstream.received()
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
        assert await until_signal(serving, catch_signals()) == 0
        assert b'"shutting_down"' in await talking


async def test_a_second_signal_cuts_the_draining_short():
    async with ScriptServer(STUCK) as upstream:
        serving = Serving(config_of(openai_upstream(upstream.url), server={"drain": 30.0}))
        await serving.start()
        talking = asyncio.create_task(asyncio.to_thread(talk, serving))
        await upstream.received()
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        loop.call_later(0.15, os.kill, os.getpid(), signal.SIGINT)
        began = time.monotonic()
        assert await until_signal(serving, catch_signals()) == SECOND_SIGNAL
        assert time.monotonic() - began < 3.0
        assert b'"shutting_down"' not in await talking


def talk(serving: Serving) -> bytes:
    with RawClient(int(serving.url.rpartition(":")[2])) as client:
        client.post(question())
        return client.until(b"0\r\n\r\n")


async def test_draining_turns_readiness_off():
    """Seen on a connection that was open before, while an answer keeps the server."""
    async with Serving(config_of(builtin_upstream())) as serving:
        serving.gateway.draining = True
        with RawClient(int(serving.url.rpartition(":")[2])) as client:
            client.request("GET", "/readyz")
            reply = await asyncio.to_thread(client.reply)
        assert (reply.status, reply.json["status"]) == (503, "draining")
