"""Files that a platform made are handed to whoever keeps files, or to nobody."""

from __future__ import annotations

from proxy.background import Background
from proxy.errands import Errands
from proxy.memory import LocalMemory
from translators.upstreams.plan import Keep, Plan

FILE = Keep("a.txt", "text/plain", b"a")


def keeping() -> Plan[None]:
    yield FILE


async def test_a_file_is_kept_for_the_caller() -> None:
    kept: list[tuple[str, Keep]] = []

    async def keep(owner: str, file: Keep) -> None:
        kept.append((owner, file))

    errands = Errands("up", None, 5.0, lambda *_: None, LocalMemory(), Background())
    await errands.carry_out(keeping(), "me")  # where nothing is kept
    errands.keep = keep
    await errands.carry_out(keeping(), "me")
    assert kept == [("me", FILE)]
