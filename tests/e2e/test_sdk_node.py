"""The official Node SDK, and two frameworks on top of their own readers, against a live gateway.

The scenarios are scripts in ``node/``; here are the gateways and upstreams they talk to, and the judgement of
what is left behind. The first run installs the packages, see ``node/runtime.py``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.config import Auth, Secret
from proxy.simulators.openai import Failure, OpenAIStandIn
from proxy.simulators.script import Hang, ScriptServer, Send, chunk, event_stream_head
from tests.e2e.node import runtime
from tests.e2e.sdk_setup import BACKENDS, Backend, Serve, hosted, scripted, started
from tests.e2e.test_sdk_python_errors import BREAKS, said, streaming
from tests.support.gateway import GatewayThread, builtin_upstream, config_of, openai_upstream

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["tap", "loop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """As everywhere, but over one kind of event loop: here the reader is what matters."""
    with ExitStack() as running:

        def start(*upstreams: Any, limits: dict[str, Any] | None = None, **sections: Any) -> GatewayThread:
            config = config_of(*upstreams, limits={"relay": request.param, **(limits or {})}, **sections)
            return running.enter_context(GatewayThread(config, "uvloop"))

        yield start


def succeed(script: str, **environment: str) -> None:
    done = runtime.run(script, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout or "ℹ fail 0" in done.stdout, done.stdout


@pytest.mark.parametrize("backend", BACKENDS, ids=[backend.name for backend in BACKENDS])
def test_the_official_sdk(serve: Serve, backend: Backend):
    with started(serve, backend) as (url, _):
        succeed("sdk.mjs", BASE_URL=url, MODEL=backend.model)


def test_the_frameworks(serve: Serve):
    for backend in (BACKENDS[0], BACKENDS[4]):
        with started(serve, backend) as (url, _):
            succeed("frameworks.mjs", BASE_URL=url, MODEL=backend.model)


def failures(**environment: str) -> list[dict[str, Any]]:
    done = runtime.run("errors.mjs", **environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


REFUSED = {
    400: "BadRequestError",
    401: "InternalServerError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
}


@pytest.mark.parametrize(("status", "name"), REFUSED.items())
def test_a_refusal_has_the_right_class_however_it_is_read(serve: Serve, status: int, name: str):
    with hosted(lambda: OpenAIStandIn("openai")) as stand_in:
        stand_in.knobs.failures.extend([Failure(status)] * 3)
        gateway = serve(openai_upstream(stand_in.url, retries=0))
        told = failures(BASE_URL=gateway.url + "/v1")
    assert [(one["way"], one["error"]) for one in told] == [
        ("whole", name),
        ("stream", name),
        ("helper", name),
    ]


def test_a_wrong_key_has_the_right_class(serve: Serve):
    gateway = serve(builtin_upstream(), auth=Auth(api_keys=(Secret("right"),)))
    for key, error in (("wrong", "AuthenticationError"), ("right", None)):
        told = failures(BASE_URL=gateway.url + "/v1", MODEL="demo", API_KEY=key)
        assert [one["error"] for one in told] == [error] * 3


@pytest.mark.parametrize(("steps", "code"), BREAKS.values(), ids=BREAKS.keys())
def test_a_stream_that_breaks_is_an_error_with_a_code(serve: Serve, steps: Any, code: str):
    with scripted(serve, lambda: ScriptServer(steps), idle_timeout=0.4) as (gateway, _):
        whole, stream, helper = failures(BASE_URL=gateway.url + "/v1")
        gateway.until_idle()
    assert (whole["error"], whole["code"]) == ("InternalServerError", code)
    for told in (stream, helper):
        assert (told["error"], told["code"], told["type"]) == ("APIError", code, "server_error")
        assert told["heard"] == "one two "


@pytest.mark.parametrize("way", ["break", "abort", "signal", "helper"])
def test_leaving_a_stream_closes_the_upstream(serve: Serve, way: str):
    endless = [Send(event_stream_head()), *[Send(chunk(said("word "))) for _ in range(20)], Hang()]
    with scripted(serve, lambda: ScriptServer(endless)) as (gateway, upstream):
        process = subprocess.Popen(
            runtime.command("leave.mjs", way),
            env=runtime.variables({"BASE_URL": gateway.url + "/v1"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "left\n"
            gateway.until_idle()
            assert process.poll() is None, "the SDK left, and not just the process"
            process.communicate(timeout=10)
        assert len(upstream.requests) == 1 and not upstream.open_connections


def test_the_scripts_can_fail(serve: Serve):
    """A gateway that breaks every answer must not pass the scenarios."""
    with scripted(serve, lambda: ScriptServer(streaming(Hang())), idle_timeout=0.2) as (gateway, _):
        done = runtime.run("sdk.mjs", BASE_URL=gateway.url + "/v1", MODEL="m")
    assert done.returncode != 0
    assert "not ok" in done.stdout or "✖" in done.stdout
