"""Where a path leads: what is seen at a look is what yarl works out."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.wire.target import target

BASES = [
    URL("http://h/"),
    URL("https://h:8443/below/it/"),
    URL("http://h/a%2Fb//c/"),
    URL("http://[::1]:1/~x/"),
]
PIECES = st.sampled_from(
    ["a", "B9", "..", ".", "/", "//", "?", "#", "%2F", "%", "=", "&", ":", "@", "~", "-", "é", "\\"]
)
PATHS = st.lists(PIECES, max_size=8).map("".join) | st.text("ab/.?%:", max_size=10)


def worked_out(base: URL, path: str) -> str:
    try:
        return base.join(URL(path, encoded=True)).raw_path_qs
    except ValueError as error:
        return repr(error)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(BASES), PATHS)
@example(BASES[1], "agents/A1/agentAliases/TSTALIASID/sessions/s%3A1/text")
@example(BASES[1], "v3/chat?conversation_id=1&x=%2F")
@example(BASES[0], "x?")
@example(BASES[0], "a/..")
@example(BASES[0], "a/.b")
@example(BASES[0], "http:x")
@example(BASES[0], "a\n")
def test_a_path_leads_where_yarl_says(base: URL, path: str) -> None:
    try:
        led = target(base, path)
    except ValueError as error:
        led = repr(error)
    assert led == worked_out(base, path)


@pytest.mark.parametrize("path", ["chat/completions", "sessions/s%3A1/text", "a.b/c-d_e~", "x?a=1&b=%2F"])
def test_usual_paths_are_not_worked_out(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = BASES[1]
    monkeypatch.setattr(URL, "join", None)
    assert target(base, path) == f"/below/it/{path}"
