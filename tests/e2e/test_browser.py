"""Chromium in front of a live gateway: pages of other origins, the official SDK in one, and the documentation.

What a browser allows and forbids is its own to decide, so no reading of our headers can stand for it. The scenarios
are in ``node/browser.mjs``; the first run installs the browser, see ``node/runtime.py``.
"""

from __future__ import annotations

import socket

import pytest

from proxy.config import Auth, Cors, Secret
from tests.e2e.node import runtime
from tests.support.gateway import GatewayThread, builtin_upstream, config_of

pytestmark = pytest.mark.timeout(600)


def browse(origins: str) -> tuple[int, str]:
    """How the scenarios went with a gateway that lets only pages of ``origins`` ask."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cors = Cors(origins=(origins.format(port=port),))
    config = config_of(builtin_upstream(pace=0.01), cors=cors, auth=Auth(api_keys=(Secret("right"),)))
    with GatewayThread(config, "uvloop") as gateway:
        told = {"BASE_URL": gateway.url, "MODEL": "demo", "API_KEY": "right", "PAGE_PORT": str(port)}
        done = runtime.run("browser.mjs", **told, **runtime.browser())
        gateway.until_idle()
    return done.returncode, done.stdout + done.stderr


def test_pages_of_an_allowed_origin_and_of_another_one() -> None:
    failed, told = browse("http://127.0.0.1:{port}")
    assert not failed, told
    assert "# pass 4" in told or "ℹ pass 4" in told, told


def test_the_scenarios_can_fail() -> None:
    """The other way round: the page that may ask is the one that may not, and may not the one that may."""
    failed, told = browse("http://localhost:{port}")
    assert failed
    assert "# fail 3" in told or "ℹ fail 3" in told, told
