"""A writer that is killed again and again: exit 0 if whatever it said was kept is there, and nothing by halves.

Each round is a process (forked from this one, which has everything loaded and opens nothing) that opens the store,
looks at what the round before left, and writes from several tasks at once, telling of each success through a pipe;
at a random moment it gets a SIGKILL: every other round from its very beginning on, maybe before it is open, and the
others when they have begun to write, however slow the machine is. What is written: two documents and the change
of a third in one commit; and blobs with a document that speaks of them.
``python -m tests.isolated.kill_store DIRECTORY 200 [SEED]``
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

from attrs import Factory, define, field

from proxy.stores.base import Change, Document, Page, Put
from proxy.stores.blobs_directory import PARTIAL, DirectoryBlobs
from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_file import NAME
from translators.errors import NotFound

WRITERS = 8
LONGEST = 0.06
"""Seconds that a round may live, or may write."""
RESTART = 2.0
"""Seconds in which a round must be ready to write, whatever the one before left."""
OWNER = "ann"
COUNTER = Document("counter", "counter", OWNER, 0, {})


@define
class Told:
    """What the rounds said they had kept."""

    pairs: dict[int, set[str]] = Factory(dict)
    files: dict[int, set[str]] = Factory(dict)
    revision: int = 0
    slowest: float = 0.0
    ready: int = 0
    """Rounds that came so far as to write."""

    def hear(self, number: int, lines: list[str]) -> None:
        self.pairs[number], self.files[number] = set(), set()
        for line in lines:
            word, _, rest = line.partition(" ")
            match word:
                case "ready":
                    self.ready += 1
                    self.slowest = max(self.slowest, float(rest))
                case "pair":
                    id, _, revision = rest.partition(" ")
                    self.pairs[number].add(id)
                    self.revision = max(self.revision, int(revision))
                case "file":
                    self.files[number].add(rest)
                case _:
                    raise SystemExit(f"round {number}: {line}")


@define
class Round:
    number: int
    folder: Path
    told: Told
    pipe: int
    store: SqliteStore = field(init=False)
    blobs: DirectoryBlobs = field(init=False)

    def say(self, line: str) -> None:
        os.write(self.pipe, f"{line}\n".encode())

    async def live(self) -> None:
        began = time.monotonic()
        self.store = await SqliteStore.open(self.folder / NAME)
        self.blobs = DirectoryBlobs(self.folder / "files")
        await self.look(range(max(0, self.number - 2), self.number))
        self.say(f"ready {time.monotonic() - began:.3f}")
        try:
            await self.store.commit(Put(COUNTER))
        except Exception:
            await self.store.get("counter", "counter", OWNER)
        await asyncio.gather(*(self.write(writer) for writer in range(WRITERS)))

    async def write(self, writer: int) -> NoReturn:
        count = 0
        while True:
            id = f"{self.number}-{writer}-{count}"
            count += 1
            if writer == 0:
                await self.write_file(id)
                continue
            left = await self.store.commit(
                Put(Document("left", id, OWNER, 0, {"id": id, "text": id * 50}, f"r{self.number}")),
                Put(Document("right", id, OWNER, 0, {"id": id}, f"r{self.number}")),
                Change(COUNTER),
            )
            self.say(f"pair {id} {left[-1].revision}")

    async def write_file(self, id: str) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for n in range(4):
                yield b"%d" % n * 20_000

        size = await self.blobs.write(id, parts())
        await self.store.commit(Put(Document("file", id, OWNER, 0, {}, f"r{self.number}", size=size)))
        self.say(f"file {id}")

    async def look(self, rounds: range) -> None:
        """Says what is wrong."""
        for number in rounds:
            left, right = [await self.ids(kind, number) for kind in ("left", "right")]
            if left != right:
                self.say(f"only half of a commit is there: {left ^ right}")
            if lost := self.told.pairs[number] - left:
                self.say(f"lost: {lost}")
            files = await self.ids("file", number)
            if lost := self.told.files[number] - files:
                self.say(f"lost files: {lost}")
            for id in files:
                if await self.read(id) != b"".join(b"%d" % n * 20_000 for n in range(4)):
                    self.say(f"half a file: {id}")
        if self.told.revision:
            try:
                revision = (await self.store.get("counter", "counter", OWNER)).revision
            except NotFound:
                revision = 0
            if revision < self.told.revision:
                self.say(f"a change was lost: {revision} < {self.told.revision}")

    async def read(self, id: str) -> bytes:
        return b"".join([piece async for piece in self.blobs.read(id)])

    async def ids(self, kind: str, number: int) -> set[str]:
        found, after, more = set[str](), "", True
        while more:
            listed = await self.store.list(kind, OWNER, Page(1000, True, after), parent=f"r{number}")
            found |= {document.id for document in listed.documents}
            more, after = listed.more, listed.documents[-1].id if listed.more else ""
        return found

    async def look_at_all(self) -> None:
        self.store = await SqliteStore.open(self.folder / NAME)
        self.blobs = DirectoryBlobs(self.folder / "files")
        await self.look(range(self.number))
        await self.write_file("last")
        if left := list((self.folder / "files" / PARTIAL).iterdir()):
            self.say(f"left behind: {left}")
        await self.blobs.close()
        await self.store.close()


def play(number: int, folder: Path, told: Told, live_for: float | None) -> list[str]:
    """One process, to its own end if it may live for ever; what it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        current = Round(number, folder, told, writer)
        try:
            asyncio.run(current.live() if live_for is not None else current.look_at_all())
        except BaseException as error:
            current.say(f"failed: {error!r}")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        first = lines.readline() if number % 2 else ""
        if live_for is not None:
            time.sleep(live_for)
            os.kill(child, signal.SIGKILL)
        said = (first + lines.read()).splitlines()
    os.waitpid(child, 0)
    return said


def main(folder: Path, rounds: int, seed: int) -> None:
    chance, told = random.Random(seed), Told()
    folder.mkdir(exist_ok=True)
    for number in range(rounds):
        told.hear(number, play(number, folder, told, chance.uniform(0, LONGEST)))
    if wrong := [line for line in play(rounds, folder, told, None) if not line.startswith("file ")]:
        raise SystemExit("\n".join(wrong))
    kept = sum(map(len, told.pairs.values())), sum(map(len, told.files.values()))
    print(
        f"{rounds} kills, {told.ready} of them while writing; {kept[0]} commits and {kept[1]} files were kept, "
        f"none lost, none by halves; slowest restart {told.slowest * 1000:.0f} ms; seed {seed}"
    )
    assert told.slowest < RESTART
    assert told.ready >= rounds // 2 and min(kept) > rounds // 10


if __name__ == "__main__":
    given = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    main(Path(sys.argv[1]), int(sys.argv[2]), given)
