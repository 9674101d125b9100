"""Vectors of texts: asking the upstream that a model's name leads to, or a model of this process.

Each is one wish at a place at the upstream, like any question. What takes long to compute, or is long to read, is
done in a thread and a vector at a time, so that streams go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from attrs import define

from proxy.dial import Dialer
from proxy.embeddings_local import compute
from proxy.exchange import Target
from translators.embeddings import Embed, Embedded, InProcess
from translators.errors import BadRequest
from translators.upstreams.plan import ANYBODY


@define(eq=False)
class Embeddings:
    resolve: Callable[[str], Target]

    async def make(self, embed: Embed, headers: Mapping[str, str]) -> bytes:
        """The body of the answer. Raises GatewayError."""
        target = self.resolve(embed.model)
        caller = ANYBODY if target.ears is None else target.ears.caller(headers)
        wanted = target.kind.embeddings(target.options, caller, target.model, embed)
        if wanted is None:
            raise _cannot(embed.model, target)
        if isinstance(wanted, InProcess):
            return await _at_a_place(target.dialer, Embedded(compute(wanted.model, embed), long=True))
        if isinstance(wanted, Embedded):
            return await _at_a_place(target.dialer, wanted)
        return await _joined(await target.dialer.carry_out(wanted, caller.owner))


async def _at_a_place(dialer: Dialer, embedded: Embedded) -> bytes:
    await dialer.slots.acquire()
    try:
        return await _joined(embedded)
    finally:
        dialer.slots.release()


async def _joined(embedded: Embedded) -> bytes:
    return await asyncio.to_thread(b"".join, embedded.pieces) if embedded.long else b"".join(embedded.pieces)


def _cannot(model: str, target: Target) -> BadRequest:
    return BadRequest(
        f"The model `{model[:100]}` leads to the upstream `{target.upstream}`, which makes no embeddings.",
        param="model",
        code="model_not_supported_endpoint",
    )
