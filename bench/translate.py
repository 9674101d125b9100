"""What retelling one frame costs: nanoseconds per frame, with no socket in sight.

For each platform, each surface and each kind of frame, a stream is fed the same bytes as the gateway would
feed it: one frame per read, and sixteen. The best of several rounds counts, because noise only ever adds; the
median stands beside it as a measure of that noise. The garbage collector is off while the clock runs.

Before anything is timed, the stream has to tell exactly the text it was fed and end complete, or the bench
stops: a fast path that loses words is not fast.
"""

from __future__ import annotations

import gc
import itertools
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from attrs import frozen

from bench.report import Row, options, progress, publish
from bench.wires import DIALECTS, Case, Dialect, chosen, let_choose
from translators.ids import Envelope
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams import UPSTREAMS

SURFACES: dict[str, Callable[[Envelope], Surface]] = {
    "chat": lambda envelope: Chat(envelope, include_usage=False),
    "chat whole": ChatWhole,
}
PER_FEED = (1, 16)
COLUMNS = ("upstream", "surface", "case", "per_feed", "ns_per_frame", "ns_median")


@frozen
class Effort:
    frames: int
    rounds: int


FULL = Effort(frames=8192, rounds=25)
QUICK = Effort(frames=512, rounds=3)


def main(arguments: list[str]) -> int:
    parser = options("bench.translate", "What retelling one frame costs, without sockets.")
    let_choose(parser)
    wanted = parser.parse_args(arguments)
    effort = QUICK if wanted.quick else FULL
    publish(list(_rows(effort, chosen(parser, wanted))), COLUMNS, wanted.json)
    return 0


def _rows(effort: Effort, names: Sequence[str]) -> Iterator[Row]:
    for upstream in names:
        dialect = DIALECTS[upstream]
        progress(f"{upstream}: {effort.frames} frames a round, best of {effort.rounds}")
        for surface, (name, case) in itertools.product(SURFACES, dialect.cases.items()):
            for per_feed in PER_FEED:
                feeds = _feeds(case, effort.frames, per_feed)
                _prove(upstream, surface, dialect, feeds, case.piece * effort.frames)
                rounds = [_time(upstream, surface, dialect, feeds) for _ in range(effort.rounds + 1)]
                warm = [spent / effort.frames for spent in rounds[1:]]
                yield {
                    "bench": "translate",
                    "upstream": upstream,
                    "surface": surface,
                    "case": name,
                    "per_feed": per_feed,
                    "ns_per_frame": round(min(warm), 1),
                    "ns_median": round(statistics.median(warm), 1),
                    "frames": effort.frames,
                    "rounds": effort.rounds,
                    "gc": "off",
                    "python": platform.python_version(),
                }


def _feeds(case: Case, frames: int, per_feed: int) -> list[bytes]:
    wire = [case.frame(number, case.piece) for number in range(frames)]
    return [b"".join(wire[start : start + per_feed]) for start in range(0, frames, per_feed)]


def _stream(upstream: str, surface: str) -> Stream:
    kind = UPSTREAMS[upstream]
    question = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    envelope = Envelope("chatcmpl-bench", 1700000000, "bench")
    settings = kind.Settings(**DIALECTS[upstream].settings)
    asked = kind(Prompt.from_chat(question), settings, envelope, "bench")
    return Stream(asked.framing(), asked, SURFACES[surface](envelope))


def _time(upstream: str, surface: str, dialect: Dialect, feeds: list[bytes]) -> int:
    stream = _stream(upstream, surface)
    stream.feed(dialect.opening)
    feed = stream.feed
    gc.collect()
    gc.disable()
    began = time.perf_counter_ns()
    for data in feeds:
        feed(data)
    spent = time.perf_counter_ns() - began
    gc.enable()
    return spent


def _prove(upstream: str, surface: str, dialect: Dialect, feeds: list[bytes], expected: str) -> None:
    stream = _stream(upstream, surface)
    told = b"".join(stream.feed(data) for data in (dialect.opening, *feeds, dialect.closing))
    told += stream.close()
    if stream.failure is not None:
        raise SystemExit(f"{upstream} to {surface} failed: {stream.failure}")
    if _words(told) != expected:
        raise SystemExit(f"{upstream} to {surface} did not tell what it was fed")


def _words(told: bytes) -> str:
    """All the text and all the tool arguments of a chat answer, streamed or whole."""
    documents = [told] if told.startswith(b"{") else _payloads(told)
    return "".join(_said(choice) for raw in documents for choice in orjson.loads(raw)["choices"])


def _payloads(told: bytes) -> list[bytes]:
    *frames, done, nothing = told.split(b"\n\n")
    if done != b"data: [DONE]" or nothing:
        raise SystemExit("a stream ended without [DONE]")
    return [frame.removeprefix(b"data: ") for frame in frames]


def _said(choice: dict[str, Any]) -> str:
    message = choice.get("delta") or choice.get("message") or {}
    calls = message.get("tool_calls") or ()
    return (message.get("content") or "") + "".join(call["function"]["arguments"] for call in calls)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
