"""SIGTERM at a real process: no new connections, answers under way may end, then a frame, then exit 0."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from proxy.simulators.script import Hang, Send, Wait, chunk, event_stream_head, stream
from tests.support.command import Command
from tests.support.raw import RawClient, Reply, question
from tests.support.upstream import ScriptThread, answer, text_of, words
from tests.support.waiting import until

OPEN = Send(event_stream_head())
STUCK = [OPEN, *(Send(chunk(word)) for word in words(2)), Hang()]
LOOPS = ["asyncio", "uvloop"]
RELAYS = ["loop", "tap"]


def command(directory: Path, upstream: ScriptThread, drain: float, *flags: str) -> Command:
    toml = f"""
        [server]
        drain = {drain}
        [limits]
        write_timeout = 60
        [upstreams.up]
        kind = "openai"
        base_url = "{upstream.url}"
        models = ["m"]
    """
    return Command(directory, toml, *flags)


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("relay", RELAYS)
def test_answers_under_way_end_by_themselves(tmp_path, relay, loop):
    slow = stream(answer(30), delay=0.02)
    flags = ("--relay", relay, "--loop", loop)
    with ScriptThread(slow) as upstream, command(tmp_path, upstream, 10.0, *flags) as gateway:
        with (
            RawClient(gateway.port) as running,
            RawClient(gateway.port) as idle,
            RawClient(gateway.port) as whole,
        ):
            idle.request("GET", "/readyz")
            assert idle.reply().status == 200
            running.post(question())
            whole.post(question(stream=False))
            upstream.received(2)
            gateway.terminate()
            until(lambda: refuses_connections(gateway.port), "new connections refused")
            assert idle.receive() == b""
            reply = running.reply()
            assert (reply.complete, reply.text, reply.frames[-1]) == (True, text_of(30), "[DONE]")
            assert whole.reply().json["choices"][0]["message"]["content"] == text_of(30)
            assert running.receive() == b""
        assert gateway.exit_code() == 0
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("relay", RELAYS)
def test_answers_that_do_not_end_are_told_so(tmp_path, relay, loop):
    flags = ("--relay", relay, "--loop", loop)
    with ScriptThread(STUCK) as upstream, command(tmp_path, upstream, 0.5, *flags) as gateway:
        with (
            RawClient(gateway.port) as running,
            RawClient(gateway.port) as early,
            RawClient(gateway.port) as whole,
        ):
            running.post(question())
            running.until(b"\r\n\r\n")
            whole.post(question(stream=False))
            upstream.received(2)
            upstream.play([OPEN, Hang()])
            early.post(question())
            upstream.received(3)
            began = gateway.terminate()
            body = running.until(b"0\r\n\r\n")
            assert b'"code":"shutting_down"' in body and b"[DONE]" not in body
            assert body.index(b'"w1 "') < body.index(b'"error"')
            for waiting in (early, whole):
                refused = waiting.reply()
                assert (refused.status, refused.json["error"]["code"]) == (503, "shutting_down")
            assert gateway.exit_code() == 0
            assert 0.4 < time.monotonic() - began < 2.5
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_signal_does_not_wait(tmp_path, loop):
    with ScriptThread(STUCK) as upstream, command(tmp_path, upstream, 30.0, "--loop", loop) as gateway:
        with RawClient(gateway.port) as running:
            running.post(question())
            running.until(b"w1 ")
            gateway.terminate()
            until(lambda: refuses_connections(gateway.port), "new connections refused")
            began = gateway.terminate()
            code = gateway.exit_code()
            assert (code, time.monotonic() - began < 1.5) == (143, True)
            running.until(b"0\r\n\r\n")
            assert running.receive() == b""
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stalled_reader_does_not_keep_the_process(tmp_path, loop):
    """It can be told nothing, and the limit for readers is far away."""
    flood = [OPEN, *(Send(chunk(b"".join(words(1000)))) for _ in range(20)), Hang()]
    with ScriptThread(flood) as upstream, command(tmp_path, upstream, 0.2, "--loop", loop) as gateway:
        with RawClient(gateway.port, receive_buffer=4096) as stalled:
            stalled.post(question())
            upstream.received()
            time.sleep(0.3)
            began = gateway.terminate()
            assert gateway.exit_code() == 0
            assert time.monotonic() - began < 4.0
            left: Reply = stalled.reply()
            assert not left.complete
        assert "Traceback" not in gateway.log


def test_an_idle_process_stops_at_once(tmp_path):
    with (
        ScriptThread() as upstream,
        command(tmp_path, upstream, 30.0) as gateway,
        RawClient(gateway.port) as idle,
    ):
        began = gateway.terminate()
        assert (gateway.exit_code(), time.monotonic() - began < 1.5) == (0, True)
        assert idle.receive() == b""


def test_a_port_that_is_taken_is_said_in_words(tmp_path):
    with ScriptThread([Wait(1)]) as upstream, command(tmp_path, upstream, 1.0) as gateway:
        second = command(tmp_path, upstream, 1.0)
        second._arguments[second._arguments.index("--port") + 1] = str(gateway.port)
        with pytest.raises(AssertionError, match="cannot listen on"), second:
            pass
        assert second.exit_code() == 1
