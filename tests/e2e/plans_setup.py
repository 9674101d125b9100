"""A kind of upstream that exists for tests only: it speaks OpenAI's dialect, and each test writes its plans.

``planner(url, prepare=…, farewell=…, …)`` is an upstream of it. Everything a plan needs to know is the upstream
object itself, which its functions are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from attrs import define, field, frozen

from proxy.config import Upstream
from tests.support.gateway import GatewayThread
from tests.support.waiting import until
from translators.errors import GatewayError
from translators.events import Emit
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import Call, Caller, Plan

HEARS = frozenset({"x-mood", "x-conversation-id"})


@frozen
class PlannerSettings(OpenAISettings):
    prepare: Callable[[Planner], Plan[None]] | None = None
    call: Callable[[Planner], Call] | None = None
    reconsider: Callable[[Planner, GatewayError], bool] | None = None
    farewell: Callable[[Planner], Call | None] | None = None
    settle: Callable[[Planner], Plan[None] | None] | None = None
    catalog: Callable[[], Plan[Any]] | None = None
    conversations: Callable[[Caller], Any] | None = None
    credential: Any = None
    pass_through: bool = False


@define(eq=False)
class Planner(OpenAI):
    name: ClassVar[str] = "planner"
    default_name: ClassVar[str] = "planner"
    environment: ClassVar[dict[str, str]] = {}
    defaults: ClassVar[dict[str, Any]] = {}
    fallback: ClassVar[bool] = False
    Settings: ClassVar[type[Any]] = PlannerSettings
    hears: ClassVar[frozenset[str]] = HEARS

    known: dict[str, Any] = field(factory=dict)
    """What a plan found out, for whoever comes after it."""
    said: int = 0
    """Frames that came."""

    def prepare(self) -> Plan[None] | None:
        return self.settings.prepare and self.settings.prepare(self)

    def call(self) -> Any:
        return self.settings.call(self) if self.settings.call else OpenAI.call(self)

    def asked(self) -> None:
        """What a plan does afterwards may need the prompt."""

    def reconsider(self, error: GatewayError) -> bool:
        return bool(self.settings.reconsider and self.settings.reconsider(self, error))

    def farewell(self) -> Call | None:
        return self.settings.farewell and self.settings.farewell(self)

    def settle(self) -> Plan[None] | None:
        return self.settings.settle and self.settings.settle(self)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        self.said += 1
        OpenAI.translate(self, name, payload, emit)

    @classmethod
    def catalog(cls, settings: PlannerSettings) -> Plan[Any] | None:
        return settings.catalog and settings.catalog()

    @classmethod
    def conversations(cls, settings: PlannerSettings, caller: Caller) -> Any:
        return settings.conversations and settings.conversations(caller)

    @classmethod
    def credential(cls, settings: PlannerSettings, base_url: str) -> Any:
        return settings.credential


def planner(base_url: str, name: str = "up", *, models: tuple[str, ...] = ("m",), **plans: Any) -> Upstream:
    own = {key: plans.pop(key) for key in [*plans] if key in PlannerSettings.__annotations__}
    return Upstream(
        name,
        "planner",
        **{"base_url": base_url, "models": models, "options": PlannerSettings(**own), **plans},
    )


@contextmanager
def no_work_left(gateway: GatewayThread) -> Iterator[None]:
    """What the gateway holds and its tasks are afterwards as they were before; connections may be kept."""
    tasks = gateway.tasks()
    yield
    gateway.until_idle(5.0)
    until(lambda: gateway.tasks() <= tasks, f"no more than {tasks} tasks")
