"""A call's own headers stand instead of those that every request carries, in both wires."""

from __future__ import annotations

import pytest

from proxy.wire.lean import MOST_STARTS, LeanWire
from tests.proxy.wires_setup import BOTH, says
from translators.errors import Internal
from translators.upstreams.plan import Call

OWN = [
    ({}, {"Content-Type": ["application/json"], "Authorization": ["Bearer ours"]}),
    ({"X-More": "1"}, {"X-More": ["1"], "Authorization": ["Bearer ours"]}),
    (
        {"Content-Type": "multipart/form-data; boundary=b"},
        {"Content-Type": ["multipart/form-data; boundary=b"]},
    ),
    ({"content-type": "text/plain"}, {"Content-Type": ["text/plain"], "Authorization": ["Bearer ours"]}),
    ({"AUTHORIZATION": "Bearer theirs"}, {"Authorization": ["Bearer theirs"]}),
]


@pytest.mark.parametrize("wired", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(("own", "sent"), OWN, ids=[str(own) for own, _ in OWN])
async def test_a_header_of_the_calls_own_is_the_only_one_of_its_name(wired, own, sent):
    async with wired(says(b"x")) as (wire, server):
        for call in (Call("POST", "a", b"1", own), Call("POST", "a", b"2")):
            answer = await wire.send(call)
            await answer.body.read()
            answer.body.finish()
        first, second = server.requests
        assert {name: first.headers.getall(name) for name in sent} == sent
        assert second.headers.getall("Authorization") == ["Bearer ours"]
        assert second.headers.getall("Content-Type") == ["application/json"]
        assert first.headers.getall("Content-Length") == ["1"]
        assert len(first.headers.getall("Host")) == 1


async def test_a_line_end_in_one_is_refused():
    wire = LeanWire("http://127.0.0.1:1", {}, 1.0)
    with pytest.raises(Internal):
        await wire.send(Call("POST", "a", b"", {"X-Id": "a\r\nX-Other: b"}))


def test_only_starts_that_may_come_again_are_kept():
    wire = LeanWire("http://127.0.0.1:1", {}, 1.0)
    for call in [Call("GET", "a?id=1"), Call("GET", "a", b"", {"X": "1"})]:
        wire._request(call)
    assert wire._starts == {}
    assert wire._request(Call("GET", "a")) == wire._request(Call("GET", "a"))
    assert list(wire._starts) == [("GET", "a")]


def test_and_never_many():
    wire = LeanWire("http://127.0.0.1:1", {}, 1.0)
    for number in range(10 * MOST_STARTS + 5):
        assert wire._request(Call("GET", f"a/{number}")).startswith(b"GET /a/%d HTTP/1.1\r\n" % number)
        assert 0 < len(wire._starts) <= MOST_STARTS
