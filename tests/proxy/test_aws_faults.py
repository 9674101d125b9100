"""Where no keys are to be had: who has to do something, and that nobody reads a secret of it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.aws_credentials import AwsTools
from proxy.simulators.script import Close, ScriptServer, Step
from tests.proxy.aws_setup import amazon, bare, gives, identity, said
from tests.proxy.wires_setup import says
from translators.errors import (
    GatewayError,
    UpstreamAuthFailed,
    UpstreamNotReady,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)

__all__ = ["bare"]
ANYONE = identity(region="us-east-1")
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture(autouse=True)
def machine(bare: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.MonkeyPatch]:
    yield bare
    assert SECRET not in caplog.text


async def refusal(who: Any = ANYONE) -> GatewayError:
    async with amazon(who) as (wire, server):
        with pytest.raises(GatewayError) as caught:
            await said(wire)
        assert server.requests == [], "nothing goes out unsigned"
    for text in (caught.value.message, caught.value.detail, repr(caught.value)):
        assert SECRET not in text
    return caught.value


async def test_without_any_it_is_said_what_to_set() -> None:
    told = await refusal()
    assert type(told) is UpstreamNotReady
    assert (told.status, told.code, told.should_retry) == (503, "upstream_not_configured", False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "role"):
        assert name in told.message


async def test_half_a_key_is_a_mistake_of_the_operators(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    told = await refusal()
    assert type(told) is UpstreamNotReady
    assert "PartialCredentialsError" in told.detail


CONFIGURATIONS = {
    "no such profile": ("", "other"),
    "a role without a source": ("[profile p]\nrole_arn = arn:aws:iam::1:role/r\n", "p"),
    "a source that is not there": (
        "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = gone\n",
        "p",
    ),
    "roles in a ring": (
        "[profile p]\nrole_arn = a\nsource_profile = q\n[profile q]\nrole_arn = b\nsource_profile = p\n",
        "p",
    ),
    "no configuration at all": ("[[[", "p"),
    "an unknown source": ("[profile p]\nrole_arn = a\ncredential_source = Mars\n", "p"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_configuration_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    text, profile = CONFIGURATIONS[name]
    (tmp_path / "config").write_text(text)
    told = await refusal(identity(region="us-east-1", profile=profile))
    assert type(told) is UpstreamNotReady
    assert "AWS_PROFILE" in told.message and told.detail


async def test_a_profile_that_is_not_there_has_no_region_either() -> None:
    told = await refusal(identity(profile="gone"))
    assert (type(told), "AWS_PROFILE" in told.message) == (UpstreamNotReady, True)


PROCESSES = {
    "fails": f"import sys; sys.stderr.write('secret_key={SECRET}'); sys.exit(1)",
    "says no JSON": f"print('{SECRET}')",
    "says a list": "print('[]')",
    "says too little": "print('{\"Version\": 1}')",
    "says the wrong version": "print('{\"Version\": 7}')",
    "says keys that have ended": (
        'print(\'{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"2020-01-01T00:00:00Z"}\')'
    ),
}


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_process_that_gives_no_keys(tmp_path: Path, name: str) -> None:
    program = tmp_path / "keys.py"
    program.write_text(PROCESSES[name])
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    told = await refusal()
    assert (type(told), told.message) == (UpstreamAuthFailed, "The gateway was given no AWS credentials.")


async def test_a_process_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = /no/such/program\n")
    assert type(await refusal()) is UpstreamAuthFailed


async def test_a_renewal_that_fails_is_told_without_what_its_process_said(tmp_path: Path) -> None:
    program = tmp_path / "keys.py"
    ends = "2999-01-01T00:00:00Z"
    keys = f'{{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c","Expiration":"{ends}"}}'
    program.write_text(
        "import os, sys\n"
        f"if os.path.exists({str(tmp_path / 'once')!r}): sys.exit('{SECRET}')\n"
        f"open({str(tmp_path / 'once')!r}, 'w').close(); print('{keys}')\n"
    )
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    tools = AwsTools(ANYONE)
    tools.keys("us-east-1", False)
    tools._credentials._seconds_remaining = lambda: 1.0
    with pytest.raises(UpstreamAuthFailed) as caught:
        tools.keys("us-east-1", False)
    assert "CredentialRetrievalError" in caught.value.detail
    assert SECRET not in caught.value.detail and caught.value.__cause__ is None


@pytest.fixture
def role(machine: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine whose keys come of a web identity; quick to give up."""
    (tmp_path / "jwt").write_text("the.web.token")
    machine.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "jwt"))
    machine.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r")
    machine.setattr("botocore.retryhandler.delay_exponential", lambda *a, **k: 0)
    machine.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *a, **k: 0)
    return machine


def sts_error(status: int, code: str) -> list[Step]:
    return says(
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>for token {SECRET}</Message></Error></ErrorResponse>".encode(),
        status,
    )


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (sts_error(403, "AccessDenied"), UpstreamAuthFailed),
        (sts_error(400, "InvalidIdentityToken"), UpstreamAuthFailed),
        (sts_error(500, "InternalFailure"), UpstreamOverloaded),
        (sts_error(429, "TooManyRequests"), UpstreamOverloaded),
        (sts_error(400, "Throttling"), UpstreamOverloaded),
        ([Close()], UpstreamUnreachable),
    ],
    ids=["denied", "invalid", "broken", "too many", "throttled", "hangs up"],
)
async def test_a_service_that_gives_no_keys(
    role: pytest.MonkeyPatch, script: list[Step], kind: type[GatewayError]
) -> None:
    async with ScriptServer(script) as sts:
        role.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        assert type(await refusal()) is kind


async def test_a_service_that_is_not_there(role: pytest.MonkeyPatch) -> None:
    role.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    assert type(await refusal()) is UpstreamUnreachable


async def test_a_token_that_cannot_be_read(role: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jwt").unlink()
    assert type(await refusal()) is UpstreamAuthFailed


async def test_a_container_that_gives_none(machine: pytest.MonkeyPatch) -> None:
    machine.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    async with ScriptServer(gives({"Message": "no"}, 400)) as server:
        machine.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
        assert type(await refusal()) is UpstreamAuthFailed


async def test_what_hangs_is_not_waited_for_and_hangs_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(AwsTools, "keys", lambda *a: let_go.wait(5))
    monkeypatch.setattr("proxy.aws_credentials.PATIENCE", 0.05)
    began = time.monotonic()
    try:
        for _ in range(3):
            assert type(await refusal()) is UpstreamTimeout
        async with amazon() as (wire, _):
            assert await said(wire) == "200 yes"
    finally:
        let_go.set()
    assert time.monotonic() - began < 3


async def test_a_failure_is_not_remembered(machine: pytest.MonkeyPatch) -> None:
    async with amazon(ANYONE) as (wire, _):
        with pytest.raises(UpstreamNotReady):
            await said(wire)
        machine.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
        machine.setenv("AWS_SECRET_ACCESS_KEY", "sekret")
        assert await said(wire) == "200 yes"


async def test_no_log_at_any_level_holds_a_key(
    role: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Below INFO, Amazon's tools log the answers of their services."""
    log = logging.getLogger("botocore")
    role.setattr(log, "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    answer = (
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        f"<AccessKeyId>AKIDTEST</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
        f"<SessionToken>tok{SECRET}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    async with ScriptServer(says(answer.encode())) as sts:
        role.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        async with amazon(ANYONE, says(b"yes")) as (wire, _):
            assert await said(wire) == "200 yes"
    assert SECRET not in caplog.text and "the.web.token" not in caplog.text
    assert log.getEffectiveLevel() == logging.INFO
