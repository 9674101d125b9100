"""Amazon, as far as a request's signature goes: an environment with nothing in it, and a server that checks.

What was signed is worked out again by botocore's own signer from the bytes that came, so nothing here shares a line
with what is tested.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from proxy.aws import AwsWire
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import ScriptServer, Step
from proxy.wire.base import Wire
from proxy.wire.lean import LeanWire
from proxy.wire.reference import ReferenceWire, client_session
from tests.proxy.wires_setup import says
from translators import wirejson
from translators.upstreams.plan import AwsIdentity, Call

NOW = 1_767_323_045.0
"""2026-01-02T03:04:05Z"""
NAMES = {
    "bedrock-agent-runtime": "bedrock",
    "bedrock-agent": "bedrock",
    "bedrock-agentcore": "bedrock-agentcore",
}
SHARED = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "deltawire/test"}
ASK = Call("POST", "agents/AGENT12345/agentAliases/TSTALIASID/sessions/s%3A1/text", b'{"inputText":"hi"}')
SECRETS: dict[str, tuple[str, str]] = {"AKIDTEST": ("sekret", "")}
"""Secret key and session token by access key."""

Answers = Callable[[Recorded], Sequence[Step]]


def identity(**own: str) -> AwsIdentity:
    return AwsIdentity("bedrock-agent-runtime", NAMES, **own)


OWN_KEYS = identity(region="us-east-1", access_key="AKIDTEST", secret_key="sekret")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine that Amazon has never heard of."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def scope_of(asked: Recorded) -> tuple[str, str, str, str]:
    """Access key, day, region and service of a signature."""
    credential = asked.headers["Authorization"].partition("Credential=")[2].partition(",")[0]
    access_key, day, region, service, _ = credential.split("/")
    return access_key, day, region, service


def signed_names(asked: Recorded) -> str:
    return asked.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]


def fault(asked: Recorded, secrets: Mapping[str, tuple[str, str]] = SECRETS) -> str:
    """What Amazon would say against the signature; nothing if it is right."""
    authorizations = asked.headers.getall("Authorization", [])
    if len(authorizations) != 1 or not authorizations[0].startswith("AWS4-HMAC-SHA256 "):
        return "MissingAuthenticationTokenException"
    access_key, _, region, service = scope_of(asked)
    if access_key not in secrets:
        return "UnrecognizedClientException"
    secret, token = secrets[access_key]
    if asked.headers.get("X-Amz-Security-Token", "") != token:
        return "UnrecognizedClientException"
    names = signed_names(asked).split(";")
    unsigned = {name.lower() for name in asked.headers} - set(names)
    if "host" not in names or any(name.startswith("x-amz") for name in unsigned):
        return "IncompleteSignatureException"
    dropped = ("x-amz-date", "x-amz-security-token")
    headers = {name: asked.headers[name] for name in names if name not in dropped}
    request = AWSRequest(
        asked.method, f"http://{asked.headers['Host']}{asked.path}", headers=headers, data=asked.body
    )
    at = datetime.strptime(asked.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with mock.patch("botocore.auth.get_current_datetime", lambda: at):
        SigV4Auth(Credentials(access_key, secret, token or None), service, region).add_auth(request)
    same = request.headers["Authorization"] == authorizations[0]
    return "" if same else "InvalidSignatureException"


def checks(secrets: Mapping[str, tuple[str, str]] = SECRETS) -> Answers:
    """Answers what is signed right, and refuses the rest as Amazon does."""

    def answer(asked: Recorded) -> list[Step]:
        wrong = fault(asked, secrets)
        return (
            says(b"no", 403, x_amzn_ErrorType=f"{wrong}:http://internal.amazon.com/")
            if wrong
            else says(b"yes")
        )

    return answer


def wire_maker(kind: str, session: aiohttp.ClientSession, shared: Mapping[str, str] = SHARED) -> Any:
    def make(address: str, keep: float = 0.0) -> Wire:
        if kind == "lean":
            return LeanWire(address, shared, 2.0, keep)
        return ReferenceWire(address, shared, 2.0, session)

    return make


@asynccontextmanager
async def amazon(
    who: AwsIdentity = OWN_KEYS,
    script: Any = None,
    *,
    kind: str = "lean",
    shared: Mapping[str, str] = SHARED,
    clock: Callable[[], float] | None = None,
    path: str = "",
) -> AsyncIterator[tuple[AwsWire, ScriptServer]]:
    """A wire to one server that is all of Amazon."""
    async with ScriptServer(checks() if script is None else script) as server, client_session() as session:
        make = wire_maker(kind, session, shared)
        wire = AwsWire(who, server.url + path, make, shared, clock or Clock())
        try:
            yield wire, server
        finally:
            await wire.close()


async def said(wire: Wire, call: Call = ASK) -> str:
    """Status and body of the answer to ``call``, in one line."""
    answer = await wire.send(call)
    body = b""
    while piece := await answer.body.read():
        body += piece
    answer.body.finish()
    return f"{answer.status} {body.decode()}"


def gives(document: Any, status: int = 200) -> list[Step]:
    return says(wirejson.dumps(document), status)
