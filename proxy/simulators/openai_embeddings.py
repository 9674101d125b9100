"""Embeddings of the stand-in: a strict look at what is asked, and vectors in the form that a server gives them.

Some servers know base64, others answer with numbers whatever was asked; the sloppy one says neither which vector
belongs to which text nor what it cost. The vectors are those of the gateway's built-in model.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from translators.errors import BadRequest, NotFound
from translators.vectors import vector

_FIELDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "input": (str, list),
    "encoding_format": (str,),
    "dimensions": (int,),
    "user": (str,),
}
_MOST_INPUTS = 2048
_MOST_TOKENS = 8192


@frozen
class Embedder:
    """What one kind of server has."""

    models: Mapping[str, int]
    """And how long their vectors are."""
    base64: bool = True
    whole: bool = True
    """Whether every member is there."""


EMBEDDERS = {
    "openai": Embedder({"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}),
    "ollama": Embedder({"nomic-embed-text": 768}, base64=False),
    "vllm": Embedder({"BAAI/bge-small-en": 384}),
    "sloppy": Embedder({"sloppy-embed": 16}, base64=False, whole=False),
}


def embedded(embedder: Embedder, body: Any, *, strict: bool, numbers_only: bool) -> dict[str, Any]:
    """The answer; raises what a server says to a bad question. ``numbers_only`` refuses the word base64."""
    request = _checked(body, strict)
    if request["model"] not in embedder.models:
        raise NotFound(
            f"The model `{request['model']}` does not exist.", param="model", code="model_not_found"
        )
    packed = request.get("encoding_format") == "base64"
    if packed and numbers_only:
        raise BadRequest("encoding_format: only 'float' is supported", param="encoding_format")
    size = request.get("dimensions", embedder.models[request["model"]])
    if not 1 <= size <= embedder.models[request["model"]]:
        raise BadRequest("Invalid 'dimensions'.", param="dimensions", code="integer_above_max_value")
    inputs = _inputs(request["input"])
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _form(vector(one, size), packed and embedder.base64),
        }
        for index, one in enumerate(inputs)
    ]
    if not embedder.whole:
        return {"data": [{"embedding": item["embedding"]} for item in data]}
    tokens = sum(len(one) for one in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


def _form(numbers: list[float], packed: bool) -> list[float] | str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if packed else numbers


def _checked(body: Any, strict: bool) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    request = {name: value for name, value in body.items() if value is not None}
    for name, value in request.items():
        if name not in _FIELDS and strict:
            raise BadRequest(f"Unrecognized request argument supplied: {name}", code="unknown_parameter")
        if name in _FIELDS and type(value) not in _FIELDS[name]:
            raise BadRequest(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name in ("model", "input"):
        if name not in request:
            raise BadRequest(f"Missing required parameter: '{name}'.", param=name)
    if request.get("encoding_format", "float") not in ("float", "base64"):
        raise BadRequest("Invalid value for 'encoding_format'.", param="encoding_format")
    return request


def _inputs(given: str | list[Any]) -> Sequence[str | list[int]]:
    single = isinstance(given, str) or all(type(item) is int for item in given)
    inputs: list[Any] = [given] if single else [*given]
    if len(inputs) > _MOST_INPUTS:
        raise BadRequest("'input' has too many items.", param="input")
    for one in inputs:
        tokens = isinstance(one, list) and len(one) <= _MOST_TOKENS and all(type(item) is int for item in one)
        if not one or not (isinstance(one, str) or tokens):
            raise BadRequest("'$.input' is invalid.", param="input")
    return inputs
