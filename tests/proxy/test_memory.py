"""What is kept in mind is kept apart, kept no longer than said, and never more than there is room for."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.memory import LARGEST_VALUE, OVERHEAD, LocalMemory, Shelf


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shelf(clock: Clock, entries: int = 3, room: int = 10_000) -> Shelf[str, str]:
    return Shelf(entries, room, clock)


def test_what_is_put_is_there_until_its_time_is_over(clock):
    kept = shelf(clock)
    kept.put("a", "x", 1, 5.0)
    clock.now += 4.9
    assert (kept.get("a"), list(kept.items())) == ("x", [("a", "x")])
    clock.now += 0.1
    assert list(kept.items()) == []
    assert (kept.get("a"), len(kept)) == (None, 0)


def test_what_was_not_used_for_longest_goes_first(clock):
    kept = shelf(clock)
    for key in "abc":
        kept.put(key, key, 1, 5.0)
    kept.get("a")
    kept.put("d", "d", 1, 5.0)
    assert [kept.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_looking_at_everything_uses_nothing(clock):
    kept = shelf(clock)
    for key in "abc":
        kept.put(key, key, 1, 5.0)
    assert len(list(kept.items())) == 3
    kept.put("d", "d", 1, 5.0)
    assert kept.get("a") is None


def test_putting_again_replaces_value_weight_and_time(clock):
    kept = shelf(clock, room=2 * OVERHEAD + 100)
    kept.put("a", "old", 90, 1.0)
    kept.put("a", "new", 10, 9.0)
    kept.put("b", "b", 90, 9.0)
    clock.now += 5
    assert (kept.get("a"), kept.get("b")) == ("new", "b")


@pytest.mark.parametrize(("weight", "seconds"), [(10_000, 5.0), (1, 0.0), (1, -1.0)])
def test_what_does_not_fit_or_has_no_time_is_not_kept_and_ends_what_was(clock, weight, seconds):
    kept = shelf(clock)
    kept.put("a", "old", 1, 5.0)
    kept.put("a", "new", weight, seconds)
    assert (kept.get("a"), len(kept)) == (None, 0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900), st.integers(0, 5)), max_size=60))
def test_there_is_never_more_than_there_is_room_for(puts):
    clock = Clock()
    kept = shelf(clock, entries=4, room=2_000)
    weights: dict[str, int] = {}
    for key, weight, seconds in puts:
        kept.put(key, key, weight, float(seconds))
        weights[key] = weight + OVERHEAD
        clock.now += 0.5
        held = list(kept._kept)
        assert len(held) <= 4
        assert kept._weight == sum(weights[one] for one in held) <= 2_000


@pytest.fixture
def memory(clock: Clock) -> LocalMemory:
    return LocalMemory(clock, max_entries=3)


async def test_upstreams_owners_and_keys_are_apart(memory):
    memory.remember("up", "me", "k", {"n": 1}, 5.0)
    assert memory.recall("up", "me", "k") == await memory.fetch("up", "me", "k") == {"n": 1}
    for place in [
        ("up", "you", "k"),
        ("up", "", "k"),
        ("other", "me", "k"),
        ("up", "me", "kk"),
        ("u", "pme", "k"),
    ]:
        assert memory.recall(*place) is None


def test_nobody_can_change_what_another_will_be_told(memory):
    value = {"list": [1]}
    memory.remember("up", "me", "k", value, 5.0)
    value["list"].append(2)
    memory.recall("up", "me", "k")["list"].append(3)
    assert memory.recall("up", "me", "k") == {"list": [1]}


def test_none_forgets(memory):
    memory.remember("up", "me", "k", 0, 5.0)
    assert memory.recall("up", "me", "k") == 0
    memory.remember("up", "me", "k", None, 5.0)
    assert memory.recall("up", "me", "k") is None


def test_a_value_that_is_too_large_is_not_kept_and_ends_what_was(memory):
    memory.remember("up", "me", "k", "small", 5.0)
    memory.remember("up", "me", "k", "x" * LARGEST_VALUE, 5.0)
    assert memory.recall("up", "me", "k") is None


async def test_items_are_those_of_one_owner_that_begin_alike_and_still_have_time(memory, clock):
    memory.remember("up", "me", "s:2", 2, 5.0)
    memory.remember("up", "me", "s:1", 1, 50.0)
    memory.remember("up", "you", "s:3", 3, 50.0)
    assert await memory.items("up", "me", "s:") == [("s:1", 1), ("s:2", 2)]
    assert await memory.items("other", "me", "s:") == await memory.items("up", "me", "t:") == []
    clock.now += 6
    assert await memory.items("up", "me", "s:") == [("s:1", 1)]


def test_many_push_out_the_oldest(memory):
    for number in range(5):
        memory.remember("up", "me", f"k{number}", number, 5.0)
    assert [memory.recall("up", "me", f"k{number}") for number in range(5)] == [None, None, 2, 3, 4]


def test_a_value_takes_no_more_room_than_it_has() -> None:
    """The serializer's own results keep kilobytes each, whatever their length."""
    memory = LocalMemory()
    tracemalloc.start()
    try:
        for number in range(100):
            memory.remember("up", "", f"key-{number}", "an-id", 60.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 100 < 1024
