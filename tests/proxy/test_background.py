"""Work that nobody waits for is bounded, tells its failures to the log, and gets a moment when all ends."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from proxy import background
from proxy.background import Background
from tests.support.loglines import LogLines
from translators.errors import UpstreamError


async def fail(error: Exception) -> None:
    raise error


async def test_what_is_started_is_done():
    done, work = [], Background()

    async def piece() -> None:
        done.append(1)

    task = work.start(piece, "x", 1.0, logging.DEBUG)
    await task
    await asyncio.sleep(0)
    assert (done, len(work)) == ([1], 0)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
async def test_what_fails_is_told_to_the_log_with_its_level(level):
    work = Background()
    with LogLines() as log:
        await work.start(lambda: fail(UpstreamError("it broke")), "the errand", 1.0, level)
        await work.start(lambda: asyncio.sleep(9), "the walk", 0.01, level)
    assert [
        (record.levelno, record.getMessage()) for record in log.records if record.name == "deltawire"
    ] == [
        (level, "the errand failed: it broke"),
        (level, "the walk was given up after 0.01 seconds"),
    ]


async def test_a_bug_is_an_error_with_its_traceback():
    work = Background()
    with LogLines() as log:
        task = work.start(lambda: fail(KeyError("bug")), "the errand", 1.0, logging.DEBUG)
        await asyncio.wait({task})
        await asyncio.sleep(0)
    [line] = log.tracebacks
    assert "ERROR the errand failed" in line and "KeyError" in line


async def test_there_is_a_limit_to_it(monkeypatch):
    monkeypatch.setattr(background, "MOST", 2)
    work = Background()
    with LogLines() as log:
        started = [
            work.start(lambda: asyncio.sleep(0.01), f"work {number}", 1.0, logging.INFO)
            for number in range(3)
        ]
    assert started[2] is None and len(work) == 2
    assert log.events[-1].getMessage() == "work 2 was given up: too much is being done in the background"
    await asyncio.gather(*started[:2])
    await asyncio.sleep(0)
    assert work.start(lambda: asyncio.sleep(0), "more", 1.0, logging.INFO) is not None
    await work.close(1.0)


async def test_closing_waits_for_what_ends_soon_and_gives_up_the_rest():
    ended, work = [], Background()

    async def piece(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ended.append("done")
        except asyncio.CancelledError:
            ended.append("given up")
            raise

    for seconds in (0.02, 60.0):
        work.start(lambda seconds=seconds: piece(seconds), "piece", 90.0, logging.DEBUG)
    began = time.monotonic()
    await work.close(0.1)
    assert ended == ["done", "given up"]
    assert 0.05 < time.monotonic() - began < 0.6
    await asyncio.sleep(0)
    assert len(work) == 0


async def test_closing_with_nothing_to_do_takes_no_time():
    began = time.monotonic()
    await Background().close(5.0)
    assert time.monotonic() - began < 0.1
