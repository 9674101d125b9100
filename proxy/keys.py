"""What the application and a request carry, typed."""

from __future__ import annotations

from aiohttp import web

from proxy.gateway import Gateway
from proxy.record import Record

GATEWAY = web.AppKey("gateway", Gateway)
RECORD = web.RequestKey("record", Record)
