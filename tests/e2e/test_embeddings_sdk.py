"""Embeddings by the official SDK, from every kind of upstream that has them: in both forms, of texts and of tokens.

Vectors are compared with those that the built-in model makes of the same text, for the stand-in makes them, too.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from proxy.config import Alias, Secret, Upstream
from proxy.errands import MAX_REPLY
from proxy.simulators.openai import Failure, Knobs, OpenAIStandIn
from tests.e2e.sdk_setup import Backend, Serve, async_sdk, hosted, sdk, started
from tests.support.gateway import GatewayThread, builtin_upstream, config_of, openai_upstream
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.openai import OpenAISettings
from translators.vectors import vector

TEXTS = ["the cat sat on the mat", "Grüße 🙂", "x" * 3000]
BACKENDS = (
    (Backend("builtin", "text-embedding-3-small"), 1536),
    (Backend("openai", "text-embedding-3-small"), 1536),
    (Backend("ollama", "nomic-embed-text"), 768),
    (Backend("vllm", "BAAI/bge-small-en"), 384),
    (Backend("sloppy", "sloppy-embed"), 16),
)
each = pytest.mark.parametrize(("backend", "size"), BACKENDS, ids=[backend.name for backend, _ in BACKENDS])


@pytest.fixture
def served() -> Iterator[Serve]:
    """Where only one way matters: nothing here is relayed."""
    with ExitStack() as running:

        def start(*upstreams: Upstream, **sections: Any) -> GatewayThread:
            return running.enter_context(GatewayThread(config_of(*upstreams, **sections), "uvloop"))

        yield start


def near(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6


def unpacked(text: str) -> list[float]:
    raw = base64.b64decode(text)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


@each
@pytest.mark.parametrize("form", [openai.omit, "float"], ids=["base64", "float"])
def test_texts(served, backend: Backend, size: int, form: str):
    with started(served, backend) as (url, _), sdk(url) as client:
        made = client.embeddings.create(model=backend.model, input=TEXTS, encoding_format=form)
    assert (made.object, made.model) == ("list", backend.model)
    assert [item.index for item in made.data] == [0, 1, 2]
    for item, text in zip(made.data, TEXTS, strict=True):
        assert near(item.embedding, vector(text, size))
    if backend.name != "sloppy":
        assert made.usage.prompt_tokens == made.usage.total_tokens > 0


@each
async def test_tokens_by_the_async_client(served, backend: Backend, size: int):
    with started(served, backend) as (url, _):
        async with async_sdk(url) as client:
            one = await client.embeddings.create(model=backend.model, input=[1, 2, 3])
            two = await client.embeddings.create(model=backend.model, input=[[1, 2, 3], [4]], dimensions=8)
    assert near(one.data[0].embedding, vector([1, 2, 3], size))
    assert [len(item.embedding) for item in two.data] == [8, 8]
    assert near(two.data[1].embedding, vector([4], 8))


def test_what_the_client_asked_is_what_the_upstream_hears(served):
    with hosted(lambda: OpenAIStandIn("openai")) as stand_in:
        alias = Alias("up", "text-embedding-3-small", OpenAISettings())
        gateway = served(openai_upstream(stand_in.url), models={"ours": alias})
        with sdk(gateway.url + "/v1") as client:
            made = client.embeddings.create(model="ours", input="a", dimensions=4, user="me")
        asked = json.loads(stand_in.requests[-1].body)
    assert made.model == "ours"
    assert asked == {
        "model": "text-embedding-3-small",
        "input": "a",
        "dimensions": 4,
        "user": "me",
        "encoding_format": "base64",
    }


def test_an_upstream_that_refuses_base64_is_asked_for_numbers(served):
    with hosted(lambda: OpenAIStandIn("vllm", knobs=Knobs(numbers_only=True))) as stand_in:
        with sdk(served(openai_upstream(stand_in.url)).url + "/v1") as client:
            made = client.embeddings.with_raw_response.create(
                model="BAAI/bge-small-en", input="a", encoding_format="base64"
            )
        assert [json.loads(asked.body)["encoding_format"] for asked in stand_in.requests] == [
            "base64",
            "float",
        ]
    assert near(unpacked(json.loads(made.text)["data"][0]["embedding"]), vector("a", 384))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("form", "size"), [("base64", 800), ("float", 220)])
def test_two_thousand_vectors(served, form: str, size: int):
    """Past what plans usually may bring, and read item by item."""
    texts = [f"text {number}" for number in range(2048)]
    with (
        started(served, Backend("openai", "text-embedding-3-small")) as (url, _),
        sdk(url, timeout=50) as client,
    ):
        made = client.embeddings.with_raw_response.create(
            model="text-embedding-3-small", input=texts, dimensions=size, encoding_format=form
        )
    assert len(made.content) > MAX_REPLY
    document = json.loads(made.content)
    assert [item["index"] for item in document["data"]] == list(range(2048))
    last = document["data"][2047]["embedding"]
    assert near(unpacked(last) if form == "base64" else last, vector("text 2047", size))
    assert document["usage"]["prompt_tokens"] > 0


REFUSALS = [
    (Failure(401), openai.InternalServerError, "upstream_auth_failed"),
    (Failure(404, body=b"<html>no</html>"), openai.BadRequestError, "model_not_supported_endpoint"),
    (Failure(429, retry_after="7"), openai.RateLimitError, "rate_limit_exceeded"),
    (Failure(500, "It broke."), openai.InternalServerError, "upstream_error"),
    (Failure(200, body=b"{}"), openai.InternalServerError, "bad_upstream_response"),
    (Failure(206, body=b"{}"), openai.InternalServerError, "bad_upstream_response"),
]


@pytest.mark.parametrize(("failure", "error", "code"), REFUSALS)
def test_refusals(served, failure: Failure, error: type[openai.APIStatusError], code: str):
    with started(served, Backend("openai", "m")) as (url, stand_in), sdk(url) as client:
        stand_in.knobs.failures.append(failure)
        with pytest.raises(error) as caught:
            client.embeddings.create(model="text-embedding-3-small", input="a")
    assert caught.value.code == code
    assert caught.value.response.headers.get("Retry-After") == failure.retry_after


def test_an_upstream_without_embeddings_says_which_it_is(served):
    bot = Upstream(
        "bots", "coze", "http://127.0.0.1:9", Secret("k"), ("bot",), options=CozeSettings(bot_id="1")
    )
    with sdk(served(builtin_upstream(), bot).url + "/v1") as client:
        with pytest.raises(openai.BadRequestError, match="`bots`, which makes no embeddings"):
            client.embeddings.create(model="bot", input="a")
        with pytest.raises(openai.BadRequestError, match="greater than the 1536"):
            client.embeddings.create(model="demo", input="a", dimensions=1537)


def test_a_search_that_means_something(served):
    """The real small model, whose weights come with its wheel."""
    texts = ["A kitten rests on the rug.", "The stock market fell again.", "Bake the bread for an hour."]
    with sdk(served(builtin_upstream()).url + "/v1") as client:
        made = client.embeddings.create(model="demo/wordllama", input=["Where is my cat asleep?", *texts])
        short = client.embeddings.create(model="demo/wordllama", input=texts[0], dimensions=64)
        with pytest.raises(openai.BadRequestError, match="text only"):
            client.embeddings.create(model="demo/wordllama", input=[1, 2])
    question, *others = (item.embedding for item in made.data)
    found = [sum(a * b for a, b in zip(question, other, strict=True)) for other in others]
    assert len(question) == 256 and found[0] == max(found)
    assert made.usage.prompt_tokens > 10
    assert len(short.data[0].embedding) == 64
    assert sum(part * part for part in short.data[0].embedding) == pytest.approx(1, abs=1e-5)
