"""/v1/conversations and /v1/workflows/sessions by raw bytes: which upstream, which wish, whose, what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import frozen

from proxy.config import Auth, Secret
from proxy.simulators.script import Close, Hang, Send, reply, stream
from tests.e2e.plans_setup import Planner, no_work_left, planner
from tests.support.gateway import GatewayThread, builtin_upstream
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.upstream import ScriptThread, answer
from translators.errors import BadRequest
from translators.upstreams.conversations import Page
from translators.upstreams.plan import SESSION, Call, Caller, Plan, Remember

pytestmark = [pytest.mark.usefixtures("plans"), pytest.mark.two_ways]

KEPT = "/v1/conversations"
SESSIONS = "/v1/workflows/sessions"
ECHO = lambda asked: [Send(reply(200, asked.body))]  # noqa: E731


@frozen
class Kept:
    """Asks the upstream with what it was asked for, and tells the client what came back."""

    caller: Caller

    def _ask(self, **wish: Any) -> Plan[dict[str, Any]]:
        reply = yield Call("POST", "kept", json.dumps({**wish, "heard": dict(self.caller.headers)}).encode())
        return {"object": "echo", **json.loads(reply.body)}

    def index(self, page: Page) -> Plan[dict[str, Any]]:
        return self._ask(wish="index", page=[page.limit, page.after, page.ascending])

    def create(
        self, messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]
    ) -> Plan[dict[str, Any]]:
        return self._ask(wish="create", messages=messages, metadata=metadata)

    def show(self, id: str) -> Plan[dict[str, Any]]:
        if not id.isdigit():
            raise BadRequest("That is no id.", param="id")
        return self._ask(wish="show", id=id)

    def delete(self, id: str) -> Plan[dict[str, Any]]:
        return self._ask(wish="delete", id=id)

    def clear(self, id: str) -> Plan[dict[str, Any]]:
        return self._ask(wish="clear", id=id)

    def history(self, id: str, page: Page) -> Plan[dict[str, Any]]:
        return self._ask(wish="history", id=id, page=[page.limit, page.after, page.ascending])

    def add(self, id: str, message: Mapping[str, Any]) -> Plan[dict[str, Any]]:
        return self._ask(wish="add", id=id, message=message)


def call(gateway: GatewayThread, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    with RawClient(gateway.port) as client:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return client.reply()


USER = {"role": "user", "content": "hi"}
FIRST = [20, "", False]
WISHES: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("GET", "", None, {"wish": "index", "page": FIRST}),
    ("GET", "?limit=5&after=7&order=asc", None, {"wish": "index", "page": [5, "7", True]}),
    ("POST", "", None, {"wish": "create", "messages": [], "metadata": {}}),
    ("POST", "", {}, {"wish": "create", "messages": [], "metadata": {}}),
    (
        "POST",
        "",
        {"messages": [USER], "metadata": {"a": "b"}},
        {"wish": "create", "messages": [USER], "metadata": {"a": "b"}},
    ),
    (
        "POST",
        "",
        {"items": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
        {
            "wish": "create",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "metadata": {},
        },
    ),
    ("GET", "/77", None, {"wish": "show", "id": "77"}),
    ("DELETE", "/77", None, {"wish": "delete", "id": "77"}),
    ("DELETE", "/77?mode=delete", None, {"wish": "delete", "id": "77"}),
    ("DELETE", "/77?mode=clear", None, {"wish": "clear", "id": "77"}),
    ("DELETE", "/a%2Fb%3Fc", None, {"wish": "delete", "id": "a/b?c"}),
    ("GET", "/77/history", None, {"wish": "history", "id": "77", "page": [20, "", True]}),
    (
        "GET",
        "/77/history?limit=100&order=desc",
        None,
        {"wish": "history", "id": "77", "page": [100, "", False]},
    ),
    ("POST", "/77/messages", USER, {"wish": "add", "id": "77", "message": USER}),
]


@pytest.mark.parametrize(("method", "path", "body", "wish"), WISHES)
def test_every_route_is_one_wish(serve, method, path, body, wish):
    raw = b"" if body is None else json.dumps(body).encode()
    with ScriptThread(ECHO) as upstream:
        gateway = serve(planner(upstream.url, conversations=Kept))
        with no_work_left(gateway):
            told = call(gateway, method, KEPT + path, raw, X_Mood="calm")
        assert (told.status, told.json) == (200, {"object": "echo", **wish, "heard": {"x-mood": "calm"}})
        assert told.headers["content-type"].startswith("application/json")


WRONG: list[tuple[str, str, Any, int, str | None]] = [
    ("GET", "?limit=0", None, 400, "limit"),
    ("GET", "?limit=101", None, 400, "limit"),
    ("GET", "?limit=ten", None, 400, "limit"),
    ("GET", "?limit=%D9%A3", None, 400, "limit"),
    ("GET", "?limit=" + "9" * 5000, None, 400, "limit"),
    ("GET", "?order=up", None, 400, "order"),
    ("GET", "/77/history?after=" + "x" * 257, None, 400, "after"),
    ("DELETE", "/77?mode=burn", None, 400, "mode"),
    ("GET", "/nothing", None, 400, "id"),
    ("GET", "/" + "7" * 257, None, 404, "id"),
    ("GET", "/a%0Ab", None, 404, "id"),
    ("POST", "", [], 400, None),
    ("POST", "", {"messages": "hi"}, 400, "messages"),
    ("POST", "", {"messages": [7]}, 400, "messages[0]"),
    ("POST", "", {"messages": [{"content": "hi"}]}, 400, "messages[0].role"),
    (
        "POST",
        "",
        {"messages": [{"role": "user", "content": [{"type": ["input_text"]}]}]},
        400,
        "messages[0].content[0].type",
    ),
    ("POST", "", {"metadata": "x"}, 400, "metadata"),
    ("POST", "", {"metadata": {"a": 1}}, 400, "metadata"),
    ("POST", "", {"metadata": {"a": "v" * 513}}, 400, "metadata"),
    ("POST", "", {"metadata": {"k" * 65: "v"}}, 400, "metadata"),
    ("POST", "", {"metadata": {str(number): "v" for number in range(17)}}, 400, "metadata"),
    ("POST", "/77/messages", {}, 400, "messages[0].role"),
    ("POST", "/77/messages", {"role": "user"}, 400, "messages[0].content"),
    ("PUT", "/77", {}, 405, None),
    ("GET", "?upstream=nobody", None, 404, "upstream"),
    ("GET", "?upstream=demo", None, 404, "upstream"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    WRONG,
    ids=[f"{w[0]} {w[1][:20]} {w[2]}"[:60] for w in WRONG],
)
def test_what_is_wrong_is_said_without_asking_anybody(serve, method, path, body, status, param):
    raw = b"" if body is None else json.dumps(body).encode()
    with ScriptThread(ECHO) as upstream:
        gateway = serve(planner(upstream.url, conversations=Kept), builtin_upstream())
        told = call(gateway, method, KEPT + path, raw)
        assert (told.status, told.json["error"]["param"]) == (status, param)
        assert told.json["error"]["type"] == "invalid_request_error"
        assert upstream.requests == []


# Which upstream.


def test_the_upstream_is_the_named_the_default_or_the_only_one(serve):
    with ScriptThread(ECHO) as here, ScriptThread(ECHO) as there:
        one, two = (
            planner(url, name, conversations=Kept) for url, name in [(here.url, "one"), (there.url, "two")]
        )
        both = serve(one, two)
        assert (call(both, "GET", KEPT).status, len(here.requests), len(there.requests)) == (200, 1, 0)
        assert (call(both, "GET", f"{KEPT}?upstream=two").status, len(there.requests)) == (200, 1)
        only = serve(builtin_upstream(), two)
        assert (call(only, "GET", KEPT).status, len(there.requests)) == (200, 2)
        undecided = serve(builtin_upstream(), one, two)
        told = call(undecided, "GET", KEPT)
        assert (told.status, told.json["error"]["code"]) == (404, "conversations_not_supported")
        assert "?upstream=" in told.json["error"]["message"] and "one, two" in told.json["error"]["message"]


def test_without_a_platform_that_keeps_conversations_there_are_none(serve):
    told = call(serve(builtin_upstream()), "GET", KEPT)
    assert (told.status, told.json["error"]["code"]) == (404, "conversations_not_supported")


# Trouble.


@pytest.mark.parametrize(
    ("script", "status"), [([Close()], 502), ([Hang()], 504), ([Send(reply(200, b"?"))], 502)]
)
def test_an_upstream_in_trouble_is_an_error_in_the_usual_shape(serve, script, status, log):
    with ScriptThread(script) as upstream:
        gateway = serve(planner(upstream.url, conversations=Kept, first_byte_timeout=0.3))
        with no_work_left(gateway):
            told = call(gateway, "GET", KEPT)
        assert (told.status, told.json["error"]["type"]) == (status, "server_error")
    assert log.tracebacks == []


def test_a_wish_takes_a_place_and_waits_for_one_only_so_long(serve):
    with ScriptThread([Hang()]) as upstream:
        gateway = serve(
            planner(upstream.url, conversations=Kept, first_byte_timeout=0.4, max_concurrency=1, max_queue=1)
        )
        with no_work_left(gateway), RawClient(gateway.port) as first:
            first.request("GET", KEPT)
            upstream.received()
            began = time.monotonic()
            assert call(gateway, "GET", KEPT).status == 504
            assert time.monotonic() - began < 2.0


def test_who_leaves_takes_the_wish_along(serve):
    with ScriptThread([Hang()]) as upstream:
        gateway = serve(planner(upstream.url, conversations=Kept))
        with no_work_left(gateway):
            with RawClient(gateway.port) as client:
                client.request("GET", KEPT)
                upstream.received()
            upstream.closed_by_peer(1)


def test_a_key_is_needed_where_there_are_keys(serve):
    gateway = serve(builtin_upstream(), auth=Auth((Secret("k1"),)))
    for path in (KEPT, f"{KEPT}/7", SESSIONS, f"{SESSIONS}/7"):
        assert call(gateway, "GET", path).status == 401


# Workflow sessions.


def session(number: int, **more: Any) -> Any:
    def plan(upstream: Planner) -> Plan[None]:
        words = upstream.prompt.messages[-1]["content"]
        yield Remember(f"{SESSION}{words}", {"status": "running", "created_at": int(words[1:]), **more}, 60.0)

    return plan


@pytest.fixture
def sessions(serve) -> Any:
    with ScriptThread(stream(answer(1))) as upstream:
        gateway = serve(
            planner(upstream.url, settle=session(1)),
            planner(upstream.url, "other", models=("n",), settle=session(1, debug_url="u")),
        )
        for key, model, words in [("a", "m", "s1"), ("a", "n", "s3"), ("a", "m", "s2"), ("b", "m", "s9")]:
            body = question(model=model, messages=[{"role": "user", "content": words}])
            assert ask(gateway.port, body, headers={"Authorization": f"Bearer {key}"}).status == 200
        yield gateway


def listed(gateway: GatewayThread, query: str = "", key: str = "a") -> list[str]:
    told = call(gateway, "GET", SESSIONS + query, Authorization=f"Bearer {key}")
    assert told.status == 200
    ids = [entry["id"] for entry in told.json["data"]]
    edges = (ids[0], ids[-1]) if ids else (None, None)
    assert (told.json["object"], told.json["first_id"], told.json["last_id"]) == ("list", *edges)
    return [*ids, "…"] if told.json["has_more"] else ids


def test_sessions_are_listed_the_newest_first_in_pages(sessions):
    assert listed(sessions) == ["s3", "s2", "s1"]
    assert listed(sessions, "?order=asc") == ["s1", "s2", "s3"]
    assert listed(sessions, "?limit=2") == ["s3", "s2", "…"]
    assert listed(sessions, "?limit=2&after=s2") == ["s1"]
    assert listed(sessions, "?after=s1") == []
    assert listed(sessions, "?upstream=other") == ["s3"]
    assert (
        call(sessions, "GET", f"{SESSIONS}?after=s7", Authorization="Bearer a").json["error"]["param"]
        == "after"
    )
    assert call(sessions, "GET", f"{SESSIONS}?upstream=nobody").status == 404


def test_everybody_sees_their_own(sessions):
    assert listed(sessions, key="b") == ["s9"]
    assert listed(sessions, key="c") == []
    for path in ("/s9", "/s7", "/" + "x" * 5000, "/%00"):
        told = call(sessions, "GET", SESSIONS + path, Authorization="Bearer a")
        assert (told.status, told.json["error"]["code"]) == (404, "session_not_found")


def test_a_session_is_shown_as_it_was_remembered(sessions):
    told = call(sessions, "GET", f"{SESSIONS}/s3", Authorization="Bearer a")
    assert told.json == {
        "id": "s3",
        "object": "workflow.session",
        "upstream": "other",
        "status": "running",
        "created_at": 3,
        "debug_url": "u",
    }
