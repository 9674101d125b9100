"""What is kept in mind past a restart: found at once, by all workers, for one owner; and chats without it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from proxy.background import Background
from proxy.memory import LARGEST_VALUE
from proxy.memory_stored import MOST_WAITING, StoredMemory
from proxy.simulators.dify_store import Conversation
from proxy.stores.faults import full, unavailable
from tests.e2e.dify_scene import COUNT, dify_upstream, open_app, stand_in_of
from tests.e2e.files_setup import keeping
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.gateway import GatewayThread

PLACE = ("up", "ann", "conversation:1")


class Failing:
    """A store of which every call fails, after it was counted."""

    def __init__(self, error: Any = None) -> None:
        self.calls, self.error = 0, error or unavailable("it is away")

    async def get(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        raise self.error

    commit = list = get


class Worker:
    def __init__(self, store: Any, clock: Any) -> None:
        self.background, self.time = Background(), 0.0
        self.memory = StoredMemory(store, self.background, clock, lambda: self.time)

    async def settle(self) -> None:
        await self.background.close(5.0)
        assert not self.memory._waiting


@pytest.fixture
async def worker(store: Any, clock: Any) -> Any:
    worker = Worker(store, clock)
    yield worker
    await worker.settle()


async def test_what_is_remembered_is_found_at_once_and_by_others(worker, reopen, clock):
    value = {"id": "c-1", "n": [1, None, 2.5], "text": "é"}
    worker.memory.remember(*PLACE, value, 60.0)
    assert await worker.memory.fetch(*PLACE) == worker.memory.recall(*PLACE) == value
    await worker.settle()
    assert worker.memory.recall(*PLACE) is None  # others may have changed it by now
    other = Worker(await reopen(), clock)
    for one in (worker, other):
        assert await one.memory.fetch(*PLACE) == value
    other.memory.remember(*PLACE, None, 0.0)
    assert await other.memory.fetch(*PLACE) is None
    await other.settle()
    assert await worker.memory.fetch(*PLACE) is None


@pytest.mark.parametrize(
    "place", [("up", "bob", PLACE[2]), ("other", *PLACE[1:]), ("up", "ann", "conversation:2")]
)
async def test_it_belongs_to_one_owner_and_one_upstream(worker, place):
    worker.memory.remember(*PLACE, 1, 60.0)
    assert await worker.memory.fetch(*place) is None
    await worker.settle()
    assert await worker.memory.fetch(*place) is None
    assert await worker.memory.items(place[0], place[1], "conversation:2") == []


@pytest.mark.parametrize("key", ["", "a\nb\0", "\ud800", "x" * 5000, "session:" + "é" * 400])
async def test_any_key_will_do(worker, key):
    worker.memory.remember("up", "", key, "kept", 60.0)
    await worker.settle()
    assert await worker.memory.fetch("up", "", key) == "kept"
    assert await worker.memory.items("up", "", key) == [(key, "kept")]


async def test_the_last_word_counts(worker):
    for value in (1, None, 2, 3):
        worker.memory.remember(*PLACE, value, 60.0)
        assert await worker.memory.fetch(*PLACE) == value
    await worker.settle()
    assert await worker.memory.fetch(*PLACE) == 3
    worker.memory.remember(*PLACE, 4, 60.0)
    worker.memory.remember(*PLACE, None, 0.0)
    await worker.settle()
    assert await worker.memory.fetch(*PLACE) is None


async def test_what_is_there_is_replaced(worker):
    for value in ("first", "second"):
        worker.memory.remember(*PLACE, value, 60.0)
        await worker.settle()
        assert await worker.memory.fetch(*PLACE) == value


@pytest.mark.parametrize("ask", ["fetch", "items"])
async def test_who_asks_first_is_told_nothing(clock, ask):
    store = Failing()
    memory = Worker(store, clock).memory
    for _ in range(3):
        assert not await getattr(memory, ask)("up", "ann", "k")
    assert store.calls == 1


async def test_it_ends(worker, clock):
    worker.memory.remember(*PLACE, 1, 9.5)
    worker.memory.remember("up", "ann", "k", 1, 0.0)
    await worker.settle()
    assert await worker.memory.fetch("up", "ann", "k") is None
    clock.time += 9
    assert await worker.memory.fetch(*PLACE) == 1
    clock.time += 1
    assert await worker.memory.fetch(*PLACE) is None
    worker.memory.remember(*PLACE, "x" * LARGEST_VALUE, 60.0)
    await worker.settle()
    assert await worker.memory.fetch(*PLACE) is None


async def test_everything_that_begins_so(worker):
    for n in range(3):
        worker.memory.remember("up", "ann", f"session:{n}", n + 1, 60.0)
        worker.memory.remember("up", "ann", f"conversation:{n}", n, 60.0)
        worker.memory.remember("up", "bob", f"session:{n}", n, 60.0)
    await worker.settle()
    worker.memory.remember("up", "ann", "session:1", None, 0.0)
    worker.memory.remember("up", "ann", "session:9", 9, 60.0)
    assert await worker.memory.items("up", "ann", "session:") == [
        ("session:0", 1),
        ("session:2", 3),
        ("session:9", 9),
    ]
    assert await worker.memory.items("up", "ann", "session:2") == [("session:2", 3)]


async def test_chats_do_without_a_store_that_fails(clock, caplog):
    store = Failing()
    worker = Worker(store, clock)
    for second in range(120):
        worker.time = float(second)
        for _ in range(5):
            worker.memory.remember(*PLACE, second, 60.0)
            await worker.background.close(1.0)
            assert await worker.memory.fetch(*PLACE) is None
            assert await worker.memory.items(*PLACE[:2], "") == []
    assert store.calls == 120
    assert [record.message for record in caplog.records] == [
        "nothing can be remembered: Nothing can be kept or found now: it is away."
    ] * 2


async def test_a_full_store_is_let_alone_for_a_moment(clock, caplog):
    caplog.set_level(logging.DEBUG)
    worker = Worker(Failing(full()), clock)
    worker.memory.remember(*PLACE, 1, 60.0)
    await worker.settle()
    assert "no room left" in caplog.text


async def test_what_waits_has_an_end(clock):
    gate = asyncio.Event()

    class Slow(Failing):
        async def commit(self, *steps: Any) -> Any:
            self.calls += 1
            await gate.wait()

    store = Slow()
    worker = Worker(store, clock)
    for n in range(MOST_WAITING + 50):
        worker.memory.remember("up", "ann", f"{n}", n, 60.0)
    await asyncio.sleep(0)
    assert store.calls == len(worker.memory._waiting) == MOST_WAITING
    gate.set()
    await worker.settle()


@pytest.mark.parametrize("affinity", [True, False])
def test_a_conversation_goes_on_after_a_restart(tmp_path, affinity):
    """In another process that shares the store it would be the same."""
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        upstream = dify_upstream(stand_in.url, key=app, mode="chat")
        messages: list[dict[str, Any]] = []
        for turn in ("repeat: one", COUNT, "repeat: three"):
            with (
                GatewayThread(keeping(tmp_path / "data", upstream, affinity=affinity)) as gateway,
                sdk(gateway.url + "/v1") as client,
            ):
                messages += asking(turn)
                answer = client.chat.completions.create(model="m", messages=messages)
                messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        kept: list[Conversation] = list(stand_in.store.conversations.values())
        assert [len(one.messages) for one in kept] == ([3] if affinity else [1, 1, 1])


def test_a_chat_goes_on_without_its_store(tmp_path):
    (tmp_path / "data").write_text("no directory")
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        upstream = dify_upstream(stand_in.url, key=app, mode="chat")
        with (
            GatewayThread(keeping(tmp_path / "data", upstream, affinity=True)) as gateway,
            sdk(gateway.url + "/v1") as client,
        ):
            for _ in range(2):
                answer = client.chat.completions.create(model="m", messages=asking("repeat: one"))
                assert answer.choices[0].message.content == "one"
