"""GET /v1/models with a platform that is asked what it has: added to what is configured, and never waited for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from proxy import catalog
from proxy.config import Alias
from proxy.simulators.script import Close, Hang, Send, Step, reply, stream
from tests.e2e.plans_setup import PlannerSettings, no_work_left, planner
from tests.support.gateway import GatewayThread, builtin_upstream
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.upstream import ScriptThread, answer
from translators.upstreams.plan import Call, JwtGrant, Listed, Plan

pytestmark = [pytest.mark.usefixtures("plans"), pytest.mark.two_ways]


def pages() -> Plan[list[Listed]]:
    """Page by page, as platforms list."""
    found: list[Listed] = []
    page = 1
    while page:
        said = json.loads((yield Call("GET", f"bots?page={page}")).body)
        found += [Listed(f"bot/{id}", created) for id, created in said["bots"]]
        page = said["next"]
    return found


def says(asked: Any) -> list[Step]:
    if not asked.path.startswith("/bots"):
        return stream(answer(1))
    first = {"bots": [[1, 1_700_000_000], [2, 0]], "next": 2}
    said = first if asked.path.endswith("=1") else {"bots": [[3, 0]], "next": 0}
    return [Send(reply(200, json.dumps(said).encode()))]


def get(gateway: GatewayThread, path: str = "") -> Reply:
    with RawClient(gateway.port) as client:
        client.request("GET", "/v1/models" + path)
        return client.reply()


def ids(gateway: GatewayThread) -> list[str]:
    return [entry["id"] for entry in get(gateway).json["data"]]


def test_the_platforms_models_follow_the_configured_ones(serve):
    with ScriptThread(says) as upstream:
        aliases = {"up/bot/2": Alias("demo", "demo", builtin_upstream().options)}
        gateway = serve(builtin_upstream(), planner(upstream.url, catalog=pages), models=aliases)
        with no_work_left(gateway):
            for _ in range(3):
                assert ids(gateway) == ["demo", "m", "up/bot/2", "up/bot/1", "up/bot/3"]
        assert [asked.path for asked in upstream.requests] == ["/bots?page=1", "/bots?page=2"]
        shown = get(gateway, "/up/bot/1").json
        assert shown == {"id": "up/bot/1", "object": "model", "created": 1_700_000_000, "owned_by": "up"}
        assert get(gateway, "/up%2Fbot%2F3").json["created"] == gateway.serving.gateway.began
        assert get(gateway, "/up/bot/2").json["owned_by"] == "demo"
        assert get(gateway, "/up/bot/9").status == 404
        assert len(upstream.requests) == 2


def test_a_model_that_is_listed_can_be_asked_for(serve):
    with ScriptThread(says) as upstream:
        gateway = serve(planner(upstream.url, catalog=pages))
        assert ask(gateway.port, question(model="up/bot/3")).status == 200
        assert upstream.requests[-1].document["model"] == "bot/3"


def test_a_configured_model_is_shown_without_asking_anybody(serve):
    with ScriptThread(says) as upstream:
        gateway = serve(planner(upstream.url, catalog=pages))
        assert get(gateway, "/m").status == 200
        assert upstream.requests == []


@pytest.mark.parametrize("script", [[Close()], [Send(reply(500, b"no"))], [Send(reply(200, b"{}"))]])
def test_a_platform_in_trouble_takes_nothing_from_the_others(serve, script, log):
    with ScriptThread(script) as broken, ScriptThread(says) as upstream:
        gateway = serve(
            planner(broken.url, "broken", models=("b",), catalog=pages), planner(upstream.url, catalog=pages)
        )
        listed = ["b", "m", "up/bot/1", "up/bot/2", "up/bot/3"]
        assert ids(gateway) == listed
        asked = len(broken.requests)  # aiohttp asks once more by itself where a GET was not answered
        assert (ids(gateway), len(broken.requests)) == (listed, asked)
    warnings = [record.getMessage() for record in log.events if "models" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].startswith("listing the models of broken failed: ")


def test_a_platform_that_is_slow_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(catalog, "PATIENCE", 0.2)
    with ScriptThread([Hang()]) as upstream:
        gateway = serve(planner(upstream.url, catalog=pages))
        began = time.monotonic()
        assert ids(gateway) == ["m"]
        assert time.monotonic() - began < 1.0
        began = time.monotonic()
        gateway.__exit__()
        assert time.monotonic() - began < 1.5


# A credential that is more than a header.


def test_every_errand_of_an_upstream_is_signed_by_its_credential(serve, rsa_pem):
    def script(asked: Any) -> list[Step]:
        if asked.path == "/token":
            said = {"access_token": "czs_1", "expires_in": 900}
            return [Send(reply(200, json.dumps(said).encode()))]
        return says(asked)

    grant = JwtGrant("k", "app", "api.example", rsa_pem, "token", 900)
    with ScriptThread(script) as upstream:
        gateway = serve(planner(upstream.url, catalog=pages, credential=grant))
        assert len(ids(gateway)) == 4
        assert ask(gateway.port, question()).status == 200
        paths = [asked.path for asked in upstream.requests]
        assert paths == ["/token", "/bots?page=1", "/bots?page=2", "/chat/completions"]
        bearers = [asked.headers.getall("Authorization") for asked in upstream.requests[1:]]
        assert bearers == [["Bearer czs_1"]] * 3


def test_a_credential_that_is_refused_is_for_the_operator(serve, rsa_pem, log):
    grant = JwtGrant("k", "app", "api.example", rsa_pem, "token", 900)
    with ScriptThread([Send(reply(401, b'{"error_message":"no such app"}'))]) as upstream:
        gateway = serve(planner(upstream.url, credential=grant))
        told = ask(gateway.port, question())
    assert (told.status, told.json["error"]["code"]) == (502, "upstream_auth_failed")
    assert told.headers["x-should-retry"] == "false"
    assert "no such app" in log.requests[0]["detail"]


def test_the_settings_of_the_kind_print_no_key(rsa_pem):
    grant = JwtGrant("k", "app", "api.example", rsa_pem, "token", 900)
    assert "PRIVATE" not in repr(PlannerSettings(credential=grant))
