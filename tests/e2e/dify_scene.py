"""A gateway in front of the Dify stand-in, set up as a user would: by environment and without a file.

A ``Scene`` is both of them and a client. An app is a key, so tests open apps of their own, each with knobs of its
own, and one scene serves a whole module: without ``DIFY_API_KEY`` the gateway passes the client's key on, and
``Scene.of`` is a client whose key is that of an app. What the platform heard is asked of the stand-in, by key.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
from attrs import define

from proxy.config import Config, Secret, Upstream, load
from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import App, Knobs, Variable
from proxy.simulators.dify_platform import DifyRequest
from proxy.simulators.dify_runs import Run
from tests.e2e.sdk_setup import hosted, sdk
from tests.support.gateway import GatewayThread
from translators.upstreams import UPSTREAMS
from translators.upstreams.dify_settings import DifySettings

_NUMBERS = itertools.count(1)
CHAT, UPLOAD = "/v1/chat-messages", "/v1/files/upload"
COUNT, COUNTED = "count to 3", "1, 2, 3."
LONG = "count to 200"


def stand_in_of(version: str = "1.16", **knobs: Any) -> DifyStandIn:
    """With no app yet, and without the small number of connections, which is for tests of its own."""
    return DifyStandIn({}, version, knobs=Knobs(**{"connections": None, **knobs}))


def environment(url: str, **changes: str) -> dict[str, str]:
    """What somebody with a Dify server exports; a change to nothing leaves a variable out."""
    return {name: value for name, value in {"DIFY_API_URL": url, "PORT": "0", **changes}.items() if value}


def configured(environ: dict[str, str]) -> Config:
    nowhere = Path("/nonexistent")
    return load(path=None, environ=environ, cwd=nowhere, flags={}, kinds=UPSTREAMS).config


def dify_upstream(url: str, name: str = "dify", *, key: str | None = None, **changes: Any) -> Upstream:
    """The same for ``serve``; settings of the kind and of all upstreams stand side by side."""
    own = {name: changes.pop(name) for name in [*changes] if name in DifySettings.__annotations__}
    secret = None if key is None else Secret(key)
    given = {"base_url": url, "api_key": secret, "options": DifySettings(**own), **changes}
    return Upstream(name, "dify", **given)


def open_app(stand_in: DifyStandIn, mode: str = "advanced-chat", **more: Any) -> str:
    """The key of a new app. What is no knob of it is one of its members."""
    key = f"app-{next(_NUMBERS):04d}"
    knobs = {name: more.pop(name) for name in [*more] if name in Knobs.__annotations__}
    form = {"form": (Variable("topic"),)} if mode == "workflow" else {}
    stand_in.apps[key] = App(mode, knobs=Knobs(**knobs), **{**form, **more})
    return key


def asked(stand_in: DifyStandIn, key: str, path: str = "") -> list[DifyRequest]:
    """What the platform heard from whoever has this key, on paths that begin so."""
    return [
        heard
        for heard in list(stand_in.requests)
        if heard.headers.get("Authorization") == f"Bearer {key}" and heard.path.startswith(path)
    ]


def questions(stand_in: DifyStandIn, key: str) -> list[dict[str, Any]]:
    """The bodies of everything that starts a run."""
    starts = (CHAT, "/v1/completion-messages", "/v1/workflows/run")
    return [heard.document for heard in asked(stand_in, key) if heard.path in starts]


def stops(stand_in: DifyStandIn, key: str) -> list[tuple[str, str]]:
    """The task and the user of every stop call."""
    told = [heard for heard in asked(stand_in, key) if heard.path.endswith("/stop")]
    return [(heard.path.split("/")[-2], heard.document["user"]) for heard in told]


def runs(stand_in: DifyStandIn, key: str) -> list[Run]:
    return [run for run in list(stand_in.runs) if run.user[0] == key]


@define(eq=False)
class Scene:
    stand_in: DifyStandIn
    gateway: GatewayThread
    client: openai.OpenAI

    def app(self, mode: str = "advanced-chat", **more: Any) -> str:
        return open_app(self.stand_in, mode, **more)

    def of(self, key: str) -> openai.OpenAI:
        """The same client for whom this key is the API key."""
        return self.client.with_options(api_key=key)

    def asked(self, key: str, path: str = "") -> list[DifyRequest]:
        return asked(self.stand_in, key, path)

    def questions(self, key: str) -> list[dict[str, Any]]:
        return questions(self.stand_in, key)

    def stops(self, key: str) -> list[tuple[str, str]]:
        return stops(self.stand_in, key)

    def say(self, key: str, messages: Any, **more: Any) -> str:
        """The words of one whole answer."""
        given = messages if isinstance(messages, list) else [{"role": "user", "content": messages}]
        answer = self.of(key).chat.completions.create(**{"model": "m", "messages": given, **more})
        return answer.choices[0].message.content or ""

    def stream(self, key: str, messages: Any, **more: Any) -> list[Any]:
        given = messages if isinstance(messages, list) else [{"role": "user", "content": messages}]
        create = self.of(key).chat.completions.create
        with create(**{"model": "m", "messages": given, "stream": True, **more}) as stream:
            return list(stream)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@contextmanager
def scene(version: str = "1.16", **environ: str) -> Iterator[Scene]:
    """``with scene(DIFY_API_KEY=…) as here: … here.client …``"""
    with ExitStack() as running:
        platform = running.enter_context(hosted(lambda: stand_in_of(version)))
        gateway = running.enter_context(
            GatewayThread(configured(environment(platform.url, **environ)), "uvloop")
        )
        yield Scene(platform, gateway, running.enter_context(sdk(gateway.url + "/v1")))
