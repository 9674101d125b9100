"""What a refusal's headers mean, and what becomes of the HTTP client's exceptions."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import aiohttp
import pytest
from multidict import CIMultiDict

from proxy.body import HttpBody
from proxy.dial import (
    LONGEST_WAIT,
    PATIENCE,
    READ_AHEAD,
    RECEIVE_BUFFER,
    Dialer,
    client_session,
    retry_after,
)
from proxy.http_errors import retell, retell_midstream
from proxy.simulators.script import Hang, ScriptServer, Send, Wait, chunk, event_stream_head
from tests.support.gateway import openai_upstream
from translators.errors import (
    Internal,
    RateLimited,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamOverloaded,
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
    (UpstreamUnreachable("x"), 0, False, 0.1),
    (UpstreamUnreachable("x"), 1, False, 0.2),
    (UpstreamUnreachable("x"), 2, False, None),
    (UpstreamOverloaded("x"), 0, False, 0.1),
    (RateLimited("x"), 0, False, 0.1),
    (RateLimited("x", retry_after=0.0), 0, False, 0.0),
    (RateLimited("x", retry_after=PATIENCE), 0, False, PATIENCE),
    (RateLimited("x", retry_after=PATIENCE + 0.1), 0, False, None),
    (UpstreamDisconnected("x"), 0, True, 0.0),
    (UpstreamDisconnected("x"), 0, False, None),
    (UpstreamDisconnected("x"), 2, True, None),
    (UpstreamTimeout("x"), 0, True, None),
    (UpstreamError("x"), 0, True, None),
    (UpstreamIncomplete("x"), 0, True, None),
]


@pytest.mark.parametrize(("error", "attempt", "reused", "seconds"), ASKED_AGAIN)
async def test_when_to_ask_again(error, attempt, reused, seconds):
    async with client_session() as session:
        dialer = Dialer(openai_upstream("http://127.0.0.1:1"), session, lambda: 0.5)
        assert dialer._wait_before_retry(error, attempt, reused) == seconds


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 0.075), (1.0, 0.125)])
async def test_many_that_were_refused_together_come_back_apart(chance, seconds):
    async with client_session() as session:
        dialer = Dialer(openai_upstream("http://127.0.0.1:1"), session, lambda: chance)
        assert dialer._wait_before_retry(UpstreamOverloaded("x"), 0, False) == pytest.approx(seconds)


async def test_the_kernel_holds_little_of_an_answer_however_fast_it_comes():
    """A buffer that Linux may size itself has grown to megabytes after so much."""
    flood = [Send(event_stream_head()), *(Send(chunk(b"x" * 1_000_000)) for _ in range(40)), Hang()]
    async with ScriptServer(flood) as server, client_session() as session:
        response = await session.post(server.url, data=b"{}")
        seen = 0
        while seen < 40_000_000:
            seen += len(await response.content.readany())
        sock = response.connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * RECEIVE_BUFFER  # Linux doubles it
        assert response.content.get_read_buffer_limits() == (READ_AHEAD, 2 * READ_AHEAD)
        response.close()


async def test_a_body_that_broke_unnoticed_says_so_when_it_is_read():
    """aiohttp itself would raise a RuntimeError, once what came before has been taken."""
    steps = [Send(event_stream_head()), Wait(0.02), Send(chunk(b"before") + b"zz\r\n"), Hang()]
    async with ScriptServer(steps) as server, client_session() as session:
        response = await session.post(server.url, data=b"{}")
        body = HttpBody(response, lambda: None, set())
        assert body.broken() is None
        async with asyncio.timeout(5):
            while response.connection.protocol.connected:
                await asyncio.sleep(0.005)
        assert await body.read() == b"before"
        with pytest.raises(UpstreamMalformed):
            await body.read()
        assert type(body.broken()) is UpstreamMalformed
        body.close()
        body.close()


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
