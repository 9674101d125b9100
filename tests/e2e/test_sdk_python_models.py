"""Model names as clients write them: listed, aliased, with slashes and colons, raw and escaped.

The name the client used is the name in every frame; the upstream hears its own.
"""

from __future__ import annotations

import http.client
import json

import openai
import pytest

from proxy.config import Alias
from proxy.simulators.openai import OpenAIStandIn
from tests.e2e.sdk_setup import COUNTED, COUNTING, Serve, hosted, sdk
from tests.support.gateway import builtin_upstream, openai_upstream
from translators.upstreams.openai import OpenAISettings

pytestmark = pytest.mark.two_ways

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
NAMES = ("demo", "llama3.2:3b", LLAMA, "ollama/llama3.2:3b", "our favourite: v1/α")


def gateway(serve: Serve, ollama: OpenAIStandIn, vllm: OpenAIStandIn):
    return serve(
        builtin_upstream(),
        openai_upstream(ollama.url, "ollama", models=("llama3.2:3b",)),
        openai_upstream(vllm.url, "vllm", models=(LLAMA,)),
        models={
            "ollama/llama3.2:3b": Alias("ollama", "llama3.2:3b", OpenAISettings()),
            "our favourite: v1/α": Alias("vllm", LLAMA, OpenAISettings()),
        },
        default_upstream=None,
    )


@pytest.fixture
def stand_ins():
    with hosted(lambda: OpenAIStandIn("ollama")) as ollama, hosted(lambda: OpenAIStandIn("vllm")) as vllm:
        yield ollama, vllm


def test_every_name_is_listed_and_can_be_retrieved(serve: Serve, stand_ins):
    with sdk(gateway(serve, *stand_ins).url + "/v1") as client:
        listed = client.models.list()
        assert [model.id for model in listed] == list(NAMES)
        assert not listed.has_next_page()
        for name in NAMES:
            model = client.models.retrieve(name)
            assert (model.id, model.object) == (name, "model")
            assert model.created > 0 and model.owned_by in ("demo", "ollama", "vllm")


@pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
def test_a_slash_and_a_colon_may_be_escaped_or_not(serve: Serve, stand_ins, escaped: bool):
    name = "ollama/llama3.2:3b"
    path = name.replace("/", "%2F").replace(":", "%3A") if escaped else name
    connection = http.client.HTTPConnection("127.0.0.1", gateway(serve, *stand_ins).port, timeout=5)
    connection.request("GET", f"/v1/models/{path}")
    response = connection.getresponse()
    assert (response.status, json.load(response)["id"]) == (200, name)
    connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_clients_name_is_in_every_frame(serve: Serve, stand_ins, name: str):
    with sdk(gateway(serve, *stand_ins).url + "/v1") as client:
        with client.chat.completions.create(model=name, messages=COUNTING, stream=True) as stream:
            chunks = list(stream)
        whole = client.chat.completions.create(model=name, messages=COUNTING)
    assert {chunk.model for chunk in chunks} == {whole.model} == {name}
    assert whole.choices[0].message.content == COUNTED


def test_a_prefix_names_the_upstream_and_is_not_sent_to_it(serve: Serve, stand_ins):
    ollama, vllm = stand_ins
    with sdk(gateway(serve, ollama, vllm).url + "/v1") as client:
        client.chat.completions.create(model="ollama/qwen3:8b", messages=COUNTING)
        client.chat.completions.create(model=f"vllm/{LLAMA}", messages=COUNTING)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody/qwen3:8b", messages=COUNTING)
    assert ollama.requests[-1].document["model"] == "qwen3:8b"
    assert vllm.requests[-1].document["model"] == LLAMA


def test_any_name_goes_to_the_default_upstream(serve: Serve):
    url = serve(builtin_upstream()).url + "/v1"
    with sdk(url) as client:
        whole = client.chat.completions.create(model="gpt-99", messages=COUNTING)
    assert (whole.model, whole.choices[0].message.content) == ("gpt-99", COUNTED)
