"""Deciding by the first byte: streams, documents and pages, cut anywhere and with blanks before them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from translators.errors import UpstreamMalformed
from translators.framing.base import Frame
from translators.framing.sniff import _PATIENCE, Sniff

BOM = b"\xef\xbb\xbf"


def run(parts: Sequence[bytes], **limits: int) -> tuple[list[Frame], str]:
    sniff = Sniff(**limits)
    frames: list[Frame] = []
    for part in parts:
        frames += sniff.feed(part)
        if sniff.fault is not None:
            break
    frames += sniff.close()
    return frames, "" if sniff.fault is None else sniff.fault.message


PAGE = "The upstream answered with a page instead of a stream: "

CASES: list[tuple[str, bytes, list[Frame], str]] = [
    ("stream", b"data: 1\n\n", [(b"", b"1")], ""),
    ("stream with BOM", BOM + b"data: 1\n\ndata: 2\n\n", [(b"", b"1"), (b"", b"2")], ""),
    ("stream after blanks", b"\r\n\r\n \n\ndata: 1\n\n", [(b"", b"1")], ""),
    ("a name that begins with a blank", b" data: 1\n\ndata: 2\n\n", [(b"", b"2")], ""),
    ("a name that begins with half a BOM", BOM[:2] + b"data: 1\n\ndata: 2\n\n", [(b"", b"2")], ""),
    ("comment first", b": {\n\ndata: 1\n\n", [(b"", b"1")], ""),
    ("document", b'{"a":1}', [(b"", b'{"a":1}')], ""),
    ("document of many lines", b'\n\n{"a":\n\n1}\n\n', [(b"", b'{"a":\n\n1}')], ""),
    ("document with BOM", BOM + b'{"a":1}', [(b"", b'{"a":1}')], ""),
    ("array", b"[1]", [(b"", b"[1]")], ""),
    ("page", b" <html><b>Bad gateway</b></html>", [], PAGE + "Bad gateway"),
    ("page that says nothing", b"<html></html>", [], PAGE),
    ("nothing", b"", [], ""),
    ("blanks", b" \n\r\n", [], ""),
    ("a piece of a BOM", BOM[:2], [], ""),
]


@pytest.mark.parametrize(("data", "frames", "fault"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_what_it_is_wherever_it_is_cut(data: bytes, frames: list[Frame], fault: str) -> None:
    assert check_every_split(run, data) == (frames, fault)


@pytest.mark.parametrize("blanks", [_PATIENCE - 1, _PATIENCE, _PATIENCE + 1])
@pytest.mark.parametrize("rest", [b'{"a":1}', b"data: 1\n\n"])
def test_patience_with_blanks_does_not_depend_on_the_cuts(blanks: int, rest: bytes) -> None:
    data = b"\n" * blanks + rest
    whole = run([data])
    assert whole == run([data[:blanks], rest])
    assert whole == run([data[place : place + 1] for place in range(len(data))])
    assert whole == run([data[: blanks - 1], data[blanks - 1 :]])


def test_endless_blanks_are_a_stream_that_keeps_itself_alive() -> None:
    assert run([b"\n" * 100] * 1000 + [b"data: 1\n\n"]) == ([(b"", b"1")], "")


def test_a_document_has_a_bound_and_gives_its_memory_back() -> None:
    sniff = Sniff(max_body=10)
    assert sniff.feed(b'{"a":12345}') == []
    assert type(sniff.fault) is UpstreamMalformed
    assert "over 10 bytes" in sniff.fault.message
    assert sniff.feed(b"x" * 100) == []
    assert sniff.close() == []
    assert check_every_split(lambda parts: run(parts, max_body=10), b'{"a":1234}')[0] == [
        (b"", b'{"a":1234}')
    ]
    assert check_every_split(lambda parts: run(parts, max_body=10), b'{"a":12345}')[1] == sniff.fault.message


def test_a_stream_has_the_bound_it_is_given() -> None:
    assert run([b"data: 1234567\n\n"], max_frame=8)[0] == []


def test_only_the_beginning_of_a_page_is_kept() -> None:
    page = b"<p>" + b"word " * 100_000
    outcomes = [run([page]), run([page[start : start + 1400] for start in range(0, len(page), 1400)])]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1].startswith(PAGE + "word word")
    assert len(outcomes[0][1]) < 300


@given(
    st.lists(st.sampled_from([b" ", b"\n", BOM, b"{", b"<", b"[", b"data: 1\n\n", b"}", b"x"]), max_size=10)
    .map(b"".join)
    .flatmap(lambda data: st.tuples(st.just(data), partitions(data)))
)
def test_any_opening_cut_anywhere(case: tuple[bytes, list[bytes]]) -> None:
    data, parts = case
    assert run(parts) == run([data])
