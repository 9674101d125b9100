"""Runs that somebody stops, leaves or may not start: stops by their user and by others, limits, connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
import pytest
import uvloop

from proxy.simulators.dify_apps import App, Knobs
from tests.simulators.dify_setup import KEYS, Client, Reply, dify, first_event, named, shape, text, until

SLOW = 0.1


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


async def stopped(client: Client, mode: str, by: str = "ann", key_of: str | None = None) -> Reply:
    """The rest of a stream that ``by`` stops after the first word."""
    async with client.open(mode) as response:
        head = b""
        while not any(word in head for word in (b'"message"', b'"agent_message"', b'"text_chunk"')):
            head += await response.content.readline()
        task_id = json.loads(head.split(b"data: ")[-1])["task_id"]
        answer = await client.stop(key_of or mode, task_id, by)
        assert (answer.status, answer.json) == (200, {"result": "success"})
        return Reply(response.status, response.headers, head + await response.read())


# Stops.


@pytest.mark.parametrize(
    ("mode", "version", "end"),
    [
        ("chat", "1.12", ["message", "message_end"]),
        ("completion", "1.0", ["message", "message_end"]),
        ("agent-chat", "1.12", ["agent_message", "message_end"]),
        ("advanced-chat", "1.9", ["message", "workflow_finished", "message_end"]),
        ("advanced-chat", "1.12", ["message", "workflow_finished", "message_end"]),
        ("advanced-chat", "1.16", ["message", "message_end", "workflow_finished"]),
        ("workflow", "1.12", ["text_chunk", "workflow_finished"]),
    ],
)
async def test_its_own_user_stops_a_run(mode: str, version: str, end: list[str]) -> None:
    async with dify(version, Knobs(delay=SLOW)) as client:
        got = await stopped(client, mode)
        run = client.server.runs[0]
    assert shape(got.events)[-len(end) :] == end
    assert not text(got.events).endswith(" 3.")
    assert (run.status, run.stop) == ("stopped", "own")
    for event in named(got.events, "workflow_finished"):
        assert (event["data"]["status"], event["data"]["error"]) == ("stopped", "Stopped by user.")
    if mode != "workflow":
        usage = named(got.events, "message_end")[0]["metadata"]["usage"]
        assert usage["completion_tokens"] == len([event for event in got.events if event.get("answer")])


@pytest.mark.parametrize(
    ("mode", "version"), [("chat", "1.12"), ("agent-chat", "1.16"), ("advanced-chat", "1.9")]
)
async def test_another_user_is_not_heard(mode: str, version: str) -> None:
    async with dify(version, Knobs(delay=0.03)) as client:
        got = await stopped(client, mode, "eve")
        assert client.server.runs[0].status == "succeeded"
    assert text(got.events).endswith("1, 2, 3.")


@pytest.mark.parametrize("version", ["1.12", "1.16"])
async def test_another_user_breaks_a_chatflow(version: str) -> None:
    async with dify(version, Knobs(delay=0.06)) as client:
        got = await stopped(client, "advanced-chat", "eve")
        assert client.server.runs[0].status == "failed"
    # The node under way is finished first.
    assert text(got.events) == "1, 2, 3."
    assert shape(got.events)[-3:] == ["node_finished(llm)", "workflow_finished", "error"]
    finished, error = got.events[-2:]
    assert (finished["data"]["status"], finished["data"]["error"]) == (
        "failed",
        "Aborted: User requested stop",
    )
    assert (error["code"], error["message"]) == ("invalid_param", "Run failed: Aborted: User requested stop")


async def test_anybody_stops_a_workflow() -> None:
    async with dify("1.12", Knobs(delay=SLOW)) as client:
        got = await stopped(client, "workflow", "eve")
    assert got.events[-1]["data"]["status"] == "stopped"


async def test_the_key_of_another_app_stops_nothing() -> None:
    async with dify("1.12", Knobs(delay=0.01)) as client:
        got = await stopped(client, "chat", key_of="advanced-chat")
        assert client.server.runs[0].stop is None
    assert text(got.events) == "1, 2, 3."


async def test_stops_that_stop_nothing() -> None:
    async with dify("1.12") as client:
        assert (await client.stop("chat", "no-such-task")).json == {"result": "success"}
        task_id = (await client.ask("chat")).events[0]["task_id"]
        assert (await client.stop("chat", task_id)).json == {"result": "success"}
        for path, mode, code in [
            ("chat-messages/t/stop", "workflow", "not_chat_app"),
            ("completion-messages/t/stop", "chat", "app_unavailable"),
            ("workflows/tasks/t/stop", "chat", "not_workflow_app"),
        ]:
            got = await client.send("POST", path, mode, json={"user": "ann"})
            assert got.error[:2] == (400, code)
        got = await client.send("POST", "chat-messages/t/stop", json={})
        assert got.error == (400, "invalid_param", "Arg user must be provided.")


async def test_only_the_first_stop_counts() -> None:
    async with dify("1.12", Knobs(delay=SLOW)) as client, client.open("advanced-chat") as response:
        while (event := await first_event(response))["event"] != "message":
            pass
        for user in ("eve", "ann"):
            await client.stop("advanced-chat", event["task_id"], user)
            assert client.server.runs[0].status == "running"
        await response.read()
        assert (client.server.runs[0].stop, client.server.runs[0].status) == ("foreign", "failed")


# Leaving.


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
async def test_a_run_goes_on_when_its_client_leaves(mode: str) -> None:
    async with dify("1.12", Knobs(delay=0.02)) as client:
        async with client.open(mode) as response:
            conversation_id = (await first_event(response))["conversation_id"]
            response.close()
        run, request = client.server.runs[0], client.server.requests[0]
        await until(lambda: request.left is not None, "the stand-in knows")
        assert run.status == "running"
        await until(lambda: run.status == "succeeded", "the run is over")
        got = await client.send("GET", f"messages?user=ann&conversation_id={conversation_id}", mode)
    assert [(one["query"], one["answer"]) for one in got.json["data"]] == [("count to 3", "")]
    assert request.left == 1_760_000_000.5
    assert not request.departure.answered


async def test_a_run_can_be_stopped_after_its_client_left() -> None:
    async with dify("1.12", Knobs(delay=SLOW)) as client:
        async with client.open("advanced-chat") as response:
            task_id = (await first_event(response))["task_id"]
            response.close()
        await client.stop("advanced-chat", task_id)
        await until(lambda: client.server.runs[0].status == "stopped", "the run is stopped")


async def test_runs_that_do_not_go_on_alone() -> None:
    async with dify("1.12", Knobs(delay=0.02, run_on=False)) as client:
        async with client.open("chat") as response:
            await first_event(response)
            response.close()
        await until(lambda: client.server.runs[0].status == "abandoned", "the run is over")


async def test_a_client_that_does_not_read_holds_up_nobody_else() -> None:
    async with dify("1.12", Knobs(huge_node=32 << 20, run_on=False)) as client:
        async with client.open("advanced-chat") as response:
            await until(lambda: client.server.runs[0].status == "succeeded", "the run is over")
            assert (await client.ask("chat")).status == 200
            assert client.server.requests[0].left is None
            response.close()
        await until(lambda: client.server.requests[0].left is not None, "the client is gone")
        async with client.open("advanced-chat") as response:
            await asyncio.sleep(0.05)
            assert len(await response.read()) > 32 << 20
    assert [run.status for run in client.server.runs] == ["succeeded"] * 3


def test_it_runs_on_the_loop_of_the_demo_too() -> None:
    async def scenario() -> Reply:
        async with dify("1.16", Knobs(delay=0.01, connections=1)) as client:
            async with client.open("chat") as response:
                await first_event(response)
                response.close()
            await until(lambda: client.server.requests[0].left is not None, "the client is gone")
            return await client.ask("advanced-chat")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert text(runner.run(scenario()).events) == "1, 2, 3."


async def test_a_client_that_stays_did_not_leave() -> None:
    async with dify("1.12") as client:
        await client.ask("chat")
        request = client.server.requests[0]
    assert (request.left, request.departure.answered) == (None, True)


async def test_the_stand_in_ends_while_runs_go_on() -> None:
    async with dify("1.12", Knobs(delay=30)) as client, client.open("chat") as response:
        assert response.status == 200
        runs = client.server.runs
    assert [run.status for run in runs] == ["abandoned"]


# Limits.

TOO_MANY = "Too many requests. Please try again later. The current maximum concurrent requests allowed for "


@pytest.mark.parametrize(
    ("documented", "status", "code"), [(False, 400, "invalid_param"), (True, 429, "too_many_requests")]
)
async def test_the_limit_of_an_app(documented: bool, status: int, code: str) -> None:
    async with dify("1.12", Knobs(delay=0.02, max_active=1, limit_as_429=documented)) as client:
        async with client.open("chat") as response:
            await first_event(response)
            refused = await client.ask("chat")
            other = await client.ask("completion")
            await response.read()
        assert refused.error[:2] == (status, code)
        assert refused.error[2].startswith(TOO_MANY)
        assert refused.error[2].endswith(" is 1.")
        assert other.status == 200
        assert (await client.ask("chat")).status == 200
        # A refusal after the limit gives the place back too.
        assert (await client.ask("agent-chat", response_mode="blocking")).status == 400
        assert (await client.ask("agent-chat")).status == 200


async def test_a_place_is_free_only_after_the_next_write() -> None:
    async with dify("1.12", Knobs(delay=0.6, max_active=1)) as client:
        async with client.open("chat") as response:
            await first_event(response)
            response.close()
        await until(lambda: client.server.requests[0].left is not None, "the client is gone")
        assert (await client.ask("chat")).status == 400
        client.server.knobs.delay = 0.0
        began = time.monotonic()
        while (await client.ask("chat")).status == 400:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.02)
        assert time.monotonic() - began > 0.2


async def test_connections_beyond_the_limit_wait_unanswered() -> None:
    async with dify("1.12", Knobs(connections=2)) as client:
        info = f"{client.server.url}/info"
        headers = {"Authorization": f"Bearer {KEYS['chat']}"}

        async def idle() -> aiohttp.ClientSession:
            session = aiohttp.ClientSession(headers=headers)
            async with session.get(info) as response:
                assert response.status == 200
            return session

        first, second = await idle(), await idle()
        # Two connections are kept alive, idle; they take all places.
        assert client.server.open_connections == 2
        third = asyncio.create_task(idle())
        await asyncio.sleep(0.15)
        assert not third.done()
        assert client.server.connections == 2
        await first.close()
        late = await asyncio.wait_for(third, 2)
        fourth = asyncio.create_task(idle())
        await asyncio.sleep(0.1)
        assert not fourth.done()
        client.server.knobs.connections = None
        for session in (second, late, await asyncio.wait_for(fourth, 2)):
            await session.close()


async def test_ten_connections_are_the_rule() -> None:
    async with dify("1.12", Knobs(delay=0.01)) as client:
        asked = [asyncio.create_task(client.ask("chat")) for _ in range(12)]
        await until(lambda: sum(one.done() for one in asked) == 10, "ten answers")
        await asyncio.sleep(0.1)
        # The ten are kept alive by this test's client, so that two still wait.
        assert sum(one.done() for one in asked) == 10
        client.server.knobs.connections = None
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}


async def test_an_app_is_added_while_the_stand_in_runs() -> None:
    async with dify("1.12") as client:
        client.server.apps["app-late"] = App("completion")
        assert (await client.send("GET", "info", key="app-late")).json["mode"] == "completion"
        del client.server.apps["app-late"]
        assert (await client.send("GET", "info", key="app-late")).status == 401
