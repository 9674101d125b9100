"""What goes out on the lean wire: a request comes out as if the wire had never sent another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.lean import MOST_STARTS, LeanWire
from translators.errors import Internal
from translators.upstreams.plan import Call

SHARED = {"Content-Type": "application/json", "Accept": "*/*", "X-Team": "red"}
HEADERS = [
    {},
    {"X-Own": "1"},
    {"X-Own": "2"},
    {"x-team": "blue"},
    {"Host": "agents.internal"},
    {"X-Own": "é", "accept": "text/plain"},
    {"accept": "text/plain", "X-Own": "3"},
    {"X-Own": "1\r\nX-Evil: 1"},
]
PATHS = ["chat", "chat?a=1", "a/../b", "a//b/", "sessions/s%3A1/text"]


def wire() -> LeanWire:
    return LeanWire("http://h:81/below", SHARED, 1.0)


def request(wire: LeanWire, call: Call) -> bytes:
    try:
        return wire._request(call)
    except Internal as error:
        return error.message.encode()


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Call,
            st.sampled_from(["POST", "GET"]),
            st.sampled_from(PATHS),
            st.sampled_from([b"", b"{}"]),
            st.sampled_from(HEADERS),
        ),
        max_size=12,
    )
)
def test_a_request_is_what_it_is_on_a_new_wire(calls: list[Call]) -> None:
    busy = wire()
    assert [request(busy, call) for call in calls] == [request(wire(), call) for call in calls]


def test_a_request_in_full() -> None:
    call = Call("POST", "sessions/s%3A1/text", b"{}", {"x-team": "blue", "X-Own": "ü"})
    assert wire()._request(call) == (
        b"POST /below/sessions/s%3A1/text HTTP/1.1\r\nHost: h:81\r\nContent-Type: application/json\r\n"
        b"Accept: */*\r\nx-team: blue\r\nX-Own: \xc3\xbc\r\nContent-Length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize("evil", ["\r", "\n", "\0", "\r\n", "x\r\nX-Evil: 1", "\n\r"])
@pytest.mark.parametrize("name", [False, True])
def test_a_line_end_in_a_header_is_refused(evil: str, name: bool) -> None:
    headers = {f"X-{evil}Own": "1", "X": "2"} if name else {"X": "2", "X-Own": evil}
    with pytest.raises(Internal):
        wire()._request(Call("POST", "chat", b"", headers))
    with pytest.raises(Internal):
        LeanWire("http://h", {"X": "1", **headers}, 1.0)._request(Call("POST", "chat"))


def test_what_is_kept_of_requests_is_bounded() -> None:
    busy = wire()
    for number in range(3 * MOST_STARTS):
        busy._request(Call("POST", f"chat/{number}"))
        busy._request(Call("POST", "chat", b"", {f"X-{number}": "1"}))
    kept = [value for name in ("_starts", "_shared") for value in [getattr(busy, name, {})]]
    assert all(len(one) <= MOST_STARTS for one in kept)
