"""Bad embedding requests by table, and answers of upstreams that are odd, broken or hostile, short and long."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators import embeddings as module
from translators.embeddings import LONG, LONGEST, MOST_INPUTS, Embed, rendered, retold
from translators.errors import BadRequest, UpstreamMalformed

MISSING, TYPE, VALUE, EMPTY = "missing_required_parameter", "invalid_type", "invalid_value", "empty_array"


def body(given: Any = "a", **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": given, **more}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"input": "a"}, "model", MISSING),
    ({"model": "m"}, "input", MISSING),
    (body(None), "input", MISSING),
    (body(model=" "), "model", MISSING),
    (body(""), "input", "empty_string"),
    (body(7), "input", TYPE),
    (body({}), "input", TYPE),
    (body([]), "input", EMPTY),
    (body([""]), "input[0]", "empty_string"),
    (body(["a", ""]), "input[1]", "empty_string"),
    (body(["a", 1]), "input[1]", TYPE),
    (body(["a", [1]]), "input[1]", TYPE),
    (body([None]), "input[0]", TYPE),
    (body([True]), "input[0]", TYPE),
    (body([1, "a"]), "input", TYPE),
    (body([1, 1.5]), "input", TYPE),
    (body([1, True]), "input", TYPE),
    (body([1, -1]), "input", VALUE),
    (body([[1], []]), "input[1]", EMPTY),
    (body([[1], "a"]), "input[1]", TYPE),
    (body([[1], [[1]]]), "input[1]", TYPE),
    (body(["a"] * (MOST_INPUTS + 1)), "input", "array_above_max_length"),
    (body(encoding_format="int8"), "encoding_format", VALUE),
    (body(dimensions=0), "dimensions", "integer_below_min_value"),
    (body(dimensions=1.5), "dimensions", TYPE),
    (body(dimensions=True), "dimensions", TYPE),
    (body(user=1), "user", TYPE),
]


@pytest.mark.parametrize(("asked", "param", "code"), BAD)
def test_what_is_wrong_is_said(asked: dict[str, Any], param: str, code: str):
    with pytest.raises(BadRequest) as caught:
        Embed.read(asked)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 0], [[1, 0]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a"] * MOST_INPUTS, ["a"] * MOST_INPUTS),
        ([1] * (MOST_INPUTS + 1), [[1] * (MOST_INPUTS + 1)]),
    ],
)
def test_the_four_forms_of_input(given: Any, inputs: list[Any]):
    embed = Embed.read(body(given, dimensions=None, anything="else"))
    assert list(embed.inputs) == inputs
    assert embed.body == body(given, anything="else")
    assert (embed.base64, embed.dimensions) == (False, None)
    assert embed.longest <= LONGEST


# Answers.


def two(form: str = "float") -> Embed:
    return Embed.read(body(["a", "b"], encoding_format=form))


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def answer(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "theirs", **more}).encode()


def joined(embed: Embed, raw: bytes) -> dict[str, Any]:
    return json.loads(b"".join(retold(embed, raw).pieces))


@pytest.fixture(params=["short", "long"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same answers, once read as a whole and once cut at their items."""
    if request.param == "long":
        monkeypatch.setattr(module, "LONG", 0)
    return request.param


def test_a_plain_answer(size: str):
    told = joined(two(), answer([0.5, -1], [1e-30, 2], usage={"prompt_tokens": 3}, extra=[{"a": "]"}]))
    assert told == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1]},
            {"object": "embedding", "index": 1, "embedding": [1e-30, 2]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3},
        "extra": [{"a": "]"}],
    }
    assert retold(two(), answer([1], [1])).long == (size == "long")


def test_the_form_is_the_clients(size: str):
    numbers, words = [[0.5, -1.0], [2.0, 3.0]], [packed(0.5, -1), packed(2, 3)]
    for vectors in (numbers, words):
        for form, wanted in (("float", numbers), ("base64", words)):
            assert [one["embedding"] for one in joined(two(form), answer(*vectors))["data"]] == wanted


def test_what_is_left_out_is_put_in(size: str):
    raw = b'{ "data" : [ {"embedding" : [1], "more": {"deep": {"er": {}}} } , {"embedding":[2]} ] }'
    told = joined(two(), raw)
    assert told["data"] == [
        {"object": "embedding", "index": 0, "embedding": [1], "more": {"deep": {"er": {}}}},
        {"object": "embedding", "index": 1, "embedding": [2]},
    ]
    assert (told["object"], told["model"], "usage" in told) == ("list", "m", False)


GOOD = {"embedding": [1]}
BROKEN: list[Any] = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"<html>",
    b'{"data":[',
    b'{"data":[{"embedding":[1]},',
    b'{"data":[{"embedding":[1]},{"embedding":[1',
    b'{"data":[{"embedding":[1]},{"embedding":[1]}',
    b'{"data":[{"embedding":[1]},{"embedding":[1]}]',
    b'{"data":[{"embedding":[1]},{"embedding":[1]}]}}',
    b'["data":[{"embedding":[1]},{"embedding":[1]}]]',
    b'{"data":[1,2]}',
    b'{"data":{"a":1}}',
    {"data": [GOOD]},
    {"data": [GOOD] * 3},
    {"data": [GOOD, {}]},
    {"data": [GOOD, 7]},
    {"data": [GOOD, {"embedding": []}]},
    {"data": [GOOD, {"embedding": ""}]},
    {"data": [GOOD, {"embedding": "AAAA"}]},
    {"data": [GOOD, {"embedding": "????????"}]},
    {"data": [GOOD, {"embedding": "AACAfw=="}]},
    {"data": [GOOD, {"embedding": [None]}]},
    {"data": [GOOD, {"embedding": [True]}]},
    {"data": [GOOD, {"embedding": [[1]]}]},
    {"data": [GOOD, {"embedding": [1], "index": 2}]},
    {"data": [GOOD, {"embedding": [1], "index": -1}]},
    {"data": [GOOD, {"embedding": [1], "index": "1"}]},
    {"data": [GOOD, {"embedding": [1], **{str(n): {} for n in range(40)}, "x": {"y": {}}}], "z": 1},
]


@pytest.mark.parametrize("raw", BROKEN)
def test_what_cannot_be_read_is_the_upstreams_fault(size: str, raw: Any):
    if size == "short" and raw == BROKEN[-1]:
        assert len(joined(two(), json.dumps(raw).encode())["data"]) == 2  # only a long one has to be plain
        return
    with pytest.raises(UpstreamMalformed):
        joined(two(), raw if isinstance(raw, bytes) else json.dumps(raw).encode())


def test_numbers_that_32_bits_cannot_hold(size: str):
    with pytest.raises(UpstreamMalformed, match="too large"):
        joined(two("base64"), answer([1e300], [1]))


def test_a_list_whose_rest_is_another_kind_of_document(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LONG", 0)
    with pytest.raises(UpstreamMalformed):
        joined(two(), b'["data",{"x":1,"data":[{"embedding":[1]},{"embedding":[1]}]}]')


@given(st.binary(max_size=200))
def test_garbage_is_never_more_than_malformed(raw: bytes):
    for start in (b"", b'{"data":[', b'{"data":[{"embedding":[1]},{'):
        for pieces in (module._short(two(), start + raw), module._long(two(), start + raw)):
            try:
                b"".join(pieces)
            except UpstreamMalformed:
                continue


def test_a_long_answer_is_as_good_as_a_short_one():
    vectors = [[math.sin(at * 1000 + n) for n in range(700)] for at in range(40)]
    embed = Embed.read(body(["a"] * 40))
    raw = answer(*vectors)
    assert len(raw) > LONG and retold(embed, raw).long
    assert [one["embedding"] for one in joined(embed, raw)["data"]] == vectors


def test_an_answer_made_here():
    told = json.loads(b"".join(rendered(two(), [([0.5], 2), ([1.0], 3)])))
    assert told["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert [one["embedding"] for one in told["data"]] == [[0.5], [1.0]]
