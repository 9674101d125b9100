"""One line for each request, written when it is over.

Everything in it was counted anyway; nothing is logged while tokens flow. It holds no header, no body and no key.
"""

from __future__ import annotations

import logging
from typing import Any

from attrs import define

from proxy.exchange import Exchange
from proxy.outlet import Outlet
from translators.errors import GatewayError, Internal

log = logging.getLogger("deltawire.requests")


@define(eq=False)
class Record:
    id: str
    method: str
    path: str
    began: float
    exchange: Exchange | None = None
    outlet: Outlet | None = None
    error: GatewayError | None = None

    @property
    def begun(self) -> bool:
        """Whether any of the answer has been sent."""
        return self.outlet is not None and self.outlet.sent > 0

    def write(self, status: int, now: float) -> None:
        fields: dict[str, Any] = {
            "id": self.id,
            "method": self.method,
            "path": self.path[:200],
            "status": status,
            "ms": round((now - self.began) * 1000, 1),
        }
        error = self.error
        if self.exchange is not None:
            fields.update(_of_exchange(self.exchange))
            error = error or self.exchange.stream.failure
        if error is not None:
            fields["error"] = error.code or error.type
            fields["reason"] = error.message[:300]
            if error.detail:
                fields["detail"] = error.detail[:300]
        level = _level(status, error)
        log.log(level, "request", extra={"fields": fields})

    def let_go(self) -> None:
        """What failed knows the way that it came, with all that was there, and an outlet that was never opened
        knows the request, which knows this: large bodies would stay until the garbage collector comes."""
        failure = None if self.exchange is None else self.exchange.stream.failure
        self.exchange, self.outlet = None, self.outlet if self.begun else None
        left: list[BaseException | None] = [self.error, failure]
        while left:
            error = left.pop()
            if error is not None:
                left += (error.__cause__, error.__context__)
                error.__traceback__ = error.__cause__ = error.__context__ = None


def _of_exchange(exchange: Exchange) -> dict[str, Any]:
    relay, stream = exchange.relay, exchange.stream
    fields: dict[str, Any] = {
        "answer": exchange.envelope.id,
        "model": exchange.envelope.model,
        "upstream": exchange.target.upstream,
        "received": stream.received,
    }
    conversation = stream.upstream.headers.get("x-conversation-id")
    if conversation:
        fields["conversation"] = conversation[:100]
    if relay.first_byte_after is not None:
        fields["first_byte_ms"] = round(relay.first_byte_after * 1000, 1)
    if relay.pauses:
        fields["pauses"] = relay.pauses
    return fields


def _level(status: int, error: GatewayError | None) -> int:
    """Ours to mend, theirs to mend, or just news."""
    if isinstance(error, Internal):
        return logging.ERROR
    if status >= 500 or (error is not None and error.status >= 500):
        return logging.WARNING
    return logging.INFO
