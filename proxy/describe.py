"""What the gateway offers, as an OpenAPI document that is made of the very table the routes are made of.

A ``Route`` is one row: where, who answers, and what goes in and comes out, by the names of schemas. The application
takes its routes from the rows and the document its paths, so neither can know a route that the other does not. The
schemas of requests come from the tables that check requests; those of answers are written once, in
``describe_schemas``, and the tests hold real answers against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import frozen

from proxy import __version__
from proxy.describe_schemas import SCHEMAS
from translators.checks import Schema

JSON = "application/json"
FORM = "multipart/form-data"
EVENTS = "text/event-stream"

Content = Mapping[str, Schema]
"""Media type to schema."""


def named(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_of(name: str) -> Content:
    return {JSON: named(name)}


@frozen
class Query:
    """One parameter after the question mark."""

    name: str
    about: str
    schema: Schema

    @property
    def document(self) -> dict[str, Any]:
        return {"name": self.name, "in": "query", "description": self.about, "schema": self.schema}


LIMIT = Query("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
ORDER = Query("order", "By the time they were made.", {"type": "string", "enum": ["asc", "desc"]})
AFTER = Query("after", "The id of the last one that is known.", {"type": "string", "maxLength": 256})
PAGE = (LIMIT, ORDER, AFTER)


@frozen
class Route:
    method: str
    path: str
    """As aiohttp writes it."""
    handler: Handler
    name: str
    """The operation's id."""
    summary: str
    answer: Content
    body: Content | None = None
    needs_body: bool = True
    query: Sequence[Query] = ()
    about: str = ""
    also: Mapping[int, Content] = {}
    """Other statuses that are not an error object."""
    is_open: bool = False
    """Whether no key is asked for."""
    head: bool = False
    """Whether HEAD is answered, too."""

    def definition(self) -> web.RouteDef:
        more = {"allow_head": self.head} if self.method == "GET" else {}
        return web.RouteDef(self.method, self.path, self.handler, more)

    @property
    def tag(self) -> str:
        """The first word after /v1/."""
        version, _, rest = self.path.removeprefix("/").partition("/")
        return rest.partition("/")[0] if version == "v1" else "gateway"

    @property
    def public_path(self) -> str:
        return _PATTERN.sub(r"{\1}", self.path)

    def operation(self) -> dict[str, Any]:
        told: dict[str, Any] = {"operationId": self.name, "tags": [self.tag], "summary": self.summary}
        if self.about:
            told["description"] = self.about
        if self.is_open:
            told["security"] = []
        inner = [_inner(name) for name in _PATTERN.findall(self.path)]
        if inner or self.query:
            told["parameters"] = [*inner, *(query.document for query in self.query)]
        if self.body is not None:
            told["requestBody"] = {"required": self.needs_body, "content": _content(self.body)}
        answers = {200: self.answer, **self.also}
        told["responses"] = {
            **{
                str(status): {"description": _SAYS[status], "content": _content(content)}
                for status, content in answers.items()
            },
            "4XX": {"$ref": "#/components/responses/Refused"},
            "5XX": {"$ref": "#/components/responses/Failed"},
        }
        return told


get = partial(Route, "GET")
post = partial(Route, "POST")
delete = partial(Route, "DELETE")

_PATTERN = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_SAYS = {200: "Done.", 206: "A part of it.", 503: "Not now."}


def _inner(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _content(content: Content) -> dict[str, Any]:
    return {media: {"schema": schema} for media, schema in content.items()}


def document(routes: Iterable[Route], tags: Mapping[str, str]) -> dict[str, Any]:
    """The description, as OpenAPI 3.1. It names no server: what serves it is what it describes."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.public_path, {})[route.method.lower()] = route.operation()
    errors = {"content": _content(json_of("Error"))}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "deltawire",
            "version": __version__,
            "description": "One gateway between agent platforms and OpenAI clients.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": about} for name, about in tags.items()],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where the gateway was given no keys, anything will do.",
                }
            },
            "responses": {
                "Refused": {"description": "The request is at fault.", **errors},
                "Failed": {"description": "The gateway or the platform behind it is at fault.", **errors},
            },
            "schemas": SCHEMAS,
        },
    }
