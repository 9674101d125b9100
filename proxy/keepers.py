"""Which upstream keeps the conversations that somebody asks about, and asking it.

By name, or else the default upstream if its kind keeps any, or else the only one whose kind does. A wish is a
function from what the platform offers to a plan; it is carried out at a place at the upstream like any question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import define, frozen

from proxy.callers import Ears
from proxy.dial import Dialer
from translators.errors import NotFound
from translators.upstreams import UPSTREAMS
from translators.upstreams.conversations import Conversations
from translators.upstreams.conversations import Page as Page
from translators.upstreams.plan import Caller, Plan

Wish: TypeAlias = Callable[[Conversations], Plan[dict[str, Any]]]


@frozen
class Keeper:
    dialer: Dialer
    caller: Caller
    kept: Conversations

    @classmethod
    def of(cls, dialer: Dialer, ears: Ears | None, headers: Mapping[str, str]) -> Keeper | None:
        caller = (ears or Ears(frozenset(), passes_on=False)).caller(headers)
        kept = UPSTREAMS[dialer.config.kind].conversations(dialer.config.options, caller)
        return None if kept is None else cls(dialer, caller, kept)


@define(eq=False)
class Keepers:
    dialers: Mapping[str, Dialer]
    ears: Mapping[str, Ears | None]
    default: str | None

    async def ask(self, name: str | None, headers: Mapping[str, str], wish: Wish) -> dict[str, Any]:
        keeper = self._find(name, headers)
        return await keeper.dialer.carry_out(wish(keeper.kept), keeper.caller.owner)

    def _find(self, name: str | None, headers: Mapping[str, str]) -> Keeper:
        if name is not None:
            keeper = Keeper.of(find_upstream(self.dialers, name), self.ears[name], headers)
            if keeper is None:
                raise _nothing_here(f"The upstream `{name}` keeps no conversations.")
            return keeper
        asked = {at: Keeper.of(of, self.ears[at], headers) for at, of in self.dialers.items()}
        found = {at: keeper for at, keeper in asked.items() if keeper is not None}
        if self.default in found:
            return found[self.default]
        if len(found) == 1:
            return next(iter(found.values()))
        if not found:
            raise _nothing_here("None of this gateway's upstreams keeps conversations.")
        raise _nothing_here(
            f"Several upstreams keep conversations: add ?upstream= and one of {', '.join(found)}."
        )


def find_upstream(dialers: Mapping[str, Dialer], name: str) -> Dialer:
    dialer = dialers.get(name)
    if dialer is None:
        raise NotFound(f"There is no upstream `{name[:64]}`.", param="upstream", code="upstream_not_found")
    return dialer


def _nothing_here(message: str) -> NotFound:
    return NotFound(message, param="upstream", code="conversations_not_supported")
