"""Answers that are one piece of JSON, and what an error looks like as one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from translators import wirejson
from translators.errors import GatewayError


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = wirejson.dumps(document)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_response(error: GatewayError, headers: Mapping[str, str] | None = None) -> web.Response:
    told = dict(headers or {})
    if error.retry_after is not None:
        told["Retry-After"] = str(math.ceil(error.retry_after))
    if error.should_retry is not None:
        told["x-should-retry"] = str(error.should_retry).lower()
    return web.Response(body=error.body(), status=error.status, headers=told, content_type="application/json")
