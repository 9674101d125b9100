"""Whose Coze account is used, and what it has: tokens, the clients' own keys, models, kept conversations."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import openai
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from proxy.probe import probe
from proxy.simulators.coze import CozeStandIn
from proxy.simulators.coze_access import TOKEN_PATH, Access, OAuthApp
from proxy.simulators.coze_knobs import Knobs, WorkflowKnobs
from tests.e2e.coze_scene import (
    BLUE_JAY,
    CHAT,
    DEMO_BOT,
    DEMO_SPACE,
    DEMO_TOKEN,
    Scene,
    configured,
    coze_upstream,
    environment,
    scene,
)
from tests.e2e.sdk_setup import Serve, asking, hosted, sdk
from tests.support.gateway import config_of
from tests.support.raw import ask, question

KEPT = "/v1/conversations"


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as running:
        yield running


# The service identity.


@contextmanager
def identified(pem: str) -> Iterator[CozeStandIn]:
    """A platform that knows one OAuth app and no other token."""
    public = load_pem_private_key(pem.encode(), None).public_key()
    key = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with hosted(lambda: CozeStandIn(apps=[OAuthApp("1130", "kid-1", key)], tokens={})) as stand_in:
        yield stand_in


def identity(pem: str, **more: Any) -> dict[str, Any]:
    return {
        "token": None,
        "oauth_app_id": "1130",
        "oauth_key_id": "kid-1",
        "oauth_private_key": pem,
        **more,
    }


async def ask_at_once(url: str, count: int) -> list[int]:
    async def one(session: aiohttp.ClientSession) -> int:
        async with session.post(f"{url}/v1/chat/completions", json=question()) as answer:
            await answer.read()
            return answer.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(one(session) for _ in range(count)))


async def test_fifty_questions_at_the_start_need_one_token(serve: Serve, rsa_pem: str):
    with identified(rsa_pem) as stand_in:
        gateway = serve(coze_upstream(stand_in.url, **identity(rsa_pem)))
        assert await ask_at_once(gateway.url, 50) == [200] * 50
        assert ask(gateway.port, question()).status == 200
        (issued,) = stand_in.heard(TOKEN_PATH)
        assert issued.document["duration_seconds"] == 900
        bearers = {heard.headers["Authorization"] for heard in stand_in.heard(CHAT)}
        assert len(bearers) == 1 and bearers.pop().startswith("Bearer czs_")


async def test_a_token_is_renewed_before_it_ends(rsa_pem: str):
    """A minute early: one of 61 seconds serves for one."""
    environ = {
        "COZE_API_KEY": "",
        "COZE_OAUTH_APP_ID": "1130",
        "COZE_OAUTH_KEY_ID": "kid-1",
        "COZE_OAUTH_PRIVATE_KEY": rsa_pem.replace("\n", "\\n"),
        "DELTAWIRE_UPSTREAM_COZE_OAUTH_DURATION": "61",
    }
    with identified(rsa_pem) as stand_in, scene(**environ, COZE_BASE_URL=stand_in.url) as here:
        assert ask(here.gateway.port, question()).status == 200
        time.sleep(1.1)
        assert await ask_at_once(here.gateway.url, 20) == [200] * 20
        assert len(stand_in.heard(TOKEN_PATH)) == 2


async def test_a_check_online_asks_whose_token_it_is(rsa_pem: str, here: Scene):
    url = here.stand_in.url
    (good,) = await probe(configured(environment(url)))
    assert (good.ok, good.detail) == (True, "account 7512000000000000005")
    for status in (401, 200):
        here.stand_in.platform.auth_status = status
        (bad,) = await probe(configured(environment(url, COZE_API_KEY="pat_wrong_secret")))
        assert not bad.ok and "refused the gateway's credential" in bad.detail
        assert "coze code 4100, logid" in bad.detail and "secret" not in bad.detail
    with identified(rsa_pem) as stand_in:
        app = coze_upstream(stand_in.url, **identity(rsa_pem))
        (signed,) = await probe(config_of(app))
        assert (signed.ok, signed.detail) == (True, "account 1130")


# The clients' own keys.


@pytest.fixture(scope="module")
def passing() -> Iterator[Scene]:
    tokens = {DEMO_TOKEN: Access("1"), "pat_ada": Access("2"), "czu_bob": Access("3")}
    with scene(
        stand_in={"tokens": tokens}, DELTAWIRE_UPSTREAM_COZE_PASS_THROUGH="true", COZE_SPACE_ID=DEMO_SPACE
    ) as running:
        yield running


def bearers(here: Scene) -> list[str]:
    return [heard.headers["Authorization"].removeprefix("Bearer ") for heard in here.stand_in.heard(CHAT)]


@pytest.mark.parametrize(
    ("key", "used"), [("pat_ada", "pat_ada"), ("czu_bob", "czu_bob"), ("sk-none", DEMO_TOKEN)]
)
def test_a_key_of_cozes_own_is_passed_on_and_no_other(passing: Scene, key: str, used: str):
    with sdk(passing.gateway.url + "/v1", api_key=key) as client:
        client.chat.completions.create(model="gpt-4o", messages=asking("Hi."))
    assert bearers(passing)[-1] == used


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_key_that_coze_refuses_is_the_clients_to_mend(passing: Scene, stream: bool):
    with (
        sdk(passing.gateway.url + "/v1", api_key="pat_stranger") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.chat.completions.create(model="gpt-4o", messages=asking("Hi."), stream=stream)
    assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
    assert "pat_stranger" not in refused.value.response.text


def test_without_pass_through_no_key_leaves_the_gateway():
    with scene() as here, sdk(here.gateway.url + "/v1", api_key="pat_ada") as client:
        client.chat.completions.create(model="gpt-4o", messages=asking("Hi."))
        assert bearers(here) == [DEMO_TOKEN]


def test_every_account_has_its_own_conversations(passing: Scene):
    kind = {"x-model-type": "conversation"}
    with sdk(passing.gateway.url + "/v1", api_key="pat_ada") as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=asking("Hi."), extra_headers=kind
        )
    id = raw.headers["x-conversation-id"]

    def ids(key: str) -> list[str]:
        told = passing.http("GET", KEPT, Authorization=f"Bearer {key}")
        return [one["id"] for one in told.json["data"]]

    assert id in ids("pat_ada") and id not in ids("czu_bob") and id not in ids("none")
    told = passing.http("DELETE", f"{KEPT}/{id}", Authorization="Bearer czu_bob")
    assert (told.status, told.json["error"]["code"]) == (403, "permission_denied")
    assert passing.http("GET", KEPT, Authorization="Bearer pat_stranger").status == 401


# Models.


def test_the_models_are_the_bots_and_the_workflows_of_the_space():
    bots = {DEMO_BOT: Knobs(), **{str(7_400_000_000_000_000_000 + number): Knobs() for number in range(45)}}
    bots["7400000000000000007"].published = False
    flows = {str(7_300_000_000_000_000_000 + number): WorkflowKnobs() for number in range(35)}
    with scene(stand_in={"bots": bots, "workflows": flows}, COZE_SPACE_ID=DEMO_SPACE) as here:
        expected = [f"coze/bot/{id}" for id, knobs in bots.items() if knobs.published]
        expected += [f"coze/workflow/{id}" for id in flows]
        for _ in range(2):
            models = list(here.client.models.list())
            assert [model.id for model in models] == expected
        assert {(model.owned_by, model.object) for model in models} == {("coze", "model")}
        assert here.client.models.retrieve(expected[-1]).id == expected[-1]
        assert len(here.stand_in.heard("/v1/bots")) == 3 and len(here.stand_in.heard("/v1/workflows")) == 2
        for name in (expected[3], expected[-1]):
            assert here.client.chat.completions.create(model=name, messages=asking("Hi.")).model == name


def test_without_a_space_only_configured_models_are_listed():
    with scene(DELTAWIRE_UPSTREAM_COZE_MODELS="coze-bot") as here:
        assert [model.id for model in here.client.models.list()] == ["coze-bot"]
        assert (
            here.client.chat.completions.create(model="coze-bot", messages=asking("Hi.")).model == "coze-bot"
        )
        assert not here.stand_in.heard("/v1/bots")


# Conversations.


def test_conversations_are_created_shown_and_deleted_by_the_sdk(here: Scene):
    made = here.client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My name is Ada."}], metadata={"ticket": "7"}
    )
    assert (made.object, made.metadata) == ("conversation", {"ticket": "7"})
    kept = here.stand_in.world.conversations[made.id]
    assert (kept.bot_id, [message.content for message in kept.messages]) == (DEMO_BOT, ["My name is Ada."])
    assert here.client.conversations.retrieve(made.id) == made
    assert made.id in [one["id"] for one in here.http("GET", KEPT).json["data"]]
    gone = here.client.conversations.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
    assert made.id not in here.stand_in.world.conversations
    with pytest.raises(openai.NotFoundError):
        here.client.conversations.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as wrong:
        here.client.conversations.retrieve("conv_68")
    assert wrong.value.code == "invalid_conversation_id"


def test_the_list_has_pages(here: Scene):
    bot = here.bot()
    ids = [here.client.conversations.create(extra_headers={"x-bot-id": bot}).id for _ in range(55)][::-1]
    seen: list[str] = []
    after, more = "", True
    while more:
        told = here.http("GET", f"{KEPT}?limit=30{after}", x_bot_id=bot).json
        seen += [one["id"] for one in told["data"]]
        after, more = f"&after={told['last_id']}", told["has_more"]
    assert seen == ids
    ascending = here.http("GET", f"{KEPT}?limit=1&order=asc", x_bot_id=bot).json
    assert (ascending["first_id"], ascending["has_more"]) == (ids[-1], True)


def test_a_history_of_words_and_pictures_has_pages(here: Scene):
    bot = here.bot(said=(BLUE_JAY,))
    id = here.client.conversations.create(extra_headers={"x-bot-id": bot}).id
    add = f"{KEPT}/{id}/messages"
    for number in range(60):
        told = here.http("POST", add, json.dumps({"role": "user", "content": f"m{number}"}).encode())
        assert (told.status, told.json["content"], told.json["role"]) == (200, f"m{number}", "user")
    shown = [
        {"type": "text", "text": "This one?"},
        {"type": "image_url", "image_url": {"url": "https://img.example.org/b.png"}},
    ]
    here.client.chat.completions.create(
        model=f"coze/bot/{bot}", messages=asking(shown), extra_headers={"x-conversation-id": id}
    )
    rows: list[dict[str, Any]] = []
    after, more = "", True
    while more:
        page = here.http("GET", f"{KEPT}/{id}/history?limit=25&order=asc{after}").json
        assert len(page["data"]) <= 25
        rows += page["data"]
        after, more = f"&after={page['last_id']}", page["has_more"]
    assert [row["content"] for row in rows[:60]] == [f"m{number}" for number in range(60)]
    assert (rows[60]["role"], rows[60]["content"][0]) == ("user", {"type": "text", "text": "This one?"})
    assert (rows[61]["role"], rows[61]["content"], rows[61]["type"]) == ("assistant", "Blue jay.", "answer")
    assert len({row["id"] for row in rows}) == len(rows)
    newest = here.http("GET", f"{KEPT}/{id}/history?limit=1&order=desc").json
    assert newest["data"][0]["id"] == rows[-1]["id"]


def test_a_conversation_that_is_cleared_keeps_its_messages_and_forgets_them(here: Scene):
    bot = here.bot()
    create = here.client.chat.completions.with_raw_response.create
    kind = {"x-model-type": "conversation"}
    first = create(model=f"coze/bot/{bot}", messages=asking("repeat: one"), extra_headers=kind)
    id = first.headers["x-conversation-id"]
    kept = here.stand_in.world.conversations[id]
    told = here.http("DELETE", f"{KEPT}/{id}?mode=clear")
    assert told.json == {
        "id": id,
        "object": "conversation",
        "cleared": True,
        "section_id": kept.section_id,
    }
    assert kept.section_id != id and kept.heard() == []
    create(model=f"coze/bot/{bot}", messages=asking("repeat: two"), extra_headers={"x-conversation-id": id})
    assert [message.content for message in kept.heard()] == ["repeat: two", "two"]
    history = here.http("GET", f"{KEPT}/{id}/history?limit=100").json["data"]
    assert {row["content"] for row in history} >= {"one", "two"}


def test_a_message_of_an_assistant_and_one_that_says_nothing(here: Scene):
    id = here.client.conversations.create().id
    add = f"{KEPT}/{id}/messages"
    told = here.http("POST", add, b'{"role": "assistant", "content": "Welcome."}')
    assert (told.json["role"], told.json["type"]) == ("assistant", "answer")
    for wrong in (b'{"role": "user", "content": ""}', b'{"role": "system", "content": "Be brief."}'):
        assert here.http("POST", add, wrong).status == 400
    assert [message.content for message in here.stand_in.world.conversations[id].messages] == ["Welcome."]
