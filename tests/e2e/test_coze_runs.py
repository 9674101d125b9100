"""Coze workflows and chatflows by the official SDK: a request is a run, and a session goes on where it waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.config import Alias
from proxy.simulators.coze import CozeStandIn
from proxy.simulators.coze_knobs import Break, Interrupt, Knobs, Node, WorkflowKnobs
from tests.e2e.coze_scene import (
    BLUE_JAY,
    DEMO_BOT,
    DEMO_WORKFLOW,
    Scene,
    coze_upstream,
    new_id,
    scene,
)
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.gateway import config_of

pytestmark = pytest.mark.two_ways

RUN, RESUME = "/v1/workflow/stream_run", "/v1/workflow/stream_resume"
SESSIONS = "/v1/workflows/sessions"
TYPE = {"x-model-type": "workflow"}


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_EXTENSIONS="true") as running:
        yield running


def words_of(here: Scene, model: str, words: str = "msgwhy", **more: Any) -> list[str]:
    with here.client.chat.completions.create(
        model=model, messages=asking(words), stream=True, **more
    ) as stream:
        return [text for chunk in stream if (text := chunk.choices[0].delta.content)]


# One run.


def test_a_run_streams_what_its_nodes_say_and_not_the_end_once_more(here: Scene):
    flow = here.workflow(nodes=(Node("Message", ("msg", "why")),), pings=1)
    model = f"coze/workflow/{flow}"
    assert words_of(here, model) == ["msg", "why"]
    whole = here.client.chat.completions.create(model=model, messages=asking("Go."))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("msgwhy", "stop")
    assert whole.usage.completion_tokens > 0
    assert [heard.document["parameters"] for heard in here.asked(RUN, workflow_id=flow)] == [
        {"input": "msgwhy"},
        {"input": "Go."},
    ]


ENDS = [({"output": "x"}, "x"), ({"a": 1, "b": "y"}, '{"a":1,"b":"y"}'), ("plain", "plain")]


@pytest.mark.parametrize(("outputs", "text"), ENDS)
def test_where_no_node_speaks_the_outputs_are_the_answer(here: Scene, outputs: Any, text: str):
    assert words_of(here, f"coze/workflow/{here.workflow(nodes=(), outputs=outputs)}") == [text]


WAYS = [
    ("coze/workflow/{}", {}),
    ("gpt-4o", {**TYPE, "x-workflow-id": "{}"}),
    ("{}", TYPE),
]


@pytest.mark.parametrize(("model", "headers"), WAYS)
def test_a_workflow_is_named_by_the_model_or_by_headers(here: Scene, model: str, headers: dict[str, str]):
    flow = here.workflow(nodes=(Node("Message", ("hi",)),))
    headers = {name: value.format(flow) for name, value in headers.items()}
    assert words_of(here, model.format(flow), extra_headers=headers) == ["hi"]
    assert len(here.asked(RUN, workflow_id=flow)) == 1


def test_the_type_alone_is_the_workflow_of_the_environment(here: Scene):
    here.client.chat.completions.create(model="gpt-4o", messages=asking("Go."), extra_headers=TYPE)
    assert [heard.document["parameters"] for heard in here.asked(RUN, workflow_id=DEMO_WORKFLOW)] == [
        {"input": "Go."}
    ]


def test_parameters_and_the_name_of_the_input():
    with scene(DEFAULT_MODEL_TYPE="workflow", COZE_WORKFLOW_INPUT_KEY="question") as here:
        parameters = {"workflow_parameters": {"style": "short", "question": "hidden"}}
        here.client.chat.completions.create(
            model="any", messages=asking("Go."), extra_body=parameters, user="u1"
        )
        (heard,) = here.asked(RUN)
        assert heard.document == {
            "workflow_id": DEMO_WORKFLOW,
            "bot_id": DEMO_BOT,
            "parameters": {"style": "short", "question": "Go."},
            "ext": {"user_id": "u1"},
        }


def test_a_failure_is_a_status_or_a_frame(here: Scene):
    needy = f"coze/workflow/{here.workflow(required_parameters=('city',))}"
    with pytest.raises(openai.BadRequestError, match="city") as refused:
        words_of(here, needy)
    assert refused.value.code == "invalid_parameter"
    fault = Break(1, "failed", 720701013, "the node broke")
    flow = here.workflow(nodes=(Node("Message", ("a", "b")),), fault=fault, delay=0.03)
    broken = f"coze/workflow/{flow}"
    heard: list[str] = []
    with pytest.raises(openai.APIError, match="the node broke") as broke:
        for chunk in here.client.chat.completions.create(model=broken, messages=asking("Go."), stream=True):
            heard.append(chunk.choices[0].delta.content or "")
    assert ("".join(heard), broke.value.code) == ("a", "upstream_error")


def test_a_run_in_the_background_is_asked_for_until_it_is_there(here: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("translators.upstreams.coze_polling._INTERVAL", 0.02)
    flow = here.workflow(outputs={"output": "done"}, async_polls=2)
    assert words_of(here, f"coze/workflow/{flow}", extra_body={"is_async": True}) == ["done"]
    (run,) = here.asked("/v1/workflow/run", workflow_id=flow)
    assert run.document["is_async"] is True
    history = f"/v1/workflows/{flow}/run_histories/"
    assert sum(heard.path.startswith(history) for heard in here.stand_in.requests) == 3


# Sessions.


def listed(here: Scene, path: str = "", key: str = "none") -> Any:
    return here.http("GET", SESSIONS + path, Authorization=f"Bearer {key}").json


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_run_that_waits_is_resumed_by_the_next_request_of_its_session(here: Scene, stream: bool):
    flow = here.workflow(
        nodes=(Node("Message", ("Booked.",)),), interrupts=(Interrupt("Which city?", type=5),)
    )
    model = f"coze/workflow/{flow}"
    create = here.client.chat.completions.with_raw_response.create
    first = create(model=model, messages=asking("A trip."), stream=stream)
    session = first.headers["x-conversation-id"]
    assert session.startswith("session-")
    answer = first.parse()
    last = [*answer][-1] if stream else answer
    assert last.choices[0].finish_reason == "stop"
    told = last.model_extra["deltawire"]["platform"]
    waiting = listed(here, f"/{session}")
    assert (waiting["status"], waiting["workflow_id"], waiting["interrupt"]) == (
        "interrupted",
        flow,
        told["interrupt"],
    )
    run = here.stand_in.world.runs[told["execute_id"]]
    goes_on = {"x-conversation-id": session}
    second = create(model=model, messages=asking("Paris."), extra_headers=goes_on)
    assert second.parse().choices[0].message.content == "Booked."
    assert second.headers["x-conversation-id"] == session
    (resumed,) = here.asked(RESUME, workflow_id=flow)
    assert resumed.document == {
        "workflow_id": flow,
        "event_id": told["interrupt"]["event_id"],
        "interrupt_type": 5,
        "resume_data": "Paris.",
    }
    assert (run.status, run.said) == ("Success", ["A trip.", "Paris."])
    over = listed(here, f"/{session}")
    assert (over["status"], over["interrupt"], over["created_at"]) == (
        "completed",
        None,
        waiting["created_at"],
    )
    create(model=model, messages=asking("Another."), extra_headers=goes_on)
    assert len(here.asked(RUN, workflow_id=flow)) == 2


def test_a_session_may_have_a_name_of_the_clients_own(here: Scene):
    flow = here.workflow(interrupts=(Interrupt("Which city?"),))
    for words in ("A trip.", "Paris."):
        words_of(here, f"coze/workflow/{flow}", words, metadata={"session_id": f"trip-{flow}"})
    assert len(here.asked(RESUME, workflow_id=flow)) == 1
    assert listed(here, f"/trip-{flow}")["status"] == "completed"


def test_sessions_are_listed_for_the_key_that_began_them(here: Scene):
    flow = here.workflow()
    failing = here.workflow(fault=Break(0, "failed"))
    for key in ("key-a", "key-b"):
        with sdk(here.gateway.url + "/v1", api_key=key) as client:
            for session, model in ((f"one-{key}", flow), (f"two-{key}", failing)):
                ask = {"extra_headers": {"x-conversation-id": session}, "messages": asking("Go.")}
                if model == failing:
                    with pytest.raises(openai.InternalServerError):
                        client.chat.completions.create(model=f"coze/workflow/{model}", **ask)
                else:
                    client.chat.completions.create(model=f"coze/workflow/{model}", **ask)
    mine = listed(here, "?order=asc", "key-a")["data"]
    assert sorted((one["id"], one["status"], one["upstream"]) for one in mine) == [
        ("one-key-a", "completed", "coze"),
        ("two-key-a", "failed", "coze"),
    ]
    assert listed(here, "/one-key-b", "key-a")["error"]["code"] == "session_not_found"
    assert listed(here, "", "key-c")["data"] == []


def test_another_key_does_not_resume_what_is_not_its_own(here: Scene):
    flow = here.workflow(interrupts=(Interrupt("Which city?"),))
    for key in ("key-a", "key-b"):
        with sdk(here.gateway.url + "/v1", api_key=key) as client:
            answer = client.chat.completions.create(
                model=f"coze/workflow/{flow}",
                messages=asking("A trip."),
                extra_headers={"x-conversation-id": "shared"},
            )
            assert answer.choices[0].message.content == "Which city?"
    assert here.asked(RESUME, workflow_id=flow) == []


# Chatflows.


def test_a_chatflow_is_a_chat_that_a_workflow_leads(serve_config):
    flow, knobs = new_id(), WorkflowKnobs(mode="chatflow", chat=Knobs(said=(BLUE_JAY,)))
    with hosted(lambda: CozeStandIn(workflows={flow: knobs})) as stand_in:
        upstream = coze_upstream(stand_in.url)
        flows = coze_upstream(stand_in.url, chatflow=True, model_type="workflow", workflow_id=flow)
        gateway = serve_config(config_of(upstream, models={"guide": Alias("coze", None, flows.options)}))
        with sdk(gateway.url + "/v1") as client:
            create = client.chat.completions.with_raw_response.create
            first = create(model="guide", messages=asking("A bird?"))
            assert first.parse().choices[0].message.content == "Blue jay."
            conversation = first.headers["x-conversation-id"]
            messages = [*asking("A bird?"), first.parse().choices[0].message, *asking("And?")]
            second = create(
                model="guide", messages=messages, extra_headers={"x-conversation-id": conversation}
            )
            assert second.headers["x-conversation-id"] == conversation
        one, two = (heard.document for heard in stand_in.heard("/v1/workflows/chat"))
        assert (one["workflow_id"], one["bot_id"], "conversation_id" in one) == (flow, DEMO_BOT, False)
        assert two["conversation_id"] == conversation
        assert [message["content"] for message in two["additional_messages"]] == ["And?"]
