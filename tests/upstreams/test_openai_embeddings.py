"""Embeddings of an OpenAI-shaped server: what is asked, once or twice, and what its answers and refusals mean."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from tests.upstreams.coze_setup import Errands, asked
from translators.embeddings import Embed, Embedded, InProcess
from translators.errors import (
    BadRequest,
    GatewayError,
    NotFound,
    RateLimited,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
)
from translators.upstreams.builtin import Builtin, BuiltinSettings
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import ANYBODY, Reply
from translators.vectors import vector

NUMBERS = [0.5, -1.0]
PACKED = base64.b64encode(struct.pack("<2f", *NUMBERS)).decode()


def embed(**members: Any) -> Embed:
    return Embed.read({"model": "ours", "input": "a", **members})


def answer(vector: Any = NUMBERS, **members: Any) -> Reply:
    item = {"object": "embedding", "index": 0, "embedding": vector}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Reply(200, json.dumps({"data": [item], "model": "real", "usage": usage, **members}).encode())


def refused(message: str, status: int = 400, headers: Mapping[str, str] | None = None, **error: Any) -> Reply:
    return Reply(status, json.dumps({"error": {"message": message, **error}}).encode(), headers or {})


def vectors(errands: Errands, wanted: Embed, model: str = "real") -> dict[str, Any]:
    """The answer that the client gets."""
    plan = OpenAI.embeddings(OpenAISettings(), ANYBODY, model, wanted)
    assert not isinstance(plan, Embedded | InProcess)
    return document(errands.carry_out(plan))


def document(made: Embedded) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(b"".join(made.pieces))
    return told


def test_only_the_name_of_the_model_changes() -> None:
    wanted = embed(dimensions=2, user="me", encoding_format="base64", odd={"x": [1]})
    errands = Errands([answer(PACKED)])
    told = vectors(errands, wanted)
    [call] = errands.calls
    assert (call.method, call.path, call.longest) == ("POST", "embeddings", wanted.longest)
    assert asked(call) == {**wanted.body, "model": "real"}
    assert told["model"] == "ours"
    assert told["data"] == [{"object": "embedding", "index": 0, "embedding": PACKED}]
    assert told["usage"] == {"prompt_tokens": 1, "total_tokens": 1}


def test_numbers_are_asked_for_by_who_wants_numbers() -> None:
    errands = Errands([answer()])
    assert vectors(errands, embed())["data"][0]["embedding"] == NUMBERS
    assert "encoding_format" not in asked(errands.calls[0])


REFUSALS_OF_BASE64 = [
    refused("Unknown value.", param="encoding_format"),
    refused("encoding_format must be float"),
    refused("This server knows no base64.", 422),
]


@pytest.mark.parametrize("no", REFUSALS_OF_BASE64)
def test_who_refuses_base64_is_asked_for_numbers(no: Reply) -> None:
    errands = Errands([no, answer()])
    told = vectors(errands, embed(encoding_format="base64", user="me"))
    first, second = map(asked, errands.calls)
    assert (first["encoding_format"], second["encoding_format"]) == ("base64", "float")
    assert {**first, "encoding_format": ""} == {**second, "encoding_format": ""}
    assert told["data"][0]["embedding"] == PACKED


def test_nobody_is_asked_twice_without_need() -> None:
    for wanted, no, kind in (
        (embed(), REFUSALS_OF_BASE64[0], UpstreamRejected),
        (embed(encoding_format="float"), REFUSALS_OF_BASE64[0], UpstreamRejected),
        (embed(encoding_format="base64"), refused("Input too long.", param="input"), UpstreamRejected),
        (embed(encoding_format="base64"), refused("base64 broke", 500), UpstreamError),
    ):
        errands = Errands([no])
        with pytest.raises(kind):
            vectors(errands, wanted)
        assert len(errands.calls) == 1


def test_a_second_refusal_is_the_answer() -> None:
    errands = Errands([REFUSALS_OF_BASE64[0], refused("Slow down.", 429, {"Retry-After": "2.5"})])
    with pytest.raises(RateLimited) as caught:
        vectors(errands, embed(encoding_format="base64"))
    assert (caught.value.retry_after, len(errands.calls)) == (2.5, 2)


REFUSED: list[tuple[Reply, type[GatewayError], str | None]] = [
    (refused("no", 401), UpstreamAuthFailed, "upstream_auth_failed"),
    (Reply(404, b"<html>no</html>"), BadRequest, "model_not_supported_endpoint"),
    (Reply(405, b""), BadRequest, "model_not_supported_endpoint"),
    (refused("No such model.", 404, code="model_not_found"), NotFound, "model_not_found"),
    (refused("It broke.", 500), UpstreamError, "upstream_error"),
    (Reply(200, b"{}"), UpstreamMalformed, "bad_upstream_response"),
    (Reply(200, b"<html>"), UpstreamMalformed, "bad_upstream_response"),
    (Reply(206, b"{}"), UpstreamMalformed, "bad_upstream_response"),
    (Reply(302, b""), UpstreamMalformed, "bad_upstream_response"),
]


@pytest.mark.parametrize(("reply", "kind", "code"), REFUSED)
def test_refusals(reply: Reply, kind: type[GatewayError], code: str | None) -> None:
    with pytest.raises(kind) as caught:
        vectors(Errands([reply]), embed())
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_a_success_without_vectors_says_its_status() -> None:
    with pytest.raises(UpstreamMalformed, match="status 206 and no vectors"):
        vectors(Errands([Reply(206, b"{}")]), embed())


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("7", 7.0), ("0.25", 0.25), ("", None), ("soon", None), ("-1", None), ("1e3", None), ("9" * 7, None)],
)
def test_when_to_ask_again(told: str, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as caught:
        vectors(Errands([refused("Slow down.", 429, {"Retry-After": told})]), embed())
    assert caught.value.retry_after == seconds


# The gateway's own model.


def own(model: str, wanted: Embed) -> Embedded | InProcess:
    return Builtin.embeddings(BuiltinSettings(), ANYBODY, model, wanted)


def test_the_built_in_model_makes_vectors_itself() -> None:
    made = own("demo", embed(input=["a", "b"], dimensions=8))
    assert isinstance(made, Embedded) and not made.long
    told = document(made)
    assert [item["embedding"] for item in told["data"]] == [vector("a", 8), vector("b", 8)]
    assert (told["model"], told["usage"]) == ("ours", {"prompt_tokens": 2, "total_tokens": 2})


def test_vectors_that_take_long_to_make_are_told_apart() -> None:
    made = own("text-embedding-3-large", embed(input=["a"] * 7))
    assert isinstance(made, Embedded) and made.long
    assert [len(item["embedding"]) for item in document(made)["data"]] == [3072] * 7


def test_a_vector_can_only_be_as_long_as_the_model_has_it() -> None:
    with pytest.raises(BadRequest) as caught:
        own("demo", embed(dimensions=1537))
    assert caught.value.param == "dimensions"


def test_the_real_small_model_is_run_by_the_gateway() -> None:
    assert own("wordllama", embed()) == InProcess("wordllama")
