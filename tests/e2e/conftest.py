"""What the end-to-end tests share beside the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.e2e.plans_setup import Planner
from tests.support.loglines import LogLines
from translators.upstreams import UPSTREAMS


@pytest.fixture
def log() -> Iterator[LogLines]:
    """Every line that is written while the test runs."""
    with LogLines() as lines:
        yield lines


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of upstream whose plans a test writes, for as long as it runs."""
    monkeypatch.setitem(UPSTREAMS, Planner.name, Planner)


@pytest.fixture(scope="session")
def rsa_pem() -> str:
    """A private key that is nobody's."""
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
