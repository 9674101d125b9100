"""What every store promises, asked of both."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest
from attrs import evolve

from proxy.stores.base import LARGEST_BODY, Change, Document, Drop, Page, Put
from translators.errors import BadRequest, Conflict, GatewayError, NotFound, TooLarge


def doc(id: str, owner: str = "ann", **fields: Any) -> Document:
    return Document(**{"kind": "note", "id": id, "owner": owner, "created": 7, "body": {"id": id}, **fields})


def ids(listed: Any) -> list[str]:
    return [document.id for document in listed.documents]


async def fill(store: Any, *names: str, **fields: Any) -> None:
    for name in names:
        await store.commit(Put(doc(name, **fields)))


async def test_what_was_put_is_there(store, reopen):
    given = doc("a", parent="p", label="l", size=5, expires=1_900_000_000)
    (left,) = await store.commit(Put(given))
    assert left.seq > 0 and left.revision == 1
    assert left == evolve(given, seq=left.seq, revision=1)
    assert await store.get("note", "a", "ann") == left
    assert await (await reopen()).get("note", "a", "ann") == left


BODIES = [
    {"z": 1, "a": 2, "m": {"y": 1, "b": [3, {"x": 0, "c": 1}]}},
    {"": "", " ": None, "t": True, "f": False, "list": [], "table": {}},
    {"text": "\0 a\0b \x01\x1f\x7f \u0085 \u2028 \ufeff \uffff 🙂 é é"},
    {"halves": ["\ud800", "a\udfff\ud83d", "\ude00\ud83d"], "\udc00": 1},
    {"big": [2**63, -(2**63) - 1, 2**64, 10**40, -(10**40)], "edge": [2**63 - 1, -(2**63), 2**64 - 1]},
    {"floats": [0.1, -0.0, 1.0, 1e22, 1e300, 5e-324, 123456789012345680.0]},
    {"both": ["\ud800", 10**30, 0.1, "\0"]},
    {"deep": json.loads("[" * 220 + "]" * 220)},
    {"deeper": json.loads('{"a":[' * 249 + "]}" * 249)},
]


@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_a_body_comes_back_as_it_was_said(store, number):
    body = BODIES[number]
    await store.commit(Put(doc("a", body=body)))
    found = (await store.get("note", "a", "ann")).body
    assert found == body
    assert repr(found) == repr(body)  # which tells orders, and 1.0 from 1


async def test_nobody_else_sees_it(store):
    await fill(store, "a", "b", parent="p")
    for owner in ("bob", "", "ANN", "ann ", "an"):
        with pytest.raises(NotFound) as foreign:
            await store.get("note", "a", owner)
        assert ids(await store.list("note", owner, Page(), parent="p")) == []
        with pytest.raises(BadRequest):
            await store.list("note", owner, Page(after="a"), parent="p")
        with pytest.raises(NotFound):
            await store.commit(Change(doc("a", owner, body={"stolen": 1})))
        with pytest.raises(NotFound):
            await store.commit(Drop("note", "a", owner))
        assert await store.total("note", owner) == 0
    assert ids(await store.list("note", "ann", Page(), parent="p")) == ["b", "a"]
    with pytest.raises(NotFound) as missing:
        await store.get("note", "c", "ann")
    assert foreign.value.message.replace("`a`", "`c`") == missing.value.message


async def test_an_id_is_given_once_in_a_kind(store):
    await fill(store, "a")
    with pytest.raises(Conflict):
        await store.commit(Put(doc("a", body={"other": 1})))
    with pytest.raises(Conflict):
        await store.commit(Put(doc("a", owner="bob")))
    await store.commit(Put(doc("a", kind="other")))
    assert (await store.get("note", "a", "ann")).body == {"id": "a"}


async def test_a_change_leaves_what_a_document_is(store):
    (first,) = await store.commit(Put(doc("a", parent="p", label="old", size=1)))
    wanted = doc(
        "a", parent="elsewhere", created=99, label="new", size=2, expires=1_900_000_000, body={"n": 2}
    )
    (left,) = await store.commit(Change(wanted))
    assert left == evolve(wanted, parent="p", created=7, seq=first.seq, revision=2)
    assert await store.get("note", "a", "ann") == left
    assert ids(await store.list("note", "ann", Page(), parent="p", label="new")) == ["a"]
    assert ids(await store.list("note", "ann", Page(), parent="p", label="old")) == []


async def test_a_revision_is_expected(store):
    await fill(store, "a")
    await store.commit(Change(doc("a", body={"n": 2}), expect=1))
    with pytest.raises(Conflict):
        await store.commit(Change(doc("a", body={"n": 3}), expect=1))
    with pytest.raises(NotFound):
        await store.commit(Change(doc("b"), expect=1))
    found = await store.get("note", "a", "ann")
    assert (found.body, found.revision) == ({"n": 2}, 2)


@pytest.mark.parametrize(
    "refused",
    [Put(doc("a")), Change(doc("a", body={}), expect=9), Change(doc("x")), Drop("note", "x", "ann")],
    ids=["put", "change", "change-missing", "drop"],
)
async def test_all_of_a_commit_or_nothing(store, refused):
    await fill(store, "a", "c")
    steps = (
        Put(doc("b")),
        Change(doc("a", body={"new": 1})),
        Drop("note", "c", "ann"),
        refused,
        Put(doc("d")),
    )
    with pytest.raises(GatewayError):
        await store.commit(*steps)
    assert ids(await store.list("note", "ann", Page())) == ["c", "a"]
    assert (await store.get("note", "a", "ann")).body == {"id": "a"}


async def test_the_steps_of_a_commit_see_each_other(store):
    left = await store.commit(
        Put(doc("a")), Change(doc("a", body={"n": 2}), expect=1), Put(doc("b")), Drop("note", "b", "ann")
    )
    assert [(document.id, document.revision) for document in left] == [("a", 1), ("a", 2), ("b", 1)]
    assert ids(await store.list("note", "ann", Page())) == ["a"]


async def test_a_refused_commit_leaves_those_beside_it_alone(store):
    """They may have gone to the disk together."""
    await fill(store, "taken")
    commits = [store.commit(Put(doc(f"n{n}")), Put(doc(f"{n}" if n % 3 else "taken"))) for n in range(30)]
    told = await asyncio.gather(*commits, return_exceptions=True)
    assert [n for n, one in enumerate(told) if isinstance(one, Conflict)] == list(range(0, 30, 3))
    found = ids(await store.list("note", "ann", Page(100)))
    assert sorted(found) == sorted(
        ["taken", *(name for n in range(30) if n % 3 for name in (f"n{n}", f"{n}"))]
    )


async def test_a_drop_takes_all_below(store):
    await fill(store, "top", "other")
    await fill(store, "m1", "m2", kind="message", parent="top")
    await fill(store, "s1", kind="step", parent="m1")
    await fill(store, "deep", kind="note", parent="s1")
    await fill(store, "foreign", kind="message", parent="top", owner="bob")
    await fill(store, "beside", kind="message", parent="other")
    await store.commit(Drop("note", "top", "ann"))
    for kind, id in (("note", "top"), ("message", "m1"), ("message", "m2"), ("step", "s1"), ("note", "deep")):
        with pytest.raises(NotFound):
            await store.get(kind, id, "ann")
    await store.get("message", "foreign", "bob")
    await store.get("message", "beside", "ann")
    with pytest.raises(NotFound):
        await store.commit(Drop("note", "top", "ann"))


async def test_a_drop_ends_although_documents_go_round_in_a_circle(store):
    await store.commit(Put(doc("a", parent="b")), Put(doc("b", parent="a")), Put(doc("c", parent="c")))
    await store.commit(Drop("note", "a", "ann"))
    await store.commit(Drop("note", "c", "ann"))
    assert ids(await store.list("note", "ann", Page(), parent="a")) == []


NAMES = "abcdefg"
CURSORS = ["", *NAMES]


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_every_kind(store, ascending):
    """Every after, before and limit there can be, beside strangers; against slices of a list."""
    for name in NAMES:
        await store.commit(
            Put(doc(name, parent="p")),
            Put(doc(f"{name}-bob", owner="bob", parent="p")),
            Put(doc(f"{name}-other", kind="other", parent="p")),
            Put(doc(f"{name}-q", parent="q")),
        )
    order = list(NAMES if ascending else reversed(NAMES))
    for after, before, limit in itertools.product(CURSORS, CURSORS, (1, 3, 7)):
        low = order.index(after) + 1 if after else 0
        high = order.index(before) if before else len(order)
        between = order[low:high]
        backward = bool(before and not after)
        wanted = between[-limit:] if backward else between[:limit]
        page = await store.list("note", "ann", Page(limit, ascending, after, before), parent="p")
        assert (ids(page), page.more) == (wanted, len(between) > limit), (after, before, limit)


async def test_a_list_is_narrowed_by_its_label(store):
    for n in range(9):
        await store.commit(Put(doc(f"n{n}", label="odd" if n % 2 else "even")))
    assert ids(await store.list("note", "ann", Page(2), label="odd")) == ["n7", "n5"]
    page = await store.list("note", "ann", Page(9, True, after="n2"), label="odd")
    assert (ids(page), page.more) == (["n3", "n5", "n7"], False)
    assert ids(await store.list("note", "ann", Page(), label="none")) == []


@pytest.mark.parametrize("cursor", ["missing", "elsewhere", "foreign", "ended", "\0", "\ud800", "x" * 300])
async def test_a_cursor_must_be_in_the_list(store, clock, cursor):
    await fill(store, "a", parent="p")
    await fill(store, "elsewhere", parent="q")
    await fill(store, "foreign", owner="bob", parent="p")
    await fill(store, "ended", parent="p", expires=int(clock()))
    for page, param in ((Page(after=cursor), "after"), (Page(before=cursor), "before")):
        with pytest.raises(BadRequest) as told:
            await store.list("note", "ann", page, parent="p")
        assert told.value.param == param


@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "a\nb", "x" * 257, ""])
async def test_what_can_be_no_name_is_not_there(store, name):
    with pytest.raises(NotFound):
        await store.get("note", name, "ann")
    with pytest.raises(NotFound):
        await store.commit(Drop("note", name, "ann"))
    with pytest.raises(BadRequest):
        await store.commit(Put(doc(name)))
    if name:
        assert ids(await store.list("note", "ann", Page(), parent=name)) == []
        assert ids(await store.list("note", "ann", Page(), label=name)) == []
        with pytest.raises(BadRequest):
            await store.commit(Put(doc("a", label=name)))


async def test_names_may_be_in_any_script(store):
    name = "日本語 é 🙂 '\"\\%_$1?"
    await store.commit(Put(doc(name, parent=name, label=name)))
    assert ids(await store.list("note", "ann", Page(), parent=name, label=name)) == [name]
    assert (await store.get("note", name, "ann")).id == name
    assert ids(await store.list("note", "ann", Page(), parent="日本語")) == []


async def test_a_body_has_a_limit(store):
    around = len(b'{"text":""}')
    await store.commit(Put(doc("a", body={"text": "x" * (LARGEST_BODY - around)})))
    with pytest.raises(TooLarge):
        await store.commit(Put(doc("b", body={"text": "x" * (LARGEST_BODY - around + 1)})))
    assert len((await store.get("note", "a", "ann")).body["text"]) == LARGEST_BODY - around


@pytest.mark.parametrize("field", ["created", "size", "expires"])
async def test_numbers_have_a_limit(store, field):
    await store.commit(Put(doc("a", **{field: 2**63 - 1})))
    with pytest.raises(BadRequest):
        await store.commit(Put(doc("b", **{field: 2**63})))


async def test_what_is_nested_without_end_is_refused(store):
    for deep in (501, 800, 100_000):
        body: dict[str, Any] = {}
        for _ in range(deep):
            body = {"b": body}
        with pytest.raises(BadRequest):
            await store.commit(Put(doc("a", body=body)))


@pytest.mark.parametrize("body", [{"a": object()}, {"a": {1, 2}}])
async def test_what_is_not_json_is_refused(store, body):
    with pytest.raises(BadRequest):
        await store.commit(Put(doc("a", body=body)))


async def test_what_has_ended_is_not_there(store, clock):
    now = int(clock())
    await fill(store, "stays", size=1)
    await fill(store, "goes", size=10, expires=now + 10)
    clock.time += 9.9
    assert ids(await store.list("note", "ann", Page())) == ["goes", "stays"]
    assert await store.total("note", "ann") == 11
    clock.time += 0.1
    assert ids(await store.list("note", "ann", Page())) == ["stays"]
    assert await store.total("note", "ann") == 1
    with pytest.raises(NotFound):
        await store.get("note", "goes", "ann")
    with pytest.raises(NotFound):
        await store.commit(Change(doc("goes")))
    with pytest.raises(NotFound):
        await store.commit(Drop("note", "goes", "ann"))
    assert [document.id for document in await store.expired(now + 10, 5)] == ["goes"]
    assert await store.expired(now + 9, 5) == []


async def test_what_has_ended_is_swept_away(store, clock):
    now = int(clock())
    await fill(store, "a", "b", expires=now - 2)
    await fill(store, "c", expires=now - 1)
    await fill(store, "below", parent="a")
    await fill(store, "alive", expires=now + 1)
    assert len(await store.expired(now, 2)) == 2
    assert {document.id for document in await store.expired(now, 9)} == {"a", "b", "c"}
    for id in ("a", "b", "c"):
        await store.commit(Drop("note", id, "ann", ended=True))
    for id in ("alive", "a"):
        with pytest.raises(NotFound):
            await store.commit(Drop("note", id, "ann", ended=True))
    assert await store.expired(now, 9) == []
    with pytest.raises(NotFound):
        await store.get("note", "below", "ann")
    await store.get("note", "alive", "ann")


async def test_an_id_is_free_again_after_its_end(store, clock):
    await fill(store, "a", expires=int(clock()) - 1, size=5)
    await fill(store, "below", parent="a")
    (left,) = await store.commit(Put(doc("a", owner="bob", body={"new": 1})))
    assert (await store.get("note", "a", "bob")) == left
    with pytest.raises(NotFound):
        await store.get("note", "below", "ann")


async def test_sizes_are_added_up(store):
    for n in range(5):
        await store.commit(Put(doc(f"n{n}", size=2**40, parent=f"p{n}")))
    await store.commit(Change(doc("n0", size=1)))
    await store.commit(Drop("note", "n1", "ann"))
    assert await store.total("note", "ann") == 3 * 2**40 + 1
    assert await store.total("other", "ann") == 0


async def test_of_all_who_expect_a_revision_one_has_it(store, reopen):
    """A hundred count the same document up, over two connections to the same place."""
    stores = [store, await reopen()]
    await store.commit(Put(doc("counter", body={"n": 0})))
    won = 0

    async def count_up(worker: int) -> None:
        nonlocal won
        mine = stores[worker % 2]
        for _ in range(2):
            found = await mine.get("note", "counter", "ann")
            try:
                await mine.commit(Change(doc("counter", body={"n": found.body["n"] + 1}), found.revision))
            except Conflict:
                continue
            won += 1

    await asyncio.gather(*(count_up(worker) for worker in range(100)))
    found = await store.get("note", "counter", "ann")
    assert found.body == {"n": won} and found.revision == won + 1
    assert 0 < won < 200


async def test_commits_that_cross_each_other_all_come_through(store):
    """Each takes two documents, half of them the other way round."""
    await fill(store, "a", "b")
    pair = (Change(doc("a")), Change(doc("b")))
    await asyncio.gather(*(store.commit(*(pair if n % 2 else pair[::-1])) for n in range(40)))
    assert (await store.get("note", "a", "ann")).revision == 41


async def test_a_reader_of_pages_misses_nothing(store, reopen):
    """Somebody follows the end of a list while many write to it, from two sides, some of them slowly."""
    stores = [store, await reopen()]
    writers, each = 8, 12

    async def write(worker: int) -> None:
        for n in range(each):
            slow = [
                Put(doc(f"{worker}-{n}-{k}", kind="ballast", parent=f"{worker}")) for k in range(worker * 3)
            ]
            await stores[worker % 2].commit(Put(doc(f"{worker}-{n}", parent="p")), *slow)

    seen: list[str] = []

    async def follow() -> None:
        until = time.monotonic() + 10
        while len(seen) < writers * each and time.monotonic() < until:
            page = Page(5, ascending=True, after=seen[-1] if seen else "")
            seen.extend(ids(await store.list("note", "ann", page, parent="p")))

    await asyncio.gather(follow(), *(write(worker) for worker in range(writers)))
    assert sorted(seen) == sorted(f"{worker}-{n}" for worker in range(writers) for n in range(each))


async def test_who_leaves_takes_nobody_along(store):
    """Calls given up at any moment: the others get what they asked for, and nothing stays locked."""
    await fill(store, *(f"n{n}" for n in range(10)))

    async def ask(n: int) -> str:
        return (await store.get("note", f"n{n % 10}", "ann")).id

    for turn in range(60):
        tasks = [asyncio.create_task(ask(n)) for n in range(10)]
        change = asyncio.create_task(store.commit(Change(doc("n0", body={"turn": turn}))))
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        await asyncio.sleep((turn % 5) * 0.0004)
        for task in tasks[::2]:
            task.cancel()
        if turn % 2:
            change.cancel()
        told = await asyncio.gather(*tasks, change, return_exceptions=True)
        assert told[1:10:2] == [f"n{n}" for n in range(1, 10, 2)]
        for n, one in enumerate(told[:10:2]):
            assert one == f"n{n * 2}" or isinstance(one, asyncio.CancelledError)
    await store.commit(Change(doc("n0")))


async def test_a_ping_says_nothing_where_all_is_well(store):
    assert await store.ping() is None
    assert not store.broken
