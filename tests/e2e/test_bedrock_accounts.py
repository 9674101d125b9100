"""Who signs for an agent, where it is, and what its account has: by environment, by Amazon's own files, by a file.

Whatever goes wrong here is for the operator: clients are told that much and nothing more, and no key is ever told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from proxy.config import Config, load
from proxy.probe import probe
from proxy.simulators.bedrock import (
    DEMO_AGENT,
    DEMO_ALIAS,
    DEMO_FLOW,
    DEMO_FLOW_ALIAS,
    DEMO_KEYS,
    DEMO_REGION,
    DEMO_RUNTIME,
    BedrockStandIn,
)
from proxy.simulators.bedrock_auth import Keys
from proxy.simulators.bedrock_knobs import Agent, Alias
from tests.e2e.bedrock_scene import (
    COUNT,
    COUNTED,
    asked,
    at_amazon,
    bedrock_upstream,
    configured,
    environment,
    runs,
    stand_in_of,
)
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.command import Command
from tests.support.gateway import GatewayThread, config_of
from tests.support.raw import Reply, ask, question
from translators.upstreams import UPSTREAMS

DEMO = f"{DEMO_AGENT}/{DEMO_ALIAS}"
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
OTHER = Keys("ASIAOTHER0000001", SECRET, "token-of-the-other-keys-that-nobody-may-see")
NOBODYS = {"access_key": "", "secret_key": ""}


@pytest.fixture(scope="module")
def shared() -> Iterator[BedrockStandIn]:
    with hosted(lambda: stand_in_of(keys=(DEMO_KEYS, OTHER))) as stand_in:
        yield stand_in


@pytest.fixture
def platform(shared: BedrockStandIn) -> BedrockStandIn:
    """The same for all, with its own keys, having heard nothing and done nothing yet."""
    shared.requests.clear()
    shared.world.sessions.kept.clear()
    shared.world.keys = {one.access_key: one for one in (DEMO_KEYS, OTHER)}
    return shared


def told(gateway: GatewayThread, stream: bool = False, **more: Any) -> Reply:
    return ask(gateway.port, question(stream, messages=asking(COUNT), **more))


def counted(reply: Reply) -> bool:
    return bool(reply.json["choices"][0]["message"]["content"] == COUNTED)


def credentials_file(path: Path, keys: Keys) -> None:
    token = f"aws_session_token = {keys.session_token}\n" if keys.session_token else ""
    path.write_text(
        f"[work]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n{token}"
    )


# Where keys and addresses come from.


def test_the_command_with_the_originals_variables(platform: BedrockStandIn, tmp_path: Path, monkeypatch):
    """The file is empty; of these variables only the agent's are the gateway's own."""
    address = {"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": platform.url}
    variables = environment(platform.url, **address)
    with at_amazon(variables):
        for name in ("AGENT_ID", "AGENT_ALIAS_ID"):
            monkeypatch.setenv(name, variables[name])
        with Command(tmp_path, "") as running:
            assert counted(ask(running.port, question(stream=False, messages=asking(COUNT))))
            assert DEMO_KEYS.secret_key not in running.log
    assert len(asked(platform, DEMO)) == 1


def test_the_second_name_of_the_region(platform: BedrockStandIn):
    region = {"AWS_REGION": "", "AWS_DEFAULT_REGION": DEMO_REGION}
    variables = environment(platform.url, **region)
    with at_amazon(variables), GatewayThread(configured(variables)) as gateway:
        assert counted(told(gateway))


def test_a_dotenv_file_is_enough(platform: BedrockStandIn, tmp_path: Path):
    """As the original was configured: all of it in .env, which Amazon's tools do not read by themselves."""
    variables = environment(platform.url)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    with at_amazon({}), Command(tmp_path, "") as running:
        assert counted(ask(running.port, question(stream=False, messages=asking(COUNT))))


def test_a_profile_in_amazons_own_files(serve_config, platform: BedrockStandIn, tmp_path: Path, log):
    credentials_file(tmp_path / "credentials", OTHER)
    (tmp_path / "config").write_text(f"[profile work]\nregion = {DEMO_REGION}\n")
    files = {
        "AWS_CONFIG_FILE": f"{tmp_path}/config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/credentials",
    }
    with at_amazon(files):
        up = bedrock_upstream(platform.url, profile="work", region="", **NOBODYS)
        assert counted(told(serve_config(config_of(up))))
    assert platform.requests[0].headers["X-Amz-Security-Token"] == OTHER.session_token
    assert SECRET not in log.text and OTHER.session_token not in log.text


def test_what_is_missing_is_named_and_nothing_is_asked(platform: BedrockStandIn, log):
    missing: dict[str, tuple[dict[str, str], str]] = {
        "region": ({"AWS_REGION": ""}, "AWS_REGION"),
        "keys": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "AWS_ACCESS_KEY_ID"),
        "alias": ({"AGENT_ALIAS_ID": ""}, "agent_alias_id"),
    }
    for without, named in missing.values():
        variables = environment(platform.url, **without)
        with at_amazon(variables), GatewayThread(configured(variables)) as gateway:
            for stream in (True, False):
                reply = told(gateway, stream)
                assert (reply.status, reply.json["error"]["code"]) == (503, "upstream_not_configured")
                assert named in reply.json["error"]["message"]
    assert list(platform.requests) == []
    assert DEMO_KEYS.secret_key not in log.text


# Keys that are not taken.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_wrong_secret_is_for_the_operator(serve_config, platform: BedrockStandIn, log, stream):
    wrong: list[dict[str, str]] = [
        {"secret_key": SECRET},
        {"access_key": "AKIANOBODY000001", "secret_key": SECRET},
        {"access_key": OTHER.access_key, "secret_key": SECRET, "session_token": "not-its-token"},
    ]
    for keys in wrong:
        reply = told(serve_config(config_of(bedrock_upstream(platform.url, **keys))), stream)
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_auth_failed")
        assert reply.json["error"]["type"] == "server_error"
        assert reply.headers["x-should-retry"] == "false"
        for secret in ("AKIA", "ASIA", DEMO_KEYS.access_key, SECRET, "token", "signature"):
            assert secret not in reply.body.decode()
    assert {line["error"] for line in log.requests} == {"upstream_auth_failed"}
    for secret in (SECRET, "not-its-token", "Signature="):
        assert secret not in log.text
    assert runs(platform, DEMO) == 0


@pytest.mark.parametrize("why", ["expired", "unknown"])
def test_keys_that_are_taken_no_more_are_replaced_once(
    serve_config, platform, tmp_path, monkeypatch, log, why
):
    """The file has new ones by then, as when somebody has signed in again."""
    monkeypatch.setattr("proxy.aws_credentials.FRESH", 0.0)
    old = Keys("ASIAOLD000000001", "old-secret", "old-token")
    platform.world.keys[old.access_key] = old
    credentials_file(tmp_path / "credentials", old)
    with at_amazon({"AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/credentials"}):
        gateway = serve_config(config_of(bedrock_upstream(platform.url, profile="work", **NOBODYS)))
        assert counted(told(gateway))
        if why == "expired":
            platform.world.keys[old.access_key] = evolve(old, expires_at=time.time())
        else:
            del platform.world.keys[old.access_key]
        credentials_file(tmp_path / "credentials", OTHER)
        assert told(gateway, stream=True).text == COUNTED
        assert counted(told(gateway))
        del platform.world.keys[OTHER.access_key]
        reply = told(gateway)
    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_auth_failed")
    signed = [one.headers["X-Amz-Security-Token"] for one in asked(platform, DEMO)]
    assert signed == ["old-token", "old-token", *[OTHER.session_token] * 4]
    assert runs(platform, DEMO) == 3
    for secret in ("old-secret", "old-token", SECRET, OTHER.session_token):
        assert secret not in log.text


# What the account has.


def listed(gateway: GatewayThread) -> list[str]:
    with sdk(gateway.url + "/v1") as client:
        return [model.id for model in client.models.list()]


def test_agents_and_flows_are_listed_where_that_is_wanted(serve_config):
    agents = {
        f"AGENT{number:05d}": Agent(aliases={f"ALIAS{number:05d}": Alias(accepts=number != 3)})
        for number in range(1, 13)
    }
    agents["AGENTDRAFT"] = Agent(status="CREATING", aliases={"ALIASDRAFT": Alias()})
    with hosted(lambda: stand_in_of(agents=agents)) as stand_in:
        url, nobody = stand_in.url, {"agent_id": "", "agent_alias_id": "", "models": ()}
        config = config_of(
            bedrock_upstream(url, "eu", discover=True, **nobody),
            bedrock_upstream(
                url, "flows", flow=DEMO_FLOW, flow_alias=DEMO_FLOW_ALIAS, discover=True, **nobody
            ),
            bedrock_upstream(url, "quiet", models=("quiet",), flow=DEMO_FLOW, flow_alias=DEMO_FLOW_ALIAS),
        )
        gateway = serve_config(config)
        found = listed(gateway)
        aliases = [f"eu/AGENT{n:05d}/ALIAS{n:05d}" for n in range(1, 13) if n != 3]
        drafts = [f"eu/AGENT{n:05d}/TSTALIASID" for n in range(1, 13)]
        assert found[0] == "quiet"
        assert sorted(found[1:]) == sorted(
            [*aliases, *drafts, f"flows/{DEMO_FLOW}/{DEMO_FLOW_ALIAS}", f"flows/{DEMO_FLOW}/TSTALIASID"]
        )
        before = len(stand_in.requests)
        with sdk(gateway.url + "/v1") as client:
            for model in (aliases[3], f"flows/{DEMO_FLOW}/{DEMO_FLOW_ALIAS}"):
                shown = client.models.retrieve(model)
                assert abs(shown.created - time.time()) < 60
                answer = client.chat.completions.create(model=model, messages=asking(COUNT))
                assert (answer.choices[0].message.content, answer.model) == (COUNTED, model)
        paths = [one.path for one in list(stand_in.requests)[before:]]
        assert [path.partition("/sessions")[0] for path in paths] == [
            "/agents/AGENT00005/agentAliases/ALIAS00005",
            f"/flows/{DEMO_FLOW}/aliases/{DEMO_FLOW_ALIAS}",
        ]


async def test_a_check_online_says_what_the_credential_opens(platform: BedrockStandIn):
    flow = {"flow": DEMO_FLOW, "flow_alias": DEMO_FLOW_ALIAS}
    ups = [
        bedrock_upstream(platform.url, "agent"),
        bedrock_upstream(platform.url, "flow", **flow),
        bedrock_upstream(platform.url, "inline", foundation_model="amazon.nova-lite-v1:0"),
        bedrock_upstream(platform.url, "wrong", secret_key=SECRET),
        bedrock_upstream(platform.url, "gone", agent_id="NOSUCHAGEN"),
    ]
    found = {one.upstream: one for one in await probe(Config(upstreams={one.name: one for one in ups}))}
    assert {name: one.ok for name, one in found.items()} == {
        "agent": True,
        "flow": True,
        "inline": True,
        "wrong": False,
        "gone": False,
    }
    assert (found["agent"].detail, found["flow"].detail) == ("an agent", "a flow")
    assert "refused the gateway's credential" in found["wrong"].detail
    assert [one for one in platform.requests if "/sessions/" in one.path] == []


# A table of routes.

TOML = """
default_upstream = "support"

[upstreams.support]
kind = "bedrock"
models = ["helper"]
base_url = "{url}"
region = "{region}"
access_key = {{ env = "SUPPORT_KEY" }}
secret_key = {{ env = "SUPPORT_SECRET" }}
agent_id = "{agent}"
agent_alias_id = "{alias}"

[models.draft]
upstream = "support"
agent_alias_id = "TSTALIASID"
trace = false

[models.forms]
upstream = "support"
flow = "{flow}"
flow_alias = "{flow_alias}"

[models.runner]
upstream = "support"
runtime = "{runtime}"

[models.inline]
upstream = "support"
foundation_model = "amazon.nova-lite-v1:0"
instruction = "You are a patient assistant who answers in one short line."
"""


def test_a_file_with_every_way_of_answering(serve_config, platform: BedrockStandIn, tmp_path: Path, log):
    where = {"url": platform.url, "region": DEMO_REGION, "agent": DEMO_AGENT, "alias": DEMO_ALIAS}
    names = {"flow": DEMO_FLOW, "flow_alias": DEMO_FLOW_ALIAS, "runtime": DEMO_RUNTIME}
    (tmp_path / "deltawire.toml").write_text(TOML.format(**where, **names))
    environ = {
        "SUPPORT_KEY": DEMO_KEYS.access_key,
        "SUPPORT_SECRET": DEMO_KEYS.secret_key,
        "PORT": "0",
    }
    path = Path("deltawire.toml")
    loaded = load(path=path, environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    assert loaded.warnings == ()
    gateway = serve_config(loaded.config)
    expected = {
        "support/x": f"/agents/{DEMO_AGENT}/agentAliases/{DEMO_ALIAS}/",
        "helper": f"/agents/{DEMO_AGENT}/agentAliases/{DEMO_ALIAS}/",
        "draft": f"/agents/{DEMO_AGENT}/agentAliases/TSTALIASID/",
        "forms": f"/flows/{DEMO_FLOW}/aliases/{DEMO_FLOW_ALIAS}",
        "runner": "/runtimes/arn%3Aaws%3Abedrock-agentcore",
        "inline": "/agents/",
    }
    assert listed(gateway) == ["helper", "draft", "forms", "runner", "inline"]
    for model, begins in expected.items():
        reply = told(gateway, model=model)
        assert counted(reply) and reply.json["model"] == model
        assert platform.requests[-1].path.startswith(begins)
    assert DEMO_KEYS.secret_key not in log.text
    assert DEMO_KEYS.secret_key not in json.dumps([dict(one.headers) for one in platform.requests])
