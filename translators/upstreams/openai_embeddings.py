"""POST /embeddings of an OpenAI-shaped server: forwarded with only the model's name changed.

Servers that know no base64 answer with numbers all the same, and the answer is converted; the few that refuse the
word are asked again for numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from translators import wirejson
from translators.embeddings import Embed, Embedded, retold
from translators.errors import BadRequest, GatewayError, UpstreamError, UpstreamMalformed
from translators.upstreams.openai_errors import refusal_error
from translators.upstreams.plan import Call, Plan, Reply

_SECONDS = re.compile(r"\d{1,6}(?:\.\d{1,6})?", re.ASCII)


def embeddings(model: str, embed: Embed) -> Plan[Embedded]:
    body = {**embed.body, "model": model}
    reply: Reply = yield _call(body, embed)
    error = _refusal(reply)
    if error is not None and embed.base64 and _knows_no_base64(error):
        reply = yield _call({**body, "encoding_format": "float"}, embed)
        error = _refusal(reply)
    if error is not None:
        raise error
    return retold(embed, reply.body)


def _call(body: Mapping[str, Any], embed: Embed) -> Call:
    return Call("POST", "embeddings", wirejson.dumps(body), longest=embed.longest)


def _refusal(reply: Reply) -> GatewayError | None:
    if reply.status == 200:
        return None
    if reply.status < 300:
        return UpstreamMalformed(f"The upstream answered with status {reply.status} and no vectors.")
    error = refusal_error(reply.status, reply.body, _retry_after(reply))
    if reply.status in (404, 405) and type(error) is UpstreamError:  # a page, and no words of its own
        return BadRequest(
            "The upstream has no embeddings at its address.",
            code="model_not_supported_endpoint",
            param="model",
        )
    return error


def _knows_no_base64(error: GatewayError) -> bool:
    told = f"{error.param} {error.message}"
    return isinstance(error, BadRequest) and ("encoding_format" in told or "base64" in told)


def _retry_after(reply: Reply) -> float | None:
    told = reply.headers.get("Retry-After", "")
    return float(told) if _SECONDS.fullmatch(told) else None
