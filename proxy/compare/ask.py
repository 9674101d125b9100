"""The requests of ``deltawire compare``: one at a time, left and right in turns, each answer recorded as it comes.

Answers are bounded like an upstream's, in size, in reads and in time; what came until then is judged. A key that an
endpoint sends back is starred out where it is received, at the same length, so that nobody behind this module can
show it. An endpoint that cannot be reached, or lets nobody in, when it is asked for the first time ends the
comparison; what goes wrong later is a finding.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable

import aiohttp
from attrs import define, field

from proxy.compare.judge import Verdict, judge
from proxy.compare.read import read
from proxy.compare.reading import Reading
from proxy.compare.record import Question, Recording
from proxy.compare.result import Comparison, Endpoint
from translators import wirejson
from translators.excerpt import clean

_LARGEST_ANSWER = 8 * 1024 * 1024
_MOST_READS = 100_000
_READ = 64 * 1024
_KEPT_TEXT = 2000  # characters of an answer that a report shows
_KEPT_HEADERS = ("content-type", "content-encoding", "content-length")
_CLOSED_TO_US = (401, 403)


class Unusable(Exception):
    """There is nothing to compare with."""


async def compare(
    left: Endpoint,
    right: Endpoint,
    questions: Iterable[Question],
    *,
    seconds: float,
    same_answer: bool,
    clock: Callable[[], float] = time.monotonic,
) -> Comparison:
    verdicts: list[Verdict] = []
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        connector=aiohttp.TCPConnector(force_close=True),  # both sides connect for every answer
    ) as session:
        asker = _Asker(session, seconds, clock)
        for question in questions:
            sides = []
            for endpoint in (left, right):
                reading = read(await asker.ask(endpoint, question), question)
                _hide(endpoint.key, reading)
                if not verdicts:
                    _usable(endpoint, reading)
                sides.append(reading)
            verdicts.append(judge(question, *sides, same_answer=same_answer))
            for reading in sides:
                reading.forget(_KEPT_TEXT)
    comparison = Comparison(left, right, tuple(verdicts))
    if not comparison.compared:
        first = next(verdict for verdict in verdicts if not verdict.question.refused)
        told = f"left: {first.left.refusal}; right: {first.right.refusal}"
        raise Unusable(f"neither side answers any question, so nothing can be compared: {told}")
    return comparison


def _hide(key: str, reading: Reading) -> None:
    """A key that came back in pieces."""
    if key:
        reading.text = reading.text.replace(key, "***")
        reading.calls = [(name, arguments.replace(key, "***")) for name, arguments in reading.calls]


def _usable(endpoint: Endpoint, reading: Reading) -> None:
    where = f"{endpoint.side}: {endpoint.url}"
    if not reading.status:
        (fault,) = reading.faults.found.values()
        raise Unusable(f"{where} cannot be asked: {fault.detail}")
    if reading.status in _CLOSED_TO_US:
        raise Unusable(f"{where} does not let us in: {reading.refusal}")


@define(eq=False)
class _Asker:
    session: aiohttp.ClientSession
    seconds: float
    clock: Callable[[], float]

    async def ask(self, endpoint: Endpoint, question: Question) -> Recording:
        taken = _Taken()
        began = self.clock()
        try:
            await self._ask(endpoint, question, taken, began)
        except TimeoutError:
            taken.end = f"it is not over after {self.seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            taken.end = why(error)
        return taken.recording(self.clock() - began, endpoint.key)

    async def _ask(self, endpoint: Endpoint, question: Question, taken: _Taken, began: float) -> None:
        headers = {
            "Accept": "application/json",  # which is what the official clients send for streams as well
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "deltawire-compare",
        }
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        async with (
            asyncio.timeout(self.seconds),
            self.session.post(
                f"{endpoint.url}/chat/completions",
                data=wirejson.dumps(question.to(endpoint.model)),
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            taken.status = response.status
            taken.headers = {
                name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
            }
            while not taken.end and (data := await response.content.read(_READ)):
                taken.add(self.clock() - began, data)
            if taken.end:
                response.close()


@define(eq=False)
class _Taken:
    """What has come so far."""

    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    pieces: list[tuple[float, bytes]] = field(factory=list)
    size: int = 0
    end: str = ""

    def add(self, when: float, data: bytes) -> None:
        self.pieces.append((when, data))
        self.size += len(data)
        if self.size > _LARGEST_ANSWER:
            self.end = f"it is longer than {_LARGEST_ANSWER >> 20} MiB"
        elif len(self.pieces) > _MOST_READS:
            self.end = f"it comes in more than {_MOST_READS} pieces"

    def recording(self, total: float, key: str) -> Recording:
        headers = {name: value.replace(key, "***") if key else value for name, value in self.headers.items()}
        pieces = _starred(self.pieces, key.encode()) if key else self.pieces
        return Recording(self.status, headers, tuple(pieces), total, self.end)


def _starred(pieces: list[tuple[float, bytes]], key: bytes) -> list[tuple[float, bytes]]:
    """The same pieces without the key, wherever they were cut."""
    body = b"".join(data for _, data in pieces).replace(key, b"*" * len(key))
    out, place = [], 0
    for when, data in pieces:
        out.append((when, body[place : place + len(data)]))
        place += len(data)
    return out


def why(error: Exception) -> str:
    """The cause underneath, where there is one: around it aiohttp only says which host it was."""
    cause = getattr(error, "os_error", None) or error
    number = getattr(cause, "errno", None) or 0
    if number > 0:
        return os.strerror(number)
    return clean(getattr(cause, "strerror", "") or str(cause)) or type(cause).__name__
