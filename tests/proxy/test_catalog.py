"""A list of models is asked for now and then, by one for all, and nobody waits for it for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pytest

from proxy import catalog as module
from proxy.background import Background
from proxy.catalog import AGAIN, FRESH, MOST, Catalog
from tests.support.loglines import LogLines
from translators.errors import UpstreamError
from translators.upstreams.plan import Listed


class Platform:
    def __init__(self) -> None:
        self.lists: list[Iterable[Listed] | Exception] = []
        self.asked = 0
        self.delay = 0.0
        self.now = 1000.0

    async def __call__(self) -> Iterable[Listed]:
        self.asked += 1
        said = self.lists[min(self.asked, len(self.lists)) - 1]
        await asyncio.sleep(self.delay)
        if isinstance(said, Exception):
            raise said
        return said

    def catalog(self) -> Catalog:
        return Catalog("up", self, lambda: self.now, Background())


@pytest.fixture
def platform() -> Platform:
    platform = Platform()
    platform.lists = [[Listed("bot/1", 7)], [Listed("bot/2")]]
    return platform


FIRST = (Listed("up/bot/1", 7),)
SECOND = (Listed("up/bot/2"),)


async def test_a_list_is_good_for_a_minute(platform):
    catalog = platform.catalog()
    assert await catalog.models() == FIRST
    platform.now += FRESH - 0.1
    assert (await catalog.models(), platform.asked) == (FIRST, 1)
    platform.now += 0.1
    assert (await catalog.models(), platform.asked) == (SECOND, 2)


async def test_many_at_once_cause_one_question(platform):
    catalog, platform.delay = platform.catalog(), 0.05
    assert await asyncio.gather(*(catalog.models() for _ in range(10))) == [FIRST] * 10
    assert platform.asked == 1


async def test_after_a_failure_the_old_list_serves_and_it_is_tried_again_a_little_later(platform):
    platform.lists[1:1] = [UpstreamError("down"), UpstreamError("still down")]
    catalog = platform.catalog()
    await catalog.models()
    platform.now += FRESH
    with LogLines() as log:
        assert (await catalog.models(), await catalog.models(), platform.asked) == (FIRST, FIRST, 2)
    assert [record.getMessage() for record in log.events] == ["listing the models of up failed: down"]
    platform.now += AGAIN
    assert (await catalog.models(), platform.asked) == (FIRST, 3)
    platform.now += AGAIN
    assert (await catalog.models(), platform.asked) == (SECOND, 4)


async def test_nobody_waits_for_long_and_a_late_answer_serves_the_next(platform, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    catalog, platform.delay = platform.catalog(), 0.2
    began = time.monotonic()
    assert await asyncio.gather(catalog.models(), catalog.models()) == [(), ()]
    assert time.monotonic() - began < 0.19
    await asyncio.sleep(0.2)
    assert (await catalog.models(), platform.asked) == (FIRST, 1)


async def test_who_leaves_does_not_take_the_question_along(platform):
    catalog, platform.delay = platform.catalog(), 0.05
    leaving = asyncio.create_task(catalog.models())
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert (await catalog.models(), platform.asked) == (FIRST, 1)


async def test_closing_gives_the_question_up(platform):
    catalog, platform.delay = platform.catalog(), 60.0
    waiting = asyncio.create_task(catalog.models())
    await asyncio.sleep(0.01)
    catalog.close()
    assert await waiting == ()
    await asyncio.sleep(0)
    assert len(catalog.background) == 0
    platform.catalog().close()


async def test_without_room_in_the_background_the_old_list_serves(platform, monkeypatch):
    monkeypatch.setattr("proxy.background.MOST", 0)
    assert (await platform.catalog().models(), platform.asked) == ((), 0)


async def test_names_that_no_client_could_send_are_left_out(platform):
    platform.lists = [[Listed("x" * 254), Listed("x" * 253), Listed("a\nb"), Listed("ok")]]
    assert [model.id for model in await platform.catalog().models()] == ["up/" + "x" * 253, "up/ok"]


async def test_a_name_is_listed_once_and_there_is_an_end_to_it(platform):
    platform.lists = [[Listed("a"), Listed("a"), *(Listed(f"m{number}") for number in range(MOST))]]
    names = [model.id for model in await platform.catalog().models()]
    assert len(names) == len(set(names)) == MOST
