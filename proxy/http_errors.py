"""Exceptions of the HTTP client, retold as ours by one table.

The first class that fits decides, so the order is from the particular to the general. What the exception says
goes into ``detail`` for the log, cleaned: it may quote what the peer sent, and that may quote a key of ours.
"""

from __future__ import annotations

import asyncio

import aiohttp

from translators.errors import (
    GatewayError,
    Internal,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamUnreachable,
)
from translators.excerpt import clean

_TABLE: tuple[tuple[type[BaseException], type[UpstreamError], str], ...] = (
    (aiohttp.ClientConnectorDNSError, UpstreamUnreachable, "The upstream's host name could not be resolved."),
    (aiohttp.ClientSSLError, UpstreamUnreachable, "No secure connection to the upstream could be made."),
    (
        aiohttp.ConnectionTimeoutError,
        UpstreamUnreachable,
        "The upstream did not accept a connection in time.",
    ),
    (aiohttp.ClientConnectorError, UpstreamUnreachable, "The upstream refused the connection."),
    (aiohttp.ClientPayloadError, UpstreamIncomplete, "The upstream broke off in the middle of its answer."),
    (aiohttp.ServerDisconnectedError, UpstreamDisconnected, "The upstream closed the connection unanswered."),
    (aiohttp.ClientResponseError, UpstreamMalformed, "The upstream's answer is not valid HTTP."),
    (aiohttp.http.HttpProcessingError, UpstreamMalformed, "The upstream's answer is not valid HTTP."),
    (aiohttp.ClientOSError, UpstreamDisconnected, "The connection to the upstream broke."),
    (aiohttp.ClientError, UpstreamError, "The request to the upstream failed."),
    (OSError, UpstreamDisconnected, "The connection to the upstream broke."),
    (asyncio.IncompleteReadError, UpstreamIncomplete, "The upstream broke off in the middle of its answer."),
)

FOREIGN: tuple[type[BaseException], ...] = tuple(theirs for theirs, _, _ in _TABLE)
"""What the calls to the HTTP client are expected to raise."""

EXPECTED: tuple[type[BaseException], ...] = (GatewayError, *FOREIGN)
"""The same, of a reader that may have been told to fail."""


def retell(error: BaseException) -> GatewayError:
    for theirs, ours, message in _TABLE:
        if isinstance(error, theirs):
            told = ours(message, detail=_detail(error))
            told.__cause__ = error
            return told
    return Internal("The gateway met an error that it does not know.", detail=_detail(error))


def _detail(error: BaseException) -> str:
    """The reason underneath, where there is one: around it aiohttp only says which host it was."""
    reason = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return f"{type(error).__name__}: {clean(str(reason))}"


def retell_midstream(error: BaseException) -> GatewayError:
    """Once an answer has begun, a broken connection is an answer that is not complete."""
    if isinstance(error, GatewayError):
        return error
    told = retell(error)
    if isinstance(told, UpstreamDisconnected):
        cut = UpstreamIncomplete("The upstream broke off in the middle of its answer.", detail=told.detail)
        cut.__cause__ = error
        return cut
    return told
