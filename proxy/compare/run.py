"""From two endpoints, of which either may be built in, to a comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

from attrs import evolve

from proxy.compare.ask import Unusable, compare
from proxy.compare.record import Question
from proxy.compare.result import Comparison, Endpoint
from proxy.server import loop_factory

__all__ = ["Unusable", "run"]


def run(
    left: Endpoint, right: Endpoint, questions: Iterable[Question], *, seconds: float, same_answer: bool
) -> Comparison:
    """Ask and judge; an endpoint without a URL is started here and ends with the comparison."""

    async def main() -> Comparison:
        async with AsyncExitStack() as running:
            one, other = await _started(left, right, running)
            return await compare(one, other, questions, seconds=seconds, same_answer=same_answer)

    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        return runner.run(main())


async def _started(left: Endpoint, right: Endpoint, running: AsyncExitStack) -> tuple[Endpoint, Endpoint]:
    if left.url:
        return left, right
    from proxy.compare.demo import gateway, stand_in

    left = evolve(left, url=await running.enter_async_context(stand_in()))
    if not right.url:
        right = evolve(right, url=await running.enter_async_context(gateway(left.url)))
    return left, right
