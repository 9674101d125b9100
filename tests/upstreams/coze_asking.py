"""What Coze is asked for a request, in one call: the question, its messages, or why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.coze_setup import Errands, asked, coze
from translators.errors import BadRequest
from translators.upstreams.coze import Coze
from translators.upstreams.plan import Call


def call_of(upstream: Coze) -> Call:
    call = Errands().ask(upstream)
    assert isinstance(call, Call)
    return call


def messages_of(*messages: Any, **settings: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = asked(call_of(coze({"messages": [*messages]}, **settings)))[
        "additional_messages"
    ]
    return told


def refused(upstream: Coze) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        Errands().ask(upstream)
    return caught.value


def image(url: str = "https://img.example.org/b.png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
