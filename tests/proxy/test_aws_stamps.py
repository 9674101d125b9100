"""What is kept from one signature to the next changes none of them, and a call loses nothing by being signed.

Every call that goes through a service which has signed others has to come out as from one that has signed nothing.
"""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.aws import Service
from proxy.wire.base import Wire
from tests.proxy.aws_setup import ASK, NOW, SHARED
from translators.errors import Internal
from translators.sigv4 import Keys
from translators.upstreams.plan import Call

KEYS = [Keys("AKID", "sekret"), Keys("AKID", "sekret", "token"), Keys("AKID", "other"), Keys("B", "sekret")]
CALLS = [
    ASK,
    evolve(ASK, body=b""),
    evolve(ASK, method="PUT"),
    evolve(ASK, headers={"x-amz-source-arn": "arn:aws:bedrock:a"}),
    evolve(ASK, headers={"x-amz-source-arn": "arn:aws:bedrock:b", "X-Other": "o"}),
    evolve(ASK, headers={"Host": "agents.internal"}),
    evolve(ASK, headers={"content-type": "text/plain"}),
    Call("GET", "agents/?b=2&a=1"),
    Call("POST", "a/./b"),
]
MOMENTS = [NOW, NOW + 0.4, NOW + 1, NOW + 86400, NOW - 3600]


def service() -> Service:
    """Nothing is sent."""
    return Service(cast(Wire, None), URL("https://agents.test/below/"), "us-east-1", "bedrock", SHARED)


def outcome(service: Service, call: Call, keys: Keys, now: float) -> Any:
    try:
        return service.signed(call, keys, now)
    except Internal as error:
        return error.message


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(CALLS), st.sampled_from(KEYS), st.sampled_from(MOMENTS)),
        min_size=2,
        max_size=12,
    )
)
def test_a_service_that_has_signed_signs_like_one_that_has_not(asked: list[tuple[Call, Keys, float]]) -> None:
    busy = service()
    for call, keys, now in asked:
        assert outcome(busy, call, keys, now) == outcome(service(), call, keys, now)


def test_a_second_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = service()
    first = busy.signed(ASK, KEYS[0], NOW)
    monkeypatch.setattr(time, "gmtime", None)
    assert busy.signed(ASK, Keys("AKID", "sekret"), NOW + 0.9) == first
    with pytest.raises(TypeError):
        busy.signed(ASK, KEYS[0], NOW + 1)
    with pytest.raises(TypeError):
        busy.signed(ASK, KEYS[2], NOW)


def test_a_signed_call_is_the_same_call_but_for_its_headers() -> None:
    call = Call("PUT", "x/y", b"body", {"X-Other": "o"}, "bedrock-agent", 77)
    usual = Call("POST", "", b"")
    assert all(getattr(call, one.name) != getattr(usual, one.name) for one in fields(Call))
    signed = service().signed(call, KEYS[0], NOW)
    assert evolve(signed, headers=call.headers) == call
    assert signed.headers["X-Other"] == "o"


def test_a_host_of_the_calls_own_is_the_one_that_is_sent() -> None:
    busy = service()
    assert busy.signed(ASK, KEYS[0], NOW).headers["Host"] == "agents.test"
    assert (
        busy.signed(evolve(ASK, headers={"Host": "x.internal"}), KEYS[0], NOW).headers["Host"] == "x.internal"
    )
    assert busy.signed(ASK, KEYS[0], NOW).headers["Host"] == "agents.test"
