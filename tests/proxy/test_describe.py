"""The description of the API: it knows every route and no other, and its schemas mean what the checks mean."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import __version__
from proxy.app import build_app
from proxy.cli import cli
from proxy.config import Cors
from proxy.describe import Route, document, get, json_of
from proxy.middlewares import OPEN_PATHS
from proxy.routes import health
from proxy.routes.docs import DESCRIPTION
from proxy.routes.table import ROUTES, TAGS, description
from tests.support.gateway import builtin_upstream, config_of
from tests.translators import test_embeddings_request, test_request
from translators.embeddings import Embed
from translators.errors import BadRequest
from translators.request import Prompt

TOLD: dict[str, Any] = json.loads(description())


def schema_of(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": TOLD["components"]}
    )


def served() -> set[tuple[str, str]]:
    """Method and path, with the names that stand in braces, of all that the application answers."""
    app = build_app(config_of(builtin_upstream(), cors=Cors(enabled=True)))
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("OPTIONS", "HEAD")
    }


def described() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in TOLD["paths"].items() for method in methods}


def test_every_route_is_described_and_nothing_else_is():
    assert described() == served()
    assert len(described()) == len(ROUTES)


def test_the_application_says_what_the_command_says():
    app = build_app(config_of(builtin_upstream()))
    assert app[DESCRIPTION] == description()


def test_what_needs_no_key_is_what_is_let_in_without_one():
    assert {route.path for route in ROUTES if route.is_open} == OPEN_PATHS


def test_the_document():
    assert (TOLD["openapi"], TOLD["info"]["version"]) == ("3.1.0", __version__)
    names = [operation["operationId"] for methods in TOLD["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    assert {
        tag for methods in TOLD["paths"].values() for one in methods.values() for tag in one["tags"]
    } == set(TAGS)
    assert "servers" not in TOLD


def test_every_reference_leads_somewhere():
    for reference in set(re.findall(rb'"\$ref":"#/([^"]+)"', description())):
        place: Any = TOLD
        for step in reference.decode().split("/"):
            place = place[step]
        assert place


def test_every_schema_is_one():
    for name, schema in TOLD["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        schema_of(name)


def test_it_tells_nothing_of_the_machine():
    for secret in (str(Path.home()), str(Path(__file__).parent.parent.parent), "127.0.0.1", "localhost"):
        assert secret.encode() not in description()


def test_a_path_tells_its_parameters_without_their_patterns():
    route = get("/v1/things/{id:.+}/{other}", health.live, "x", "X", json_of("Status"))
    told = document([route], TAGS)["paths"]["/v1/things/{id}/{other}"]["get"]
    assert [one["name"] for one in told["parameters"]] == ["id", "other"]
    assert all(one["in"] == "path" and one["required"] for one in told["parameters"])
    assert (route.tag, told["tags"]) == ("things", ["things"])
    assert isinstance(route, Route)


# Requests: what the code refuses is what the schema refuses.


@pytest.mark.parametrize(("asked", "param", "code"), test_embeddings_request.BAD)
def test_a_bad_embedding_request_is_none_by_its_schema(asked: dict[str, Any], param: str, code: str):
    judged = schema_of("EmbeddingRequest").is_valid(
        {name: it for name, it in asked.items() if it is not None}
    )
    assert judged == (asked.get("model") == " ")  # that a name is more than blanks, no schema says


BEYOND = {"stream_options"}
"""What depends on another field."""


@pytest.mark.parametrize(("asked", "param", "code", "words"), test_request.BAD)
def test_a_bad_chat_request_is_none_by_its_schema(asked: dict[str, Any], param: str, code: str, words: str):
    model = asked.get("model")
    beyond = param in BEYOND or (param == "model" and isinstance(model, str) and len(model) <= 256)
    beyond |= asked.get("n") == 1.0  # to a schema that is an integer
    assert beyond or not schema_of("ChatRequest").is_valid(asked)


NAMES = ("role", "content", "type", "text", "name", "id", "function", "url", "image_url", "tool_call_id")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3)
    | st.sampled_from(["", "a", "user", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({*TOLD["components"]["schemas"]["ChatRequest"]["properties"], "input", "dimensions"})


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), VALUES, VALUES)
def test_what_is_accepted_is_valid(more: dict[str, Any], message: Any, given: Any):
    chat = {"messages": [{"role": "user", "content": "a"}, message], "model": "m", **more}
    if accepted(Prompt.from_chat, chat):
        assert CHAT.is_valid(chat)
    embed = {"input": given, "model": "m", **more}
    if accepted(Embed.read, embed):
        assert EMBED.is_valid(embed)


CHAT, EMBED = schema_of("ChatRequest"), schema_of("EmbeddingRequest")


def accepted(read: Any, body: dict[str, Any]) -> bool:
    try:
        read(body)
    except BadRequest:
        return False
    return True


# The command.


def test_the_command_prints_it():
    done = CliRunner().invoke(cli, ["spec"])
    assert done.exit_code == 0
    assert json.loads(done.output) == TOLD


def test_the_command_writes_it(tmp_path: Path):
    out = tmp_path / "openapi.json"
    done = CliRunner().invoke(cli, ["spec", "--out", str(out)])
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(out.read_bytes()) == TOLD


def test_a_place_that_cannot_be_written(tmp_path: Path):
    done = CliRunner().invoke(cli, ["spec", "--out", str(tmp_path / "no" / "openapi.json")])
    assert done.exit_code == 2
    assert "cannot write" in done.output
