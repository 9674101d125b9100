"""A gateway in front of the Coze stand-in, set up as a user would: by environment and without a file.

A ``Scene`` is both of them and a client. Bots and workflows are made by the test that needs them, each with an id
and knobs of its own, so one scene serves a whole module. What the platform heard is asked of the stand-in.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
from attrs import define, field

from proxy.config import Config, Secret, Upstream, load
from proxy.simulators.coze import DEMO_BOT, DEMO_SPACE, DEMO_TOKEN, DEMO_WORKFLOW, CozeStandIn, Heard
from proxy.simulators.coze_knobs import Knobs, WorkflowKnobs
from tests.e2e.sdk_setup import hosted, sdk
from tests.support.gateway import GatewayThread
from tests.support.raw import RawClient, Reply
from translators.upstreams import UPSTREAMS
from translators.upstreams.coze_settings import CozeSettings

_NUMBERS = itertools.count(7_600_000_000_000_000_001)
CHAT, CANCEL = "/v3/chat", "/v3/chat/cancel"
BLUE_JAY = ("Blue", " jay.")


def environment(url: str, **changes: str) -> dict[str, str]:
    """What somebody with a Coze account exports; a change to nothing leaves a variable out."""
    told = {
        "COZE_API_KEY": DEMO_TOKEN,
        "COZE_BASE_URL": url,
        "COZE_BOT_ID": DEMO_BOT,
        "COZE_WORKFLOW_ID": DEMO_WORKFLOW,
        "PORT": "0",
        **changes,
    }
    return {name: value for name, value in told.items() if value}


def configured(environ: dict[str, str]) -> Config:
    nowhere = Path("/nonexistent")
    return load(path=None, environ=environ, cwd=nowhere, flags={}, kinds=UPSTREAMS).config


def coze_upstream(
    url: str, name: str = "coze", *, token: str | None = DEMO_TOKEN, **changes: Any
) -> Upstream:
    """The same for ``serve``; settings of the kind and of all upstreams stand side by side."""
    own = {key: changes.pop(key) for key in [*changes] if key in CozeSettings.__annotations__}
    options = CozeSettings(**{"bot_id": DEMO_BOT, "workflow_id": DEMO_WORKFLOW, **own})
    key = None if token is None else Secret(token)
    return Upstream(name, "coze", **{"base_url": url, "api_key": key, "options": options, **changes})


def new_id() -> str:
    """Beyond what a float can tell apart."""
    return str(next(_NUMBERS))


def new_bot(stand_in: CozeStandIn, **knobs: Any) -> str:
    id = new_id()
    stand_in.bots[id] = Knobs(**knobs)
    return id


def cancels(stand_in: CozeStandIn) -> list[dict[str, Any]]:
    return [heard.document for heard in stand_in.heard(CANCEL)]


@define(eq=False)
class Scene:
    stand_in: CozeStandIn
    gateway: GatewayThread
    client: openai.OpenAI = field()

    def bot(self, **knobs: Any) -> str:
        return new_bot(self.stand_in, **knobs)

    def workflow(self, **knobs: Any) -> str:
        id = new_id()
        self.stand_in.workflows[id] = WorkflowKnobs(**knobs)
        return id

    def asked(self, path: str, **having: Any) -> list[Heard]:
        """What the platform heard on this path, with these members in the document."""
        return [
            heard
            for heard in self.stand_in.heard(path)
            if all(heard.document.get(name) == value for name, value in having.items())
        ]

    def http(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        with RawClient(self.gateway.port) as client:
            client.request(
                method, path, body, {name.replace("_", "-"): text for name, text in headers.items()}
            )
            return client.reply()


@contextmanager
def scene(*, stand_in: dict[str, Any] | None = None, **environ: str) -> Iterator[Scene]:
    """``with scene(COZE_SPACE_ID=…) as here: … here.client …``"""
    with ExitStack() as running:
        platform = running.enter_context(hosted(lambda: CozeStandIn(**(stand_in or {}))))
        gateway = running.enter_context(
            GatewayThread(configured(environment(platform.url, **environ)), "uvloop")
        )
        yield Scene(platform, gateway, running.enter_context(sdk(gateway.url + "/v1")))


__all__ = ["DEMO_BOT", "DEMO_SPACE", "DEMO_TOKEN", "DEMO_WORKFLOW", "Scene", "scene"]
