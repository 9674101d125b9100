"""Every place where Amazon's tools find keys, as far as one machine can play it; and keys that end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.aws_credentials import FRESH
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Hang, Script, ScriptServer, Step
from tests.proxy.aws_setup import NOW, Clock, amazon, bare, checks, gives, identity, said, scope_of
from tests.proxy.wires_setup import in_turn, says
from translators.errors import UpstreamTimeout
from translators.upstreams.plan import AwsIdentity

__all__ = ["bare"]
ANYONE = identity(region="us-east-1")
KNOWN = {
    "AKIDTEST": ("sekret", ""),
    "ASIA1": ("secret1", "token1"),
    "ASIA2": ("secret2", "token2"),
}
STS = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>{end}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>
</AssumedRoleUser></{action}Result></{action}Response>"""


@pytest.fixture(autouse=True)
def machine(bare: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return bare


def end(minutes: float = 60) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(number: int, minutes: float = 60) -> dict[str, Any]:
    return {
        "AccessKeyId": f"ASIA{number}",
        "SecretAccessKey": f"secret{number}",
        "Token": f"token{number}",
        "SessionToken": f"token{number}",
        "Expiration": end(minutes),
        "Code": "Success",
        "Version": 1,
    }


def assumed(action: str, number: int = 1, minutes: float = 60) -> list[Step]:
    text = STS.format(
        action=action, id=f"ASIA{number}", secret=f"secret{number}", token=f"token{number}", end=end(minutes)
    )
    return says(text.encode())


async def asked_as(
    who: AwsIdentity, times: int = 1, clock: Callable[[], float] | None = None, script: Any = None
) -> list[str]:
    """Under whose keys a question went out, for each time; each was taken."""
    async with amazon(who, script or checks(KNOWN), clock=clock) as (wire, server):
        for _ in range(times):
            assert await said(wire) == "200 yes"
        return [scope_of(asked)[0] for asked in server.requests]


# Where keys are found.


async def test_in_the_environment(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_ACCESS_KEY_ID", "ASIA1")
    machine.setenv("AWS_SECRET_ACCESS_KEY", "secret1")
    machine.setenv("AWS_SESSION_TOKEN", "token1")
    machine.setenv("AWS_REGION", "eu-central-1")
    async with amazon(identity(), checks(KNOWN)) as (wire, server):
        assert await said(wire) == "200 yes"
        assert scope_of(server.requests[0]) == ("ASIA1", "20260102", "eu-central-1", "bedrock")


@pytest.mark.parametrize("how", ["setting", "AWS_PROFILE"])
async def test_in_a_profile(machine: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    (tmp_path / "credentials").write_text(
        "[team]\naws_access_key_id = AKIDTEST\naws_secret_access_key = sekret\n"
    )
    if how == "setting":
        machine.setenv("AWS_ACCESS_KEY_ID", "OTHER")
        machine.setenv("AWS_SECRET_ACCESS_KEY", "other")
        who = identity(region="us-east-1", profile="team")
    else:
        machine.setenv(how, "team")
        who = ANYONE
    assert await asked_as(who) == ["AKIDTEST"]


def printing(tmp_path: Path, text: str) -> None:
    """A profile whose keys a process prints."""
    program = tmp_path / "keys.py"
    program.write_text(text)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")


async def test_of_a_process(tmp_path: Path) -> None:
    printing(tmp_path, f"import json; print(json.dumps({keys(1)!r}))")
    assert await asked_as(ANYONE) == ["ASIA1"]


async def test_of_a_container(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod-token")
    async with ScriptServer(gives(keys(1))) as server:
        machine.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/creds")
        machine.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        assert await asked_as(ANYONE, times=3) == ["ASIA1"] * 3
        [asked] = server.requests
    assert (asked.path, asked.headers["Authorization"]) == ("/creds", "pod-token")


async def test_of_an_instance(machine: pytest.MonkeyPatch) -> None:
    def metadata(asked: Recorded) -> list[Step]:
        if asked.method == "PUT":
            return says(b"imds-token")
        assert asked.headers["x-aws-ec2-metadata-token"] == "imds-token"
        return says(b"the-role") if asked.path.endswith("/") else gives(keys(2))

    async with ScriptServer(metadata) as server:
        machine.delenv("AWS_EC2_METADATA_DISABLED")
        machine.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        assert await asked_as(ANYONE) == ["ASIA2"]
        assert server.requests[-1].path.endswith("/security-credentials/the-role")


async def test_of_a_role(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile own]\naws_access_key_id = AKIDTEST\naws_secret_access_key = sekret\n"
        "[profile role]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = own\n"
    )
    async with ScriptServer(assumed("AssumeRole")) as sts:
        machine.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        assert await asked_as(identity(region="eu-central-1", profile="role")) == ["ASIA1"]
        [asked] = sts.requests
    assert scope_of(asked) == ("AKIDTEST", scope_of(asked)[1], "eu-central-1", "sts")
    assert b"Action=AssumeRole" in asked.body


async def test_of_a_web_identity(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text("the.web.token")
    machine.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "jwt"))
    machine.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r")
    machine.setenv("AWS_REGION", "us-east-1")
    async with ScriptServer(assumed("AssumeRoleWithWebIdentity", 2)) as sts:
        machine.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        assert await asked_as(identity()) == ["ASIA2"]
        assert b"WebIdentityToken=the.web.token" in sts.requests[0].body


async def test_of_single_sign_on(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hashlib import sha1

    from translators import wirejson

    cache = tmp_path / "sso"
    cache.mkdir()
    machine.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    start = "https://team.awsapps.com/start"
    token = {"accessToken": "sso-token", "expiresAt": end(), "region": "us-east-1", "startUrl": start}
    (cache / f"{sha1(start.encode()).hexdigest()}.json").write_bytes(wirejson.dumps(token))
    (tmp_path / "config").write_text(
        f"[default]\nsso_start_url = {start}\nsso_region = us-east-1\nsso_account_id = 111122223333\n"
        "sso_role_name = r\n"
    )
    milliseconds = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    role = {"accessKeyId": "ASIA1", "secretAccessKey": "secret1", "sessionToken": "token1"}
    async with ScriptServer(gives({"roleCredentials": {**role, "expiration": milliseconds}})) as portal:
        machine.setenv("AWS_ENDPOINT_URL_SSO", portal.url)
        assert await asked_as(ANYONE) == ["ASIA1"]
        assert portal.requests[0].headers["x-amz-sso_bearer_token"] == "sso-token"


# Keys that end.


@pytest.fixture
def container(machine: pytest.MonkeyPatch) -> Callable[[Script], ScriptServer]:
    """A machine whose keys come from a service that says this."""

    class Container(ScriptServer):
        async def __aenter__(self) -> Any:
            await super().__aenter__()
            machine.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{self.url}/creds")
            return self

    return Container


async def test_many_at_once_look_once(container: Callable[[Script], ScriptServer]) -> None:
    async with container(gives(keys(1))) as source, amazon(ANYONE, checks(KNOWN)) as (wire, _):
        assert set(await asyncio.gather(*(said(wire) for _ in range(20)))) == {"200 yes"}
        assert len(source.requests) == 1


@pytest.fixture
def clock(machine: pytest.MonkeyPatch) -> Clock:
    """One for the gateway and for Amazon's tools, which have their own."""
    clock = Clock()

    def seconds_left(credentials: Any) -> float:
        left: timedelta = credentials._expiry_time - datetime.now(UTC)
        return left.total_seconds() - (clock.now - NOW)

    machine.setattr("botocore.credentials.RefreshableCredentials._seconds_remaining", seconds_left)
    return clock


async def test_keys_are_renewed_before_they_end_and_not_sooner(
    container: Callable[[Script], ScriptServer], clock: Clock
) -> None:
    turns = in_turn(gives(keys(1)), gives(keys(2, minutes=120)))
    async with container(turns) as source, amazon(ANYONE, checks(KNOWN), clock=clock) as (wire, server):
        for minutes in (0, 0, 10, 34, 2, 20):
            clock.now += 60 * minutes
            await said(wire)
        assert len(source.requests) == 2
        names = [scope_of(asked)[0] for asked in server.requests]
    assert names == ["ASIA1"] * 4 + ["ASIA2"] * 2


async def test_keys_that_cannot_be_renewed_serve_as_long_as_they_last(
    container: Callable[[Script], ScriptServer],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What gives them out hangs, after 46 of their 60 minutes."""
    monkeypatch.setattr("proxy.aws_credentials.IMPATIENCE", 0.05)
    async with (
        container(in_turn(gives(keys(1)), [Hang()])) as source,
        amazon(ANYONE, checks(KNOWN), clock=clock) as (wire, server),
    ):
        for minutes in (0, 40, 6, 0):
            clock.now += 60 * minutes
            assert await said(wire) == "200 yes"
        assert len(source.requests) == 2, "it is not asked again at once"
        assert "could not be renewed, the old ones serve on" in caplog.text
        clock.now += 60 * 14
        monkeypatch.setattr("proxy.aws_credentials.PATIENCE", 0.05)
        with pytest.raises(UpstreamTimeout, match="not found in time"):
            await said(wire)
        assert [scope_of(asked)[0] for asked in server.requests] == ["ASIA1"] * 4


async def test_keys_good_for_seconds_are_looked_after_every_time(
    container: Callable[[Script], ScriptServer],
) -> None:
    async with (
        container(gives(keys(1, minutes=0.1))) as source,
        amazon(ANYONE, checks(KNOWN)) as (wire, _),
    ):
        await said(wire)
        before = len(source.requests)
        await said(wire)
        assert len(source.requests) == before + 1


# Keys that are refused.


def until_renewed(refusal: str, status: int = 403) -> Callable[[Recorded], list[Step]]:
    """The first keys are not, or no longer, good."""

    def answer(asked: Recorded) -> list[Step]:
        if scope_of(asked)[0] == "ASIA1":
            return says(b"{}", status, x_amzn_ErrorType=refusal)
        return checks(KNOWN)(asked)

    return answer


@pytest.mark.parametrize("kind", ["lean", "reference"])
@pytest.mark.parametrize("refusal", ["ExpiredTokenException", "UnrecognizedClientException:http://internal/"])
async def test_keys_that_are_refused_are_forgotten(
    container: Callable[[Script], ScriptServer], refusal: str, kind: str
) -> None:
    clock = Clock()
    async with (
        container(in_turn(gives(keys(1)), gives(keys(2)))) as source,
        amazon(ANYONE, until_renewed(refusal), clock=clock, kind=kind) as (wire, server),
    ):
        assert await said(wire) == "403 {}"
        assert await said(wire) == "403 {}", "they have only just been found"
        clock.now += FRESH
        assert await said(wire) == "403 {}"
        assert len(source.requests) == 1
        assert await said(wire) == "200 yes"
        assert len(source.requests) == 2
        assert [scope_of(asked)[0] for asked in server.requests] == ["ASIA1"] * 3 + ["ASIA2"]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [("InvalidSignatureException", 403), ("AccessDeniedException", 403), ("ExpiredTokenException", 400)],
)
async def test_other_refusals_say_nothing_against_the_keys(
    container: Callable[[Script], ScriptServer], refusal: str, status: int
) -> None:
    clock = Clock()
    async with (
        container(gives(keys(1))) as source,
        amazon(ANYONE, until_renewed(refusal, status), clock=clock) as (wire, _),
    ):
        for _ in range(3):
            assert (await said(wire)).startswith(str(status))
            clock.now += FRESH
        assert len(source.requests) == 1


async def test_a_late_refusal_of_old_keys_costs_the_new_ones_nothing(
    container: Callable[[Script], ScriptServer],
) -> None:
    clock = Clock()
    async with (
        container(in_turn(gives(keys(1)), gives(keys(2)))) as source,
        amazon(ANYONE, until_renewed("ExpiredTokenException"), clock=clock) as (wire, _),
    ):
        await said(wire)
        old = await wire._ring.keys("us-east-1")
        clock.now += FRESH
        await said(wire)
        assert await said(wire) == "200 yes"
        clock.now += FRESH
        wire._ring.refused(old)
        assert await said(wire) == "200 yes"
        assert len(source.requests) == 2


async def test_keys_of_the_upstreams_own_are_the_only_ones() -> None:
    clock = Clock()
    who = identity(region="us-east-1", access_key="ASIA1", secret_key="wrong")
    async with amazon(who, until_renewed("ExpiredTokenException"), clock=clock) as (wire, server):
        for _ in range(3):
            assert await said(wire) == "403 {}"
            clock.now += FRESH
        assert {scope_of(asked)[0] for asked in server.requests} == {"ASIA1"}
