"""What the end-to-end tests share beside the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.loglines import LogLines


@pytest.fixture
def log() -> Iterator[LogLines]:
    """Every line that is written while the test runs."""
    with LogLines() as lines:
        yield lines
