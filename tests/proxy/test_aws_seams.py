"""An upstream with an identity at Amazon in a whole gateway: no address is configured, and every call is signed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from proxy.config import Config, Secret, Upstream
from proxy.probe import probe
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import ScriptServer, Step, stream
from tests.proxy.aws_setup import OWN_KEYS, bare, fault, signed_names
from tests.proxy.wires_setup import says
from tests.support.gateway import GatewayThread, openai_upstream
from tests.support.upstream import ScriptThread, answer, text_of
from translators.upstreams.openai import OpenAI, OpenAISettings

__all__ = ["bare"]


@pytest.fixture(autouse=True)
def signing(bare: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """OpenAI-shaped upstreams, as if they were Amazon's."""
    bare.setattr(OpenAI, "credential", classmethod(lambda cls, settings, base_url: OWN_KEYS))
    return bare


def script(asked: Recorded) -> list[Step]:
    assert fault(asked) == ""
    return stream(answer(5))


def test_an_answer_streams_over_signed_wires(
    signing: pytest.MonkeyPatch, serve: Callable[..., GatewayThread]
) -> None:
    with ScriptThread(script) as upstream:
        signing.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", f"{upstream.url}/v1")
        gateway = serve(openai_upstream(""))
        question = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        request = urllib.request.Request(
            f"{gateway.url}/v1/chat/completions",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            lines = [line[6:] for line in response.read().split(b"\n") if line.startswith(b"data: {")]
        choices = [choice for line in lines for choice in json.loads(line)["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == text_of(5)
        [asked] = upstream.requests
        assert (asked.path, signed_names(asked)) == ("/v1/chat/completions", "content-type;host;x-amz-date")


async def test_a_probe_asks_at_the_address_that_amazons_tools_find(signing: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def models(asked: Recorded) -> list[Step]:
        seen.append(fault(asked))
        return says(b'{"data":[{"id":"a"}]}')

    async with ScriptServer(models) as server:
        signing.setenv("AWS_ENDPOINT_URL", server.url)
        options: Any = OpenAISettings()
        up = Upstream("up", "openai", options=options)
        with_key = Upstream("key", "openai", api_key=Secret("k"), options=options)
        found = await probe(Config(upstreams={"up": up, "key": with_key}))
        bearers = [asked.headers["Authorization"] for asked in server.requests if asked.path == "/models"]
    assert [(one.ok, one.detail) for one in found] == [(True, "1 models")] * 2
    assert sorted(seen) == ["", "MissingAuthenticationTokenException"]
    assert "Bearer k" in bearers
