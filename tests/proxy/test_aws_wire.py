"""What goes out to Amazon is signed as it is sent, at the address that its tools name, and never sent twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from proxy.aws import KEEP, AwsWire
from proxy.aws_credentials import AwsTools
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Abort, Close, ScriptServer, Step
from proxy.wire.lean import LeanWire
from tests.proxy.aws_setup import (
    ASK,
    OWN_KEYS,
    SECRETS,
    SHARED,
    Clock,
    amazon,
    bare,
    checks,
    fault,
    identity,
    said,
    scope_of,
    signed_names,
    wire_maker,
)
from tests.proxy.wires_setup import says
from translators.errors import Internal, UpstreamDisconnected, UpstreamNotReady, UpstreamStale
from translators.upstreams.plan import AwsIdentity, Call

__all__ = ["bare"]
pytestmark = pytest.mark.usefixtures("bare")
BOTH = ["lean", "reference"]

CALLS = {
    "an agent": ASK,
    "a query": Call("POST", "runtimes/arn%3Aaws%3Ax%2Fy/invocations?qualifier=DE%2FF&a=1", b"{}"),
    "no body": Call("GET", "flows/?nextToken=a%2Bb%3D%3D&maxResults=10"),
    "a deletion": Call("DELETE", "agents/A/memories?memoryId=m%3A1"),
    "headers of its own": Call(
        "POST", "x", b"1", {"x-amz-source-arn": "arn:aws:bedrock:a", "X-Amzn-Session": "s  1", "X-Other": "o"}
    ),
    "a type of its own": Call("POST", "x", b"\xff\0", {"content-type": "application/octet-stream"}),
    "empty segments": Call("POST", "a//b/", b"1"),
    "a long body": Call("POST", "x", b"x" * (2 << 20)),
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("path", ["", "/below/it"], ids=["root", "below"])
async def test_what_is_sent_is_what_was_signed(kind: str, path: str) -> None:
    async with amazon(kind=kind, path=path) as (wire, server):
        for name, call in CALLS.items():
            assert await said(wire, call) == "200 yes", name
            asked = server.requests[-1]
            assert asked.path == f"{path}/{call.path}", name
            assert (asked.method, asked.body) == (call.method, call.body)
            assert len(asked.headers.getall("Host")) == len(asked.headers.getall("X-Amz-Date")) == 1
            assert scope_of(asked) == ("AKIDTEST", "20260102", "us-east-1", "bedrock")


@pytest.mark.parametrize("kind", BOTH)
async def test_what_is_signed_is_what_has_to_be(kind: str) -> None:
    async with amazon(kind=kind) as (wire, server):
        await said(wire)
        await said(wire, CALLS["headers of its own"])
        plain, own = server.requests
    assert signed_names(plain) == "content-type;host;x-amz-date"
    assert signed_names(own) == "content-type;host;x-amz-date;x-amz-source-arn;x-amzn-session"
    assert (own.headers["X-Other"], own.headers["User-Agent"]) == ("o", "deltawire/test")


@pytest.mark.parametrize(
    "path", ["agents/../text", "sessions/..", "./x", "a/./b", "//elsewhere/x", "http://elsewhere/x"]
)
async def test_a_path_that_leads_elsewhere_is_not_gone(path: str) -> None:
    async with amazon(path="/below") as (wire, server):
        with pytest.raises(Internal):
            await said(wire, Call("POST", path))
        assert server.requests == []


async def test_the_check_of_these_tests_can_say_no() -> None:
    async with amazon() as (wire, server):
        await said(wire)
        [asked] = server.requests
    assert fault(asked) == ""
    assert fault(asked, {"AKIDTEST": ("other", "")}) == "InvalidSignatureException"
    assert fault(asked, {"AKIDTEST": ("sekret", "token")}) == "UnrecognizedClientException"
    assert fault(asked, {}) == "UnrecognizedClientException"
    changed = {"path": asked.path.replace("%3A", ":"), "body": b"{}", "method": "PUT"}
    for name, value in changed.items():
        parts: dict[str, Any] = {
            "method": asked.method,
            "path": asked.path,
            "headers": asked.headers,
            "body": asked.body,
            "connection": 1,
        }
        assert fault(Recorded(**{**parts, name: value})) == "InvalidSignatureException", name


@pytest.mark.parametrize("kind", BOTH)
async def test_temporary_keys_of_ones_own(kind: str) -> None:
    who = identity(region="eu-central-1", access_key="ASIATEMP", secret_key="tmp", session_token="tok/en==")
    async with amazon(who, checks({"ASIATEMP": ("tmp", "tok/en==")}), kind=kind) as (wire, server):
        assert await said(wire) == "200 yes"
        assert scope_of(server.requests[0])[2] == "eu-central-1"
        assert signed_names(server.requests[0]).endswith(";x-amz-security-token")


async def test_headers_of_the_operators_are_signed_if_they_have_to_be() -> None:
    shared = {**SHARED, "X-Amz-Team": "blue", "X-Team": "red", "Host": "agents.internal"}
    async with amazon(shared=shared) as (wire, server):
        assert await said(wire) == "200 yes"
        [asked] = server.requests
    assert signed_names(asked) == "content-type;host;x-amz-date;x-amz-team"
    assert asked.headers.getall("Host") == ["agents.internal"]
    assert asked.headers["X-Team"] == "red"


async def test_each_day_has_a_key_of_its_own() -> None:
    clock = Clock()
    async with amazon(clock=clock) as (wire, server):
        for _ in range(2):
            assert await said(wire) == "200 yes"
        clock.now += 86400
        assert await said(wire) == "200 yes"
        assert [scope_of(asked)[1] for asked in server.requests] == ["20260102", "20260102", "20260103"]


async def test_each_service_is_signed_for_under_its_own_name() -> None:
    async with amazon() as (wire, server):
        for service in ("", "bedrock-agent", "bedrock-agentcore", "bedrock-agent-runtime", "sts"):
            assert await said(wire, Call("POST", "x", b"", service=service)) == "200 yes"
        names = [scope_of(asked)[3] for asked in server.requests]
    assert names == ["bedrock", "bedrock", "bedrock-agentcore", "bedrock", "sts"]


BEARER = {**SHARED, "Authorization": "Bearer theirs"}


@pytest.mark.parametrize("kind", BOTH)
async def test_where_the_operator_configured_an_authorization_nothing_is_signed(kind: str) -> None:
    async with amazon(identity(region="us-east-1"), says(b"yes"), kind=kind, shared=BEARER) as (wire, server):
        assert await said(wire) == "200 yes"
        [asked] = server.requests
    assert asked.headers.getall("Authorization") == ["Bearer theirs"]
    assert not any(name.lower().startswith("x-amz") for name in asked.headers)


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_nor_is_a_call_that_brings_one(name: str) -> None:
    async with amazon(script=says(b"yes")) as (wire, server):
        await said(wire, Call("POST", "x", b"", {name: "Bearer client"}))
        assert server.requests[0].headers.getall("Authorization") == ["Bearer client"]


# Addresses and regions.


async def test_each_service_is_where_amazons_tools_say(bare: pytest.MonkeyPatch) -> None:
    who = identity(region="us-east-1", access_key="AKIDTEST", secret_key="sekret")
    async with ScriptServer(checks()) as runtime, ScriptServer(checks()) as control:
        bare.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", runtime.url)
        bare.setenv("AWS_ENDPOINT_URL", f"{control.url}/all")
        wire = AwsWire(
            who, "", lambda address, keep=0.0: LeanWire(address, SHARED, 2.0, keep), SHARED, Clock()
        )
        for service in ("", "bedrock-agent", "bedrock-agentcore", ""):
            assert await said(wire, Call("POST", "x", b"", service=service)) == "200 yes"
        await wire.close()
        assert [asked.path for asked in runtime.requests] == ["/x", "/x"]
        assert [asked.path for asked in control.requests] == ["/all/x", "/all/x"]
        assert {asked.connection for asked in runtime.requests} == {1}


RUNTIME = "bedrock-agent-runtime"
ADDRESSES = [
    (RUNTIME, "us-east-1", {}, "https://bedrock-agent-runtime.us-east-1.amazonaws.com"),
    ("bedrock-agent", "eu-central-1", {}, "https://bedrock-agent.eu-central-1.amazonaws.com"),
    ("bedrock-agentcore", "us-west-2", {}, "https://bedrock-agentcore.us-west-2.amazonaws.com"),
    (RUNTIME, "cn-north-1", {}, "https://bedrock-agent-runtime.cn-north-1.amazonaws.com.cn"),
    (
        RUNTIME,
        "us-east-1",
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        "https://bedrock-agent-runtime-fips.us-east-1.amazonaws.com",
    ),
    (
        RUNTIME,
        "us-east-1",
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        "https://bedrock-agent-runtime.us-east-1.api.aws",
    ),
    (RUNTIME, "us-east-1", {"AWS_ENDPOINT_URL": "http://vpc:8080"}, "http://vpc:8080"),
    (
        RUNTIME,
        "us-east-1",
        {"AWS_ENDPOINT_URL": "http://vpc:8080", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        "https://bedrock-agent-runtime.us-east-1.amazonaws.com",
    ),
]


@pytest.mark.parametrize(("service", "region", "variables", "address"), ADDRESSES)
def test_an_address_follows_amazons_rules(
    bare: pytest.MonkeyPatch, service: str, region: str, variables: dict[str, str], address: str
) -> None:
    for name, value in variables.items():
        bare.setenv(name, value)
    assert AwsTools(identity()).address(service, region) == address


def test_a_profile_may_name_address_and_region(bare: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "config").write_text(
        "[profile far]\nregion = ap-south-1\nservices = here\n"
        "[services here]\nbedrock_agent_runtime =\n  endpoint_url = http://profiled:1\n"
    )
    tools = AwsTools(identity(profile="far"))
    assert tools.region() == "ap-south-1"
    assert tools.address(RUNTIME, "ap-south-1") == "http://profiled:1"
    bare.setenv("AWS_PROFILE", "far")
    assert AwsTools(identity()).region() == "ap-south-1"


@pytest.mark.parametrize(
    ("own", "variables", "region"),
    [
        ("eu-west-1", {"AWS_REGION": "us-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1"),
        ("", {"AWS_REGION": "us-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-1"),
        ("", {"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_which_region_counts(
    bare: pytest.MonkeyPatch, own: str, variables: dict[str, str], region: str
) -> None:
    for name, value in variables.items():
        bare.setenv(name, value)
    assert AwsTools(identity(region=own)).region() == region


@pytest.mark.parametrize("region", ["", "us east", "us-east-1\r\nX: y", "a.b/"])
async def test_without_a_region_it_is_said_what_to_set(bare: pytest.MonkeyPatch, region: str) -> None:
    bare.setenv("AWS_REGION", region)
    async with amazon(identity(access_key="AKIDTEST", secret_key="sekret")) as (wire, server):
        with pytest.raises(UpstreamNotReady, match="AWS_REGION") as caught:
            await said(wire)
        assert server.requests == []
    assert (caught.value.status, caught.value.should_retry) == (503, False)


@pytest.mark.parametrize("address", ["nonsense", "ftp://host", "http://"])
async def test_an_address_that_is_none_is_for_the_operator_to_mend(
    bare: pytest.MonkeyPatch, address: str
) -> None:
    bare.setenv("AWS_ENDPOINT_URL", address)
    wire = AwsWire(OWN_KEYS, "", lambda address, keep=0.0: pytest.fail(address), SHARED, Clock())
    with pytest.raises(UpstreamNotReady, match="AWS_ENDPOINT_URL"):
        await said(wire)
    await wire.close()


# What the loop is spared.


async def test_many_first_requests_cause_one_look_and_none_in_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[str] = []
    find = AwsTools.region

    def region(tools: AwsTools) -> str:
        threads.append(threading.current_thread().name)
        return find(tools)

    monkeypatch.setattr(AwsTools, "region", region)
    async with amazon() as (wire, server):
        make, made = wire.make, []

        def noted(address: str, keep: float = 0.0) -> Any:
            made.append((address, keep, threading.current_thread().name))
            return make(address, keep)

        wire.make = noted
        assert set(await asyncio.gather(*(said(wire) for _ in range(20)))) == {"200 yes"}
        assert made == [(server.url, KEEP, "aws_0")]
    assert threads == ["aws_0"]
    assert KEEP < 20


def test_amazons_tools_are_loaded_only_when_they_are_needed() -> None:
    script = (
        "import asyncio, sys\n"
        "import proxy.server, translators.upstreams\n"
        "from proxy.aws import AwsWire\n"
        "from translators.upstreams.plan import AwsIdentity, Call\n"
        "from translators.errors import UpstreamUnreachable\n"
        "from proxy.wire.lean import LeanWire\n"
        "own = AwsIdentity('s', {}, 'us-east-1', '', 'A', 'b')\n"
        "wire = AwsWire(own, 'http://127.0.0.1:1', lambda a, keep: LeanWire(a, {}, 1.0, keep), {})\n"
        "async def ask():\n"
        "    try: await wire.send(Call('GET', 'x'))\n"
        "    except UpstreamUnreachable: print(sorted(n for n in sys.modules if 'boto' in n))\n"
        "asyncio.run(ask())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "[]\n"


# Once.


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("end", [Close(), Abort()], ids=["closed", "reset"])
async def test_a_question_on_a_dead_connection_may_have_been_heard(kind: str, end: Step) -> None:
    def script(asked: Recorded) -> list[Step]:
        return says(b"yes") if len(server.requests) == 1 else [end]

    async with amazon(script=script, kind=kind) as (wire, server):
        assert await said(wire) == "200 yes"
        with pytest.raises(UpstreamDisconnected) as caught:
            await said(wire)
        assert server.requests[0].connection == server.requests[1].connection
    assert type(caught.value) is UpstreamDisconnected and type(caught.value.__cause__) is UpstreamStale


def test_secrets_are_nowhere_to_be_read() -> None:
    shown = repr(AwsIdentity("s", {}, "r", "p", "AKID", "sekret", "tok")) + repr(AwsTools(OWN_KEYS))
    assert "sekret" not in shown and "tok'" not in shown
    assert SECRETS["AKIDTEST"][0] == "sekret"


async def test_closing_twice_and_before_anything_was_asked_is_nothing() -> None:
    wire = AwsWire(OWN_KEYS, "http://127.0.0.1:1", wire_maker("lean", None), SHARED)
    await wire.close()
    await wire.close()
