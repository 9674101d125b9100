"""What a check of an upstream asks, and in which words it tells what came back."""

from __future__ import annotations

import pytest

from tests.upstreams.coze_setup import Errands, bad, good
from translators.errors import GatewayError, UpstreamAuthFailed, UpstreamError, UpstreamMalformed
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import Reply


def test_models_are_counted() -> None:
    errands = Errands([Reply(200, b'{"data":[{"id":"a"},{"id":"b"}]}')])
    assert errands.carry_out(OpenAI.check(OpenAISettings())) == "2 models"
    assert [(call.method, call.path) for call in errands.calls] == [("GET", "models")]


REFUSED: list[tuple[Reply, type[GatewayError], str]] = [
    (Reply(401, b""), UpstreamAuthFailed, "refused the key (HTTP 401)"),
    (Reply(403, b""), UpstreamAuthFailed, "refused the key (HTTP 403)"),
    (Reply(404, b""), UpstreamError, "has no list of models at this address (HTTP 404)"),
    (Reply(500, b"sk-secret"), UpstreamError, "answered (HTTP 500)"),
    (Reply(200, b"<html>"), UpstreamMalformed, "answered with something that is not JSON"),
    (Reply(200, b"[]"), UpstreamMalformed, "answered with JSON that is not a list of models"),
    (Reply(200, b'{"data":{}}'), UpstreamMalformed, "answered with JSON that is not a list of models"),
]


@pytest.mark.parametrize(("reply", "kind", "words"), REFUSED)
def test_anything_else_is_a_failure(reply: Reply, kind: type[GatewayError], words: str) -> None:
    with pytest.raises(kind) as raised:
        Errands([reply]).carry_out(OpenAI.check(OpenAISettings()))
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("id", "words"), [("75", "account 75"), (75, "account 75"), (None, "account without an id")]
)
def test_coze_says_whose_token_it_is(id: object, words: str) -> None:
    errands = Errands([good({"user_id": id, "user_name": "ada"})])
    assert errands.carry_out(Coze.check(CozeSettings())) == words
    assert [(call.method, call.path) for call in errands.calls] == [("GET", "v1/users/me")]


def test_coze_says_no_with_a_200() -> None:
    with pytest.raises(UpstreamAuthFailed, match="coze code 4100"):
        Errands([bad(4100)]).carry_out(Coze.check(CozeSettings()))
