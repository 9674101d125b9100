"""Whose key opens a Dify app: the environment's, a file's for each app, or the client's own; and what is listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from proxy.config import Auth, Config, Secret, Upstream, load
from proxy.probe import probe
from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import Failure, Variable
from tests.e2e.dify_scene import (
    COUNT,
    COUNTED,
    asked,
    configured,
    dify_upstream,
    environment,
    open_app,
    questions,
    scene,
    stand_in_of,
)
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.command import Command
from tests.support.gateway import GatewayThread, config_of
from tests.support.raw import RawClient, ask, question
from translators.upstreams import UPSTREAMS

CLIENT_KEY = "sk-client-key-0001"


@pytest.fixture(scope="module")
def platform() -> Iterator[DifyStandIn]:
    with hosted(stand_in_of) as stand_in:
        yield stand_in


def models(url: str, key: str = "none") -> list[str]:
    with sdk(url + "/v1", api_key=key) as client:
        return [model.id for model in client.models.list()]


# By the environment alone.


def forms(url: str) -> list[str]:
    bare = url.removesuffix("/v1")
    return [url, bare, f"{bare}/", f"{url}/"]


def test_an_address_in_any_form(platform: DifyStandIn):
    key = open_app(platform)
    for form in forms(platform.url):
        config = configured(environment(form, DIFY_API_KEY=key))
        assert config.upstreams["dify"].base_url == platform.url
        with GatewayThread(config) as gateway, sdk(gateway.url + "/v1") as client:
            answer = client.chat.completions.create(model="gpt-3.5-turbo", messages=asking(COUNT))
        assert (answer.choices[0].message.content, answer.model) == (COUNTED, "gpt-3.5-turbo")
    assert len(questions(platform, key)) == len(forms(platform.url))


def test_the_command_with_two_variables(platform: DifyStandIn, tmp_path: Path, monkeypatch):
    """As the original was started; the file is empty."""
    key = open_app(platform)
    monkeypatch.setenv("DIFY_API_URL", platform.url)
    monkeypatch.setenv("DIFY_API_KEY", key)
    with Command(tmp_path, "") as running:
        told = ask(running.port, question(stream=False, messages=asking(COUNT)))
        assert told.json["choices"][0]["message"]["content"] == COUNTED
        assert key not in running.log


# The gateway's key.


def test_a_key_of_the_gateways_own_is_used_for_everybody(serve_config, platform: DifyStandIn, log):
    key = open_app(platform, "chat")
    auth = Auth((Secret(CLIENT_KEY),))
    gateway = serve_config(config_of(dify_upstream(platform.url, key=key), auth=auth))
    with sdk(gateway.url + "/v1", api_key=CLIENT_KEY) as client:
        client.chat.completions.create(model="m", messages=asking(COUNT))
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key=key).chat.completions.create(model="m", messages=asking(COUNT))
    heard = asked(platform, key, "/v1/chat-messages")
    assert len(heard) == 1
    said = json.dumps([dict(one.headers) for one in heard]) + heard[0].body.decode()
    assert CLIENT_KEY not in said
    assert key not in log.text and CLIENT_KEY not in log.text


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_key_that_dify_refuses_is_for_the_operator(serve_config, platform: DifyStandIn, log, stream):
    for mode in ("auto", "chat"):
        gateway = serve_config(config_of(dify_upstream(platform.url, key="app-nobody", mode=mode)))
        told = ask(gateway.port, question(stream))
        assert (told.status, told.json["error"]["code"]) == (502, "upstream_auth_failed")
        assert told.json["error"]["type"] == "server_error"
        assert told.headers["x-should-retry"] == "false"
        assert "Access token is invalid" not in told.body.decode()
    assert {line["error"] for line in log.requests} == {"upstream_auth_failed"}
    assert "app-nobody" not in log.text


# The client's key.


def test_without_a_key_the_clients_own_opens_its_app(log):
    with scene() as here:
        assert here.gateway.serving.gateway.config.upstreams["dify"].api_key is None
        one, other = here.app("chat"), here.app("workflow")
        assert here.say(one, COUNT) == here.say(other, COUNT) == COUNTED
        assert len(here.questions(one)) == len(here.questions(other)) == 1
        assert here.questions(one)[0]["user"] != here.questions(other)[0]["user"]
        for key in ("app-wrong", "sk-wrong"):
            with pytest.raises(openai.AuthenticationError) as caught:
                here.say(key, COUNT)
            assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
            with pytest.raises(openai.AuthenticationError):
                here.stream(key, COUNT)
        before = len(here.stand_in.requests)
        told = ask(here.gateway.port, question(stream=False))
        assert (told.status, told.json["error"]["type"]) == (401, "authentication_error")
        for scheme in ("Basic YTpi", "Bearer", "Bearer  "):
            with RawClient(here.gateway.port) as client:
                client.post(question(), headers={"Authorization": scheme})
                assert client.reply().status == 401
        assert len(here.stand_in.requests) == before
        assert one not in log.text and other not in log.text


@pytest.mark.parametrize("chosen", [True, False])
def test_passing_on_can_be_chosen(serve_config, platform: DifyStandIn, chosen):
    own, clients = open_app(platform, "chat"), open_app(platform, "chat")
    config = config_of(dify_upstream(platform.url, key=own, pass_through=chosen))
    with sdk(serve_config(config).url + "/v1", api_key=clients) as client:
        client.chat.completions.create(model="m", messages=asking(COUNT))
    assert [len(questions(platform, key)) for key in (own, clients)] == ([0, 1] if chosen else [1, 0])


def test_a_key_that_opens_the_gateway_is_not_shown_to_the_platform(serve_config, platform: DifyStandIn):
    """Where nothing was chosen and there are keys of the gateway's own, a client's key is one of these."""
    before = len(platform.requests)
    auth = Auth((Secret(CLIENT_KEY),))
    for mode in ("auto", "chat"):
        gateway = serve_config(config_of(dify_upstream(platform.url, mode=mode), auth=auth))
        told = ask(gateway.port, question(), headers={"Authorization": f"Bearer {CLIENT_KEY}"})
        assert (told.status, told.json["error"]["code"]) == (502, "upstream_auth_failed")
    heard = list(platform.requests)[before:]
    assert heard
    assert CLIENT_KEY not in json.dumps([dict(one.headers) for one in heard])


# A table of routes: one upstream for each app.

TOML = """
default_upstream = "desk"

[upstreams.desk]
kind = "dify"
base_url = "{url}"
api_key = {{ env = "DESK_KEY" }}

[upstreams.reports]
kind = "dify"
base_url = "{url}"
api_key = {{ env = "REPORTS_KEY" }}
models = ["report"]
mode = "workflow"
input_variable = "subject"
output_variable = "short"

[models.quick]
upstream = "reports"
output_variable = "long"

[models.clerk]
upstream = "desk"
history = "last"
"""


def test_a_file_with_an_app_for_each_upstream(serve_config, platform: DifyStandIn, tmp_path: Path):
    form = (Variable("subject"), Variable("other"))
    outputs = {"short": "S.", "long": "Long."}
    desk = open_app(platform, "chat", name="Front desk")
    reports = open_app(platform, "workflow", name="Report writer", form=form, outputs=outputs)
    (tmp_path / "deltawire.toml").write_text(TOML.format(url=platform.url))
    environ = {"DESK_KEY": desk, "REPORTS_KEY": reports, "PORT": "0"}
    path = Path("deltawire.toml")
    loaded = load(path=path, environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    assert loaded.warnings == ()
    gateway = serve_config(loaded.config)
    assert models(gateway.url) == [
        *("report", "quick", "clerk"),
        *("desk/Front desk", "reports/Report writer"),
    ]
    answers = {
        "report": "S.",
        "reports/Report writer": "S.",
        "quick": "Long.",
        "clerk": COUNTED,
        "desk/Front desk": COUNTED,
        "whatever": COUNTED,
    }
    with sdk(gateway.url + "/v1") as client:
        for model, words in answers.items():
            answer = client.chat.completions.create(model=model, messages=asking(COUNT))
            assert (answer.model, answer.choices[0].message.content) == (model, words)
    assert [len(questions(platform, key)) for key in (desk, reports)] == [3, 3]
    assert {body["inputs"]["subject"] for body in questions(platform, reports)} == {COUNT}


def test_an_alias_cannot_have_a_key_of_its_own(tmp_path: Path):
    text = TOML.format(url="http://localhost") + '\n[models.third]\nupstream = "desk"\napi_key = "app-3"\n'
    (tmp_path / "deltawire.toml").write_text(text)
    environ = {"DESK_KEY": "app-1", "REPORTS_KEY": "app-2"}
    with pytest.raises(Exception, match=r"models\.third\.api_key: unknown key"):
        load(path=Path("deltawire.toml"), environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)


def test_the_list_of_models_names_the_app(serve_config, platform: DifyStandIn):
    key = open_app(platform, name="Front desk")
    config = configured(environment(platform.url, DIFY_API_KEY=key))
    gateway = serve_config(config)
    for _ in range(3):
        assert models(gateway.url) == ["dify/Front desk"]
    assert len(asked(platform, key, "/v1/info")) == 1
    with sdk(gateway.url + "/v1") as client:
        shown = client.models.retrieve("dify/Front desk")
        assert shown.owned_by == "dify"
        answer = client.chat.completions.create(model=shown.id, messages=asking(COUNT))
        assert answer.choices[0].message.content == COUNTED


def test_an_app_without_a_proper_name_is_not_listed(serve_config, platform: DifyStandIn):
    for name in ("", " ", "a\nb", "x" * 200):
        key = open_app(platform, name=name)
        config = configured(environment(platform.url, DIFY_API_KEY=key))
        with GatewayThread(config) as gateway:
            assert models(gateway.url) == []


# Is it there?


KINDS = {
    "chat": "a chat app",
    "agent-chat": "an agent",
    "agent": "an agent of the new kind",
    "advanced-chat": "a chatflow",
    "completion": "a completion app",
    "workflow": "a workflow",
}


async def checked(*upstreams: Upstream) -> list[tuple[bool, str]]:
    found = await probe(Config(upstreams={one.name: one for one in upstreams}))
    return [(one.ok, one.detail) for one in found]


async def test_a_check_online_says_what_kind_of_app_a_key_opens(platform: DifyStandIn):
    keys = {mode: open_app(platform, mode, name="Secret plans") for mode in KINDS}
    ups = [dify_upstream(platform.url, mode, key=key) for mode, key in keys.items()]
    assert await checked(*ups) == [(True, words) for words in KINDS.values()]
    with hosted(lambda: stand_in_of("1.0")) as old:
        up = dify_upstream(old.url, key=open_app(old))
        assert await checked(up) == [(True, "an app that does not say what kind it is of")]


async def test_a_check_online_says_what_is_wrong(platform: DifyStandIn):
    page = Failure(200, body=b"<html>", content_type="text/html")
    odd, busy = open_app(platform), open_app(platform)
    platform.apps[odd].knobs.failures.append(page)
    platform.apps[busy].knobs.failures.append(Failure(500))
    ups = [
        dify_upstream(platform.url, "none"),
        dify_upstream(platform.url, "wrong", key="app-nobody"),
        dify_upstream(platform.url.replace("/v1", "/v2"), "elsewhere", key=odd),
        dify_upstream(platform.url, "odd", key=odd),
        dify_upstream(platform.url, "busy", key=busy),
    ]
    assert await checked(*ups) == [
        (True, "there, and clients bring their own keys"),
        (False, "refused the key (HTTP 401)"),
        (False, "is not Dify's API at this address (HTTP 404)"),
        (False, "answered with something that does not describe an app"),
        (False, "answered (HTTP 500)"),
    ]
