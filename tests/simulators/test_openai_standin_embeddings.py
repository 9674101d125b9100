"""The stand-in's embeddings: strict about what is asked, and as different as the servers are."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.simulators.openai_embeddings import EMBEDDERS, embedded
from translators.errors import BadRequest, GatewayError, NotFound

OPENAI = EMBEDDERS["openai"]
MODEL = "text-embedding-3-small"


def ask(
    embedder: Any = OPENAI, model: str = MODEL, strict: bool = True, numbers_only: bool = False, **body: Any
):
    asked = {"model": model, "input": "a", **body}
    return embedded(embedder, asked, strict=strict, numbers_only=numbers_only)


BAD: list[tuple[dict[str, Any], str | None]] = [
    ({"input": None}, "input"),
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["a", ""]}, "input"),
    ({"input": ["a", 1]}, "input"),
    ({"input": [[1], ["a"]]}, "input"),
    ({"input": [1] * 8193}, "input"),
    ({"input": ["a"] * 2049}, "input"),
    ({"input": 1}, "input"),
    ({"dimensions": True}, "dimensions"),
    ({"dimensions": 0}, "dimensions"),
    ({"dimensions": 1537}, "dimensions"),
    ({"encoding_format": "int8"}, "encoding_format"),
    ({"encoding_format": "base64", "numbers_only": True}, "encoding_format"),
    ({"stream": True}, None),
]


@pytest.mark.parametrize(("body", "param"), BAD)
def test_what_it_refuses(body: dict[str, Any], param: str | None):
    with pytest.raises(BadRequest) as caught:
        ask(**body)
    assert caught.value.param == param


def test_what_is_no_question_at_all():
    with pytest.raises(GatewayError):
        embedded(OPENAI, [], strict=True, numbers_only=False)
    with pytest.raises(NotFound):
        ask(model="gpt-4o-mini")


def test_forms_and_sizes():
    assert len(ask()["data"][0]["embedding"]) == 1536
    assert type(ask(encoding_format="base64")["data"][0]["embedding"]) is str
    ollama = ask(EMBEDDERS["ollama"], "nomic-embed-text", strict=False, encoding_format="base64", other=1)
    assert len(ollama["data"][0]["embedding"]) == 768
    assert ask(EMBEDDERS["sloppy"], "sloppy-embed", input=["a", "b"]).keys() == {"data"}
    assert [one["index"] for one in ask(input=[[1], [2, 3]], dimensions=2)["data"]] == [0, 1]
