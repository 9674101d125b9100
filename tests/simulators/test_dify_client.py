"""The stand-in as a published client sees it: dify-client-python, which holds every reply against typed models.

It was written against the real platform and knows nothing of this project, so what it reads without complaint has
the members and the types it has learnt to expect there. Where its models leave ``data`` a dict, the dict is held
against the model meant for it. It is synchronous, hence the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import dify_client
import httpx
import pytest
from dify_client import _clientx, errors, models
from dify_client.models.workflow import (
    NodeFinishedData,
    NodeStartedData,
    WorkflowFinishedData,
    WorkflowStartedData,
)

from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import Knobs, RunFailure
from proxy.simulators.dify_versions import VERSIONS
from tests.simulators.dify_setup import KEYS, app_of

STREAMING, BLOCKING = models.ResponseMode.STREAMING, models.ResponseMode.BLOCKING
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client keeps one connection pool for all; here each test has its own, and closes it."""
    with httpx.Client() as pool:
        monkeypatch.setattr(_clientx, "_httpx_client", pool)
        yield


def using(mode: str, version: str, knobs: Knobs, work: Callable[[Any], Any]) -> Any:
    """What ``work`` makes of a client of this app."""

    async def scenario() -> Any:
        async with DifyStandIn({KEYS[mode]: app_of(mode)}, version, knobs=knobs) as server:
            client = dify_client.Client(api_key=KEYS[mode], api_base=server.url)
            return await asyncio.to_thread(work, client)

    return asyncio.run(scenario())


def chat(mode: Any, **more: Any) -> Any:
    asked = {
        "query": "count to 3",
        "inputs": {},
        "response_mode": mode,
        "user": "ann",
        "auto_generate_name": False,
    }
    return models.ChatRequest(**{**asked, **more})


def workflow(mode: Any) -> Any:
    return models.WorkflowsRunRequest(inputs={"topic": "count to 3"}, response_mode=mode, user="ann")


def typed(events: list[Any]) -> dict[str, Any]:
    """The data of the events of a graph as the models made for it, the last of each kind.

    Not of ``node_retry``, whose status this client has never heard of.
    """
    made = {
        "workflow_started": WorkflowStartedData,
        "workflow_finished": WorkflowFinishedData,
        "node_started": NodeStartedData,
        "node_finished": NodeFinishedData,
    }
    known = [event for event in events if event.event in made]
    return {str(event.event): made[event.event](**event.model_dump()["data"]) for event in known}


EVERYTHING = Knobs(
    noise=True,
    citations=2,
    exceptions=1,
    retries=1,
    speech=1,
    moderation="No.",
    answer_files=1,
    reasoning="separated",
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["chat", "agent-chat", "agent", "advanced-chat"])
@pytest.mark.parametrize("knobs", [Knobs(), EVERYTHING], ids=["plain", "everything"])
def test_it_reads_every_event_of_a_chat(mode: str, version: str, knobs: Knobs) -> None:
    if mode not in VERSIONS[version].modes:
        return
    events = using(mode, version, knobs, lambda client: list(client.chat_messages(chat(STREAMING))))
    kinds = {type(event).__name__ for event in events}
    assert "MessageEndStreamResponse" in kinds
    # Only what is not in its list falls back to the type without members.
    untyped = {str(event.event) for event in events if type(event) is models.StreamResponse}
    assert untyped <= {"brand_new", "reasoning_chunk"}
    said = [event.answer for event in events if isinstance(event, models.MessageStreamResponse)]
    assert "1, 2, 3." in "".join(said)
    end = next(event for event in events if isinstance(event, models.MessageEndStreamResponse))
    assert end.metadata.usage.total_tokens > 0
    assert len(end.metadata.retriever_resources or ()) == knobs.citations
    if mode == "advanced-chat":
        assert typed(events)["workflow_finished"].outputs["answer"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("knobs", [Knobs(), EVERYTHING], ids=["plain", "everything"])
def test_it_reads_every_event_of_a_workflow(version: str, knobs: Knobs) -> None:
    events = using("workflow", version, knobs, lambda client: list(client.run_workflows(workflow(STREAMING))))
    said = [event.data.text for event in events if isinstance(event, models.TextChunkStreamResponse)]
    assert "".join(said).endswith("1, 2, 3.")
    last = typed(events)
    assert last["workflow_finished"].status == ("partial-succeeded" if knobs.exceptions else "succeeded")
    assert (last["node_started"].node_id, last["node_finished"].node_id) == ("end", "end")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_reads_what_comes_in_one_piece(version: str) -> None:
    for mode in ("chat", "advanced-chat"):
        whole = using(mode, version, Knobs(), lambda client: client.chat_messages(chat(BLOCKING)))
        assert (whole.answer, whole.mode) == ("1, 2, 3.", mode)
    request = models.CompletionRequest(inputs={}, query="count to 3", response_mode=BLOCKING, user="ann")
    whole = using("completion", version, Knobs(), lambda client: client.completion_messages(request))
    assert whole.answer == "1, 2, 3."
    ran = using("workflow", version, Knobs(), lambda client: client.run_workflows(workflow(BLOCKING)))
    assert ran.data.outputs == {"text": "1, 2, 3."}


@pytest.mark.parametrize("version", VERSIONS)
def test_it_reads_a_completion(version: str) -> None:
    request = models.CompletionRequest(inputs={}, query="count to 3", response_mode=STREAMING, user="ann")
    events = using("completion", version, Knobs(), lambda client: list(client.completion_messages(request)))
    said = [event.answer for event in events if isinstance(event, models.MessageStreamResponse)]
    assert "".join(said) == "1, 2, 3."


@pytest.mark.parametrize("version", ["1.0", "1.16"])
def test_it_uploads_asks_and_speaks(version: str) -> None:
    def work(client: Any) -> None:
        kept = client.upload_files(("a.png", PNG, "image/png"), models.UploadFileRequest(user="ann"))
        file = models.File(type="image", transfer_method="local_file", upload_file_id=kept.id)
        whole = client.chat_messages(chat(BLOCKING, query="what?", files=[file]))
        assert "an image" in whole.answer
        rated = models.FeedbackRequest(rating="like", user="ann")
        assert client.feedback_messages(whole.message_id, rated).result == "success"
        asked = models.ChatSuggestRequest(user="ann")
        assert len(client.suggest_messages(whole.message_id, asked).data) == 3
        heard = client.audio_to_text(("a.mp3", PNG, "audio/mp3"), models.AudioToTextRequest(user="ann"))
        assert heard.text == "I hear 8 bytes of audio/mp3."
        assert client.text_to_audio(models.TextToAudioRequest(text="one two", user="ann"))[:2] == b"\xff\xfb"

    using("chat", version, Knobs(), work)


@pytest.mark.parametrize("mode", ["chat", "workflow"])
def test_it_stops_a_run(mode: str) -> None:
    def work(client: Any) -> list[Any]:
        asks, stop = {
            "chat": (lambda: client.chat_messages(chat(STREAMING)), client.stop_chat_messages),
            "workflow": (lambda: client.run_workflows(workflow(STREAMING)), client.stop_workflows),
        }[mode]
        stream = asks()
        first = next(stream)
        assert stop(first.task_id, models.StopRequest(user="ann")).result == "success"
        return [first, *stream]

    events = using(mode, "1.16", Knobs(delay=0.2), work)
    assert events[-1].event == ("message_end" if mode == "chat" else "workflow_finished")
    assert len(events) < 6


def test_it_raises_for_refusals_and_hands_on_errors_in_a_stream() -> None:
    def refused(client: Any) -> None:
        with pytest.raises(errors.DifyNotChatApp):
            client.chat_messages(chat(BLOCKING))

    def broken(client: Any) -> None:
        # It would raise for an ``event:`` line that says error; the platform sends none.
        last = list(client.chat_messages(chat(STREAMING)))[-1]
        assert (last.event, last.code, last.status) == ("error", "provider_quota_exceeded", 400)

    using("workflow", "1.16", Knobs(), refused)
    failure = RunFailure(1, "empty", "provider_quota_exceeded")
    using("chat", "1.16", Knobs(failure=failure), broken)
