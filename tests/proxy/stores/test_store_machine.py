"""Any sequence of commits, pages and looks at the clock, against a dictionary.

The model is what the promises of ``base`` say in the fewest words: documents in the order in which they came, and a
commit that works on a copy.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from proxy.stores.base import Change, Document, Drop, Page, Put, Step
from proxy.stores.postgres import PostgresStore
from proxy.stores.sqlite import SqliteStore
from tests.support.postgres import Postgres
from translators.errors import BadRequest, Conflict, GatewayError, NotFound

T = TypeVar("T")
START = 1_800_000_000
OWNERS, KINDS, IDS, LABELS = ("ann", "bob"), ("note", "step"), ("a", "b", "c", "d"), ("", "x", "y")

owners, kinds, ids, labels = (st.sampled_from(names) for names in (OWNERS, KINDS, IDS, LABELS))
parents = st.sampled_from(("", *IDS))
bodies = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3) | st.none(), max_size=3)
documents = st.builds(
    Document,
    kind=kinds,
    id=ids,
    owner=owners,
    created=st.integers(0, 9),
    body=bodies,
    parent=parents,
    label=labels,
    size=st.integers(0, 5),
    expires=st.none() | st.integers(START - 2, START + 30),
)
steps = (
    st.builds(Put, documents)
    | st.builds(Change, documents, st.none() | st.integers(1, 3))
    | st.builds(Drop, kinds, ids, owners, st.booleans())
)
pages = st.builds(Page, limit=st.integers(1, 4), ascending=st.booleans(), after=parents, before=parents)


@define
class Model:
    now: int = START
    kept: dict[tuple[str, str], Document] = field(factory=dict)
    """In the order in which they came."""

    def alive(self, document: Document) -> bool:
        return document.expires is None or document.expires > self.now

    def find(self, kind: str, id: str, owner: str) -> Document:
        found = self.kept.get((kind, id))
        if found is None or found.owner != owner or not self.alive(found):
            raise NotFound("")
        return found

    def commit(self, wanted: list[Step]) -> list[Document]:
        before = dict(self.kept)
        try:
            left = [self.carry_out(step) for step in wanted]
        except GatewayError:
            self.kept = before
            raise
        return [document for document in left if document is not None]

    def carry_out(self, step: Step) -> Document | None:
        match step:
            case Put(new):
                old = self.kept.get((new.kind, new.id))
                if old is not None and self.alive(old):
                    raise Conflict("")
                if old is not None:
                    self.drop(old)
                return self.keep(evolve(new, revision=1))
            case Change(new, expect):
                old = self.find(new.kind, new.id, new.owner)
                if expect is not None and expect != old.revision:
                    raise Conflict("")
                same = {"created": old.created, "parent": old.parent, "revision": old.revision + 1}
                return self.keep(evolve(new, **same))
            case Drop(kind, id, owner, ended):
                old = self.kept.get((kind, id))
                if old is None or old.owner != owner or self.alive(old) == ended:
                    raise NotFound("")
                self.drop(old)
        return None

    def keep(self, document: Document) -> Document:
        self.kept[document.kind, document.id] = document
        return document

    def drop(self, top: Document) -> None:
        if self.kept.pop((top.kind, top.id), None) is None:
            return
        for document in list(self.kept.values()):
            if document.owner == top.owner and document.parent == top.id:
                self.drop(document)

    def page(self, kind: str, owner: str, page: Page, parent: str, label: str) -> tuple[list[Document], bool]:
        whole = [
            document
            for document in self.kept.values()
            if (document.kind, document.owner, document.parent) == (kind, owner, parent)
            and self.alive(document)
        ]
        whole = whole if page.ascending else whole[::-1]
        names = [document.id for document in whole]
        if not {page.after, page.before} <= {"", *names}:
            raise BadRequest("")
        low = names.index(page.after) + 1 if page.after else 0
        high = names.index(page.before) if page.before else len(names)
        between = [document for document in whole[low:high] if label in ("", document.label)]
        backward = page.before and not page.after
        return between[-page.limit :] if backward else between[: page.limit], len(between) > page.limit


def outcome(ask: Callable[[], T]) -> T | type[GatewayError]:
    try:
        return ask()
    except GatewayError as error:
        return type(error)


def bare(found: Any) -> Any:
    """Without places, of which the model knows the order only."""
    return [evolve(document, seq=0) for document in found] if isinstance(found, list) else found


class Machine(RuleBasedStateMachine):
    open: Callable[[Callable[[], float]], Awaitable[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.store = self.runner.run(type(self).open(lambda: float(self.model.now)))

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    @rule(wanted=st.lists(steps, min_size=1, max_size=4))
    def commit(self, wanted):
        told = outcome(lambda: self.runner.run(self.store.commit(*wanted)))
        assert bare(told) == outcome(lambda: self.model.commit(wanted))

    @rule(kind=kinds, owner=owners, page=pages, parent=parents, label=labels)
    def leaf(self, kind, owner, page, parent, label):
        asked = self.store.list(kind, owner, page, parent=parent, label=label)
        told = outcome(lambda: self.runner.run(asked))
        wanted = outcome(lambda: self.model.page(kind, owner, page, parent, label))
        assert (told if isinstance(told, type) else (bare(list(told.documents)), told.more)) == wanted

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds):
        self.model.now += seconds

    @rule(limit=st.integers(1, 5))
    def sweep(self, limit):
        found = self.runner.run(self.store.expired(self.model.now, limit))
        ended = [document for document in self.model.kept.values() if not self.model.alive(document)]
        assert len(found) == min(limit, len(ended))
        assert [one for one in bare(found) if one not in ended] == []
        assert [one.expires for one in found] == sorted(one.expires for one in ended)[:limit]

    @invariant()
    def everybody_sees_what_is_theirs(self):
        for kind, id, owner in itertools.product(KINDS, IDS, OWNERS):
            told = outcome(lambda at=(kind, id, owner): [self.runner.run(self.store.get(*at))])
            assert bare(told) == outcome(lambda at=(kind, id, owner): [self.model.find(*at)])
        for kind, owner in itertools.product(KINDS, OWNERS):
            sizes = [
                one.size
                for one in self.model.kept.values()
                if (one.kind, one.owner) == (kind, owner) and self.model.alive(one)
            ]
            assert self.runner.run(self.store.total(kind, owner)) == sum(sizes)


def run(open_store: Callable[[Callable[[], float]], Awaitable[Any]], *phases: Phase) -> None:
    machine = type("Opened", (Machine,), {"open": staticmethod(open_store)})
    few = settings(
        max_examples=500 if phases else 25,  # it ends with the first that fails, where one should
        stateful_step_count=20,
        deadline=None,
        derandomize=bool(phases),
        suppress_health_check=list(HealthCheck),
        phases=phases or tuple(Phase),
    )
    run_state_machine_as_test(machine, settings=few)


def test_sqlite_is_a_dictionary(tmp_path):
    numbers = itertools.count()
    run(lambda clock: SqliteStore.open(tmp_path / f"{next(numbers)}.db", clock))


def test_postgres_is_a_dictionary(postgres: Postgres, database: str):
    async def open_empty(clock: Callable[[], float]) -> Any:
        store = await PostgresStore.open(database, clock, connections=1)
        async with store._connection() as connection:
            await connection.execute("TRUNCATE deltawire_documents")
        return store

    run(open_empty)


@pytest.mark.parametrize("broken", ["expired", "foreign"])
def test_the_machine_would_notice(tmp_path, broken):
    """A store that forgets whose documents are, or that they end, does not get by."""
    numbers = itertools.count()

    class Careless(SqliteStore):
        async def get(self, kind: str, id: str, owner: str) -> Document:
            if broken == "foreign":
                owner = next((one for one in OWNERS if one != owner and id == "a"), owner)
            return await super().get(kind, id, owner)

        def _now(self) -> int:
            return 0 if broken == "expired" else super()._now()

    with pytest.raises((AssertionError, ExceptionGroup)):
        run(lambda clock: Careless.open(tmp_path / f"{next(numbers)}.db", clock), Phase.generate)
