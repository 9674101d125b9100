"""Requests that nobody would write, made by schemathesis from the description: no 5xx, and answers as described.

Good and bad ones are sent to every operation of a live gateway with the built-in model and a Coze account behind.
Streams are left out: what they carry is judged elsewhere, chunk by chunk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from proxy.config import Secret, Upstream
from proxy.config.model import Storage
from proxy.routes.table import ROUTES, description
from proxy.simulators.coze import DEMO_BOT, DEMO_TOKEN, CozeStandIn
from tests.e2e.sdk_setup import hosted
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from translators.upstreams.coze_settings import CozeSettings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 8

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    storage = Storage(data=str(tmp_path_factory.mktemp("data")))
    with hosted(CozeStandIn) as coze:
        bot = CozeSettings(bot_id=DEMO_BOT)
        kept = Upstream("coze", "coze", coze.url, Secret(DEMO_TOKEN), ("bot",), options=bot)
        with GatewayThread(config_of(builtin_upstream(), kept, storage=storage), "uvloop") as gateway:
            loaded = schemathesis.openapi.from_dict(json.loads(description()))
            loaded.config.update(base_url=gateway.url)
            yield loaded


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_an_operation(schema: Any, route: Any, mode: GenerationMode):
    operation = schema[route.public_path][route.method]
    if mode is GenerationMode.NEGATIVE and not (route.body or route.query):
        return  # there is nothing about it that could be wrong

    @seed(7)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body.pop("stream", None)
            case.body.pop("stream_options", None)
            if mode is GenerationMode.POSITIVE and "model" in case.body:
                case.body["model"] = "demo"  # a name that nobody knows would hide the rest
        case.call_and_validate(checks=CHECKS)

    ask()


def test_what_is_not_as_described_is_seen(schema: Any):
    """The checks can fail: an operation is held against the description of another."""
    told = json.loads(description())
    told["paths"]["/livez"] = told["paths"]["/v1/models"]
    wrong = schemathesis.openapi.from_dict(told)
    wrong.config.update(base_url=schema.config.base_url)
    with pytest.raises(FailureGroup, match="Response violates schema"):
        wrong["/livez"]["GET"].Case().call_and_validate(checks=CHECKS)
