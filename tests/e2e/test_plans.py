"""What a platform wants done before the question: done first, in order, at the place that its answer holds.

By raw bytes, over both relays and both loops, with an upstream that plays what each test says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.config import Alias, Auth, Secret
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Close, Hang, Send, Step, Wait, reply, stream
from tests.e2e.plans_setup import Planner, PlannerSettings, no_work_left, planner
from tests.support.raw import RawClient, ask, question
from tests.support.upstream import ScriptThread, answer, text_of
from tests.support.waiting import until
from translators.errors import Conflict, GatewayError
from translators.upstreams.openai import OpenAI
from translators.upstreams.plan import Cached, Call, Pause, Plan, Recall, Remember, Script

pytestmark = [pytest.mark.usefixtures("plans"), pytest.mark.two_ways]

OPENING = Call("POST", "conversation/create", b"{}")


def by_path(**scripts: list[Step]) -> Callable[[Recorded], list[Step]]:
    """The script whose name is in the path; an answer of three words for the question itself."""

    def choose(asked: Recorded) -> list[Step]:
        for name, script in scripts.items():
            if name in asked.path:
                return script
        return stream(answer(3))

    return choose


def says(content: bytes, status: int = 200) -> list[Step]:
    return [Send(reply(status, content))]


def opened(upstream: Planner) -> Plan[None]:
    reply = yield OPENING
    upstream.known["id"] = reply.body.decode()


def with_id(upstream: Planner) -> Call:
    call = OpenAI.call(upstream)
    return Call("POST", f"chat/completions?conversation_id={upstream.known['id']}", call.body)


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_what_comes_before_the_question_is_done_before_it(serve, streamed):
    with ScriptThread(by_path(create=says(b"77"))) as upstream:
        gateway = serve(planner(upstream.url, prepare=opened, call=with_id))
        with no_work_left(gateway):
            told = ask(gateway.port, question(streamed))
            assert told.status == 200
            said = told.text if streamed else told.json["choices"][0]["message"]["content"]
            assert said == text_of(3)
        first, second = upstream.requests
        assert (first.method, first.path, first.body) == ("POST", "/conversation/create", b"{}")
        assert (second.path, second.document["model"]) == ("/chat/completions?conversation_id=77", "m")


def test_every_kind_of_step_has_its_turn(serve):
    def plan(upstream: Planner) -> Plan[None]:
        before = yield Recall("turns")
        upload = yield Cached(Call("POST", "upload", b"data"), "upload:1", 60.0)
        yield Pause(0.05)
        yield Remember("turns", (before or 0) + 1, 60.0)
        upstream.known["id"] = f"{before}-{upload.body.decode()}"

    with ScriptThread(by_path(upload=says(b"file"))) as upstream:
        gateway = serve(planner(upstream.url, prepare=plan, call=with_id))
        began = time.monotonic()
        assert ask(gateway.port, question()).text == text_of(3)
        assert time.monotonic() - began > 0.045
        assert ask(gateway.port, question()).text == text_of(3)
        assert [asked.path for asked in upstream.requests] == [
            "/upload",
            "/chat/completions?conversation_id=None-file",
            "/chat/completions?conversation_id=1-file",
        ]


def test_a_plan_may_make_the_answer_itself(serve):
    def plan(upstream: Planner) -> Plan[None]:
        found = yield Call("GET", "result")
        upstream.known["said"] = found.body

    def script(upstream: Planner) -> Script:
        return Script(iter([(0.0, upstream.known["said"])]))

    with ScriptThread(says(b"".join(answer(4)))) as upstream:
        gateway = serve(planner(upstream.url, prepare=plan, call=script))
        with no_work_left(gateway):
            assert ask(gateway.port, question()).text == text_of(4)
        assert [asked.method for asked in upstream.requests] == ["GET"]


# Failures.


def refusing(upstream: Planner) -> Plan[None]:
    reply = yield OPENING
    if reply.status != 200:
        raise Conflict("The conversation is busy.", code="conversation_busy")


FAILURES: dict[str, tuple[list[Step], Any, int, str]] = {
    "the plan says why": (says(b"no", 409), refusing, 409, "conversation_busy"),
    "no connection lasts": ([Close()], opened, 502, "upstream_disconnected"),
    "a reply that cannot be read": (says(b"\xff"), opened, 502, "bad_upstream_response"),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_before_the_question_is_an_http_status_and_no_question(serve, log, name, streamed):
    script, plan, status, code = FAILURES[name]
    with ScriptThread(by_path(create=script)) as upstream:
        gateway = serve(planner(upstream.url, prepare=plan, call=with_id))
        with no_work_left(gateway):
            told = ask(gateway.port, question(streamed))
        assert (told.status, told.json["error"]["code"]) == (status, code)
        assert len(upstream.requests) == 1
    assert log.tracebacks == []


def test_an_upstream_that_does_not_answer_in_time_is_a_timeout(serve):
    with ScriptThread([Hang()]) as upstream:
        gateway = serve(planner(upstream.url, prepare=opened, first_byte_timeout=0.3))
        with no_work_left(gateway):
            told = ask(gateway.port, question())
        assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
        upstream.closed_by_peer(1)


def poll(upstream: Planner) -> Plan[None]:
    for _ in range(8):
        yield Call("GET", "poll")
        yield Pause(0.1)


@pytest.mark.parametrize("commit_after", [5.0, 0.2])
def test_a_plan_may_take_long_as_long_as_the_platform_shows_that_it_lives(serve, commit_after):
    with ScriptThread(by_path(poll=says(b"not yet"))) as upstream:
        gateway = serve(
            planner(upstream.url, prepare=poll, first_byte_timeout=0.5), limits={"commit_after": commit_after}
        )
        with no_work_left(gateway):
            assert ask(gateway.port, question()).text == text_of(3)


def second_thoughts(upstream: Planner, error: GatewayError) -> bool:
    upstream.known["id"] = upstream.known.get("id", 0) + 1
    return error.status == 400


def wherever(upstream: Planner) -> Call:
    return Call("POST", f"kind/{upstream.known.get('id', 0)}", OpenAI.call(upstream).body)


@pytest.mark.parametrize(("refusals", "asked", "status"), [(0, 1, 200), (3, 4, 200), (9, 5, 400)])
def test_another_question_may_be_asked_after_a_refusal(serve, refusals, asked, status):
    def script(request: Recorded) -> list[Step]:
        return says(b"wrong kind", 400) if int(request.path[-1]) < refusals else stream(answer(3))

    with ScriptThread(script) as upstream:
        gateway = serve(planner(upstream.url, call=wherever, reconsider=second_thoughts))
        with no_work_left(gateway):
            assert ask(gateway.port, question()).status == status
        assert [request.path for request in upstream.requests] == [f"/kind/{n}" for n in range(asked)]


def test_a_refusal_that_is_final_is_told(serve):
    with ScriptThread(says(b"no", 404)) as upstream:
        gateway = serve(planner(upstream.url, call=wherever, reconsider=second_thoughts))
        assert ask(gateway.port, question()).status == 502
        assert len(upstream.requests) == 1


# Places and leaving.


def test_a_plan_holds_the_place_of_its_answer(serve):
    with ScriptThread(by_path(create=[Hang()])) as upstream:
        gateway = serve(planner(upstream.url, prepare=opened, max_concurrency=1, max_queue=0))
        with no_work_left(gateway), RawClient(gateway.port) as first:
            first.post(question())
            upstream.received()
            assert gateway.held() == {"answers": 1, "places": 1, "waiting": 0}
            assert ask(gateway.port, question()).json["error"]["code"] == "upstream_queue_full"


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("where", ["call", "shared call", "pause"])
def test_a_client_that_leaves_takes_the_plan_along(serve, where, streamed):
    ended: list[str] = []
    steps = {"call": OPENING, "shared call": Cached(OPENING, "k", 9.0), "pause": Pause(60.0)}

    def plan(upstream: Planner) -> Plan[None]:
        try:
            yield Call("GET", "here")
            yield steps[where]
        finally:
            ended.append(where)

    with ScriptThread(by_path(here=says(b""), create=[Hang()])) as upstream:
        gateway = serve(planner(upstream.url, prepare=plan))
        with no_work_left(gateway):
            with RawClient(gateway.port) as client:
                client.post(question(streamed))
                upstream.received(1 if where == "pause" else 2)
            until(lambda: ended == [where], "the plan ended")
            if where != "pause":
                upstream.closed_by_peer(1)
        assert not [asked for asked in upstream.requests if "chat" in asked.path]


# Who asks.


@pytest.fixture
def heard() -> list[Any]:
    return []


@pytest.fixture
def listening(heard: list[Any]) -> Iterator[dict[str, Any]]:
    def note(upstream: Planner) -> Plan[None]:
        heard.append(upstream.caller)
        yield Pause(0.0)

    yield {"prepare": note}


def test_a_platform_is_told_what_it_hears_and_nothing_else(serve, heard, listening):
    with ScriptThread(stream(answer(1))) as upstream:
        gateway = serve(planner(upstream.url, **listening))
        headers = {"X-Mood": "calm", "x-bot-id": "7", "Authorization": "Bearer k1", "Cookie": "c"}
        ask(gateway.port, question(), headers=headers)
        ask(gateway.port, question(), headers={"Authorization": "Bearer k1"})
        ask(gateway.port, question(), headers={"Authorization": "Bearer k2"})
        ask(gateway.port, question())
    assert [caller.headers for caller in heard] == [{"x-mood": "calm"}, {}, {}, {}]
    first, again, other, nobody = (caller.owner for caller in heard)
    assert first == again != other and first and other and nobody == ""
    assert {caller.key for caller in heard} == {""}


def test_the_key_is_passed_on_only_where_that_is_configured(serve, heard, listening):
    with ScriptThread(stream(answer(1))) as upstream:
        on, off = PlannerSettings(**listening, pass_through=True), PlannerSettings(**listening)
        aliases = {"passing": Alias("up", "m", on), "keeping": Alias("up", "m", off)}
        gateway = serve(planner(upstream.url, **listening), models=aliases)
        for model in ("m", "passing", "keeping"):
            ask(gateway.port, question(model=model), headers={"Authorization": "Bearer pat_1"})
    assert [caller.key for caller in heard] == ["", "pat_1", ""]


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"caf\xe9", b"a\tb"])
def test_a_header_that_no_id_could_be_is_refused(serve, value):
    with ScriptThread(stream(answer(1))) as upstream:
        gateway = serve(planner(upstream.url))
        with RawClient(gateway.port) as client:
            body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
            client.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nX-Mood: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (value, len(body), body)
            )
            told = client.reply()
        assert told.status == 400 and "x-mood" in told.json["error"]["message"]
        assert upstream.requests == []


def test_what_one_client_left_in_mind_no_other_finds(serve):
    def plan(upstream: Planner) -> Plan[None]:
        upstream.known["id"] = yield Recall("k")
        yield Remember("k", upstream.caller.owner[:4], 60.0)

    with ScriptThread(stream(answer(1))) as upstream:
        options: dict[str, Any] = {"prepare": plan, "call": with_id}
        gateway = serve(
            planner(upstream.url, **options),
            planner(upstream.url, "other", models=("n",), **options),
            auth=Auth((Secret("k1"), Secret("k2"))),
        )
        for key, model in [("k1", "m"), ("k2", "m"), ("k1", "n"), ("k1", "m")]:
            assert (
                ask(gateway.port, question(model=model), headers={"Authorization": f"Bearer {key}"}).status
                == 200
            )
        ids = [asked.path.rpartition("=")[2] for asked in upstream.requests]
    assert ids[:3] == ["None"] * 3 and len(ids[3]) == 4


# What the platform tells.


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_what_the_platform_tells_in_headers_is_told(serve, log, streamed):
    def plan(upstream: Planner) -> Plan[None]:
        upstream.headers = {"x-conversation-id": "77", "x-chat-id": "a\r\nX-Forged: 1", "x-task-id": "é"}
        yield Pause(0.0)

    with ScriptThread(stream(answer(1))) as upstream:
        gateway = serve(planner(upstream.url, prepare=plan))
        told = ask(gateway.port, question(streamed), headers={"Origin": "https://app.example"})
    assert told.headers["x-conversation-id"] == "77"
    assert not {"x-chat-id", "x-forged", "x-task-id"} & set(told.headers)
    assert "x-conversation-id" in told.headers["access-control-expose-headers"]
    until(lambda: len(log.requests) == 1, "the line of the request")
    assert log.requests[0]["conversation"] == "77"


def test_an_upstream_without_plans_is_only_asked(serve):
    with ScriptThread([Wait(0.0), *stream(answer(2))]) as upstream:
        gateway = serve(planner(upstream.url))
        assert ask(gateway.port, question()).text == text_of(2)
        assert len(upstream.requests) == 1
