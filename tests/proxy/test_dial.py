"""What a refusal's headers mean, and what becomes of the HTTP client's exceptions."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import aiohttp
import pytest
from multidict import CIMultiDict

from proxy.config import Secret
from proxy.dial import LONGEST_WAIT, PATIENCE, Dialer, request_headers, retry_after
from proxy.http_errors import retell, retell_midstream
from tests.support.gateway import openai_upstream
from translators.errors import (
    Internal,
    RateLimited,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamStale,
    UpstreamTimeout,
    UpstreamUnreachable,
)

WAITS = [
    ({}, None),
    ({"Retry-After": "7"}, 7.0),
    ({"retry-after": "7"}, 7.0),
    ({"Retry-After": "0"}, 0.0),
    ({"Retry-After": "1.5"}, 1.5),
    ({"retry-after-ms": "250"}, 0.25),
    ({"Retry-After": "7", "retry-after-ms": "250"}, 0.25),
    ({"Retry-After": "7", "retry-after-ms": "soon"}, 7.0),
    ({"Retry-After": "-1"}, None),
    ({"Retry-After": "1e9"}, None),
    ({"Retry-After": "nan"}, None),
    ({"Retry-After": "inf"}, None),
    ({"Retry-After": "1.2.3"}, None),
    ({"Retry-After": "."}, None),
    ({"Retry-After": ""}, None),
    ({"Retry-After": "\u0667"}, None),
    ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ({"Retry-After": "9" * 400}, LONGEST_WAIT),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS, ids=[str(headers)[:40] for headers, _ in WAITS])
def test_how_long_to_wait(headers, seconds):
    assert retry_after(CIMultiDict(headers)) == seconds


ASKED_AGAIN = [
    (UpstreamUnreachable("x"), 0, 0.1),
    (UpstreamUnreachable("x"), 1, 0.2),
    (UpstreamUnreachable("x"), 2, None),
    (UpstreamOverloaded("x"), 0, 0.1),
    (RateLimited("x"), 0, 0.1),
    (RateLimited("x", retry_after=0.0), 0, 0.0),
    (RateLimited("x", retry_after=PATIENCE), 0, PATIENCE),
    (RateLimited("x", retry_after=PATIENCE + 0.1), 0, None),
    (UpstreamStale("x"), 0, 0.0),
    (UpstreamStale("x"), 2, None),
    (UpstreamDisconnected("x"), 0, None),
    (UpstreamTimeout("x"), 0, None),
    (UpstreamError("x"), 0, None),
    (UpstreamIncomplete("x"), 0, None),
]


def dialer(chance: float = 0.5) -> Dialer:
    return Dialer(openai_upstream("http://127.0.0.1:1"), None, lambda: chance)


@pytest.mark.parametrize(("error", "attempt", "seconds"), ASKED_AGAIN)
def test_when_to_ask_again(error, attempt, seconds):
    assert dialer()._wait_before_retry(error, attempt) == seconds


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 0.075), (1.0, 0.125)])
def test_many_that_were_refused_together_come_back_apart(chance, seconds):
    assert dialer(chance)._wait_before_retry(UpstreamOverloaded("x"), 0) == pytest.approx(seconds)


def test_what_every_request_carries_unless_the_configuration_says_otherwise():
    upstream = openai_upstream("http://127.0.0.1:1", api_key=Secret("k"))
    plain = request_headers(upstream)
    assert plain["Authorization"] == "Bearer k"
    assert (plain["Content-Type"], plain["Accept-Encoding"]) == ("application/json", "identity")
    own = {"authorization": "Token t", "USER-AGENT": "mine", "X-More": "1"}
    changed = request_headers(openai_upstream("http://127.0.0.1:1", api_key=Secret("k"), headers=own))
    assert changed == {name: plain[name] for name in ("Content-Type", "Accept", "Accept-Encoding")} | own


HOST = "planted-host.internal"
KEY = aiohttp.client_reqrep.ConnectionKey(HOST, 443, True, True, None, None, None)
REFUSED = OSError(errno.ECONNREFUSED, "Connect call failed ('10.1.2.3', 443)")
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
TOLD = [
    (
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
        UpstreamUnreachable,
    ),
    (aiohttp.ClientConnectorError(KEY, REFUSED), UpstreamUnreachable),
    (aiohttp.ClientConnectorCertificateError(KEY, CERTIFICATE), UpstreamUnreachable),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version number")), UpstreamUnreachable),
    (aiohttp.ConnectionTimeoutError(f"Connection timeout to host https://{HOST}/v1"), UpstreamUnreachable),
    (aiohttp.ServerDisconnectedError(), UpstreamDisconnected),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), UpstreamDisconnected),
    (ConnectionResetError("reset"), UpstreamDisconnected),
    (BrokenPipeError("pipe"), UpstreamDisconnected),
    (aiohttp.ClientPayloadError("not completed"), UpstreamIncomplete),
    (asyncio.IncompleteReadError(b"", 1), UpstreamIncomplete),
    (aiohttp.http.HttpProcessingError(message="bad"), UpstreamMalformed),
    (aiohttp.ClientError("something"), UpstreamError),
    (KeyError("nobody foresaw it"), Internal),
]


@pytest.mark.parametrize(("theirs", "ours"), TOLD, ids=[type(theirs).__name__ for theirs, _ in TOLD])
def test_what_the_http_client_raises_is_retold(theirs, ours):
    told = retell(theirs)
    assert type(told) is ours
    assert told.detail.startswith(type(theirs).__name__)
    assert HOST not in told.message
    assert "10.1.2.3" not in told.message + told.detail


@pytest.mark.parametrize("theirs", [theirs for theirs, ours in TOLD if ours is UpstreamUnreachable])
def test_the_detail_keeps_the_reason_and_not_the_host(theirs):
    told = retell(theirs)
    assert HOST not in told.detail
    assert len(told.detail) > len(type(theirs).__name__) + 5


def test_a_broken_connection_in_the_middle_is_an_answer_that_is_not_complete():
    assert type(retell_midstream(ConnectionResetError("reset"))) is UpstreamIncomplete
    assert type(retell_midstream(aiohttp.http.HttpProcessingError(message="bad"))) is UpstreamMalformed
    ours = UpstreamTimeout("silence")
    assert retell_midstream(ours) is ours
