"""What agents do: the order of their events, what each knob adds to them, and what a script says instead."""

from __future__ import annotations

import base64

import pytest

from proxy.simulators.bedrock import DEMO_AGENT, DEMO_ALIAS
from proxy.simulators.bedrock_knobs import (
    Agent,
    Collaborator,
    Err,
    Event,
    Guardrail,
    Produced,
    Raw,
    Sleep,
    exc,
    http,
)
from tests.simulators.bedrock_client import STREAMED, TRACED, bedrock, orchestration, traced

# Order.


async def test_a_streamed_answer_ends_with_its_usage() -> None:
    async with bedrock() as aws:
        reply = await aws.ask(**STREAMED, **TRACED)
    assert reply.kinds == [
        "modelInvocationInput",
        "rationale",
        "chunk",
        "modelInvocationOutput",
        "observation",
    ]
    assert reply.chunks == [b"1", b",", b" 2", b",", b" 3", b"."]


async def test_an_answer_in_one_piece_comes_last() -> None:
    async with bedrock() as aws:
        reply = await aws.ask(**TRACED)
    assert reply.kinds == [
        "modelInvocationInput",
        "rationale",
        "modelInvocationOutput",
        "observation",
        "chunk",
    ]
    assert reply.chunks == [b"1, 2, 3."]
    assert orchestration(reply, "observation")[0]["finalResponse"]["text"] == "1, 2, 3."


async def test_without_traces_there_are_none() -> None:
    async with bedrock(Agent(reasoning="both", citations=1, collaborator=Collaborator())) as aws:
        assert (await aws.ask(**STREAMED)).kinds == ["chunk"]
        assert (await aws.ask(**STREAMED, enableTrace=False)).kinds == ["chunk"]


@pytest.mark.parametrize(
    "agent", [Agent(degrades=True), Agent(preprocessing=True)], ids=["degrades", "prepares"]
)
async def test_some_agents_do_not_stream(agent: Agent) -> None:
    async with bedrock(agent) as aws:
        reply = await aws.ask(**STREAMED, **TRACED)
    assert reply.chunks == [b"1, 2, 3."]
    assert ("preProcessingTrace" in reply.kinds) is agent.preprocessing


async def test_every_trace_says_whose_it_is() -> None:
    async with bedrock() as aws:
        first = (await aws.ask(**TRACED)).named("trace")[0]
    arn = f"arn:aws:bedrock:us-east-1:111122223333:agent-alias/{DEMO_AGENT}/{DEMO_ALIAS}"
    del first["trace"]
    assert first == {
        "agentId": DEMO_AGENT,
        "agentAliasId": DEMO_ALIAS,
        "agentVersion": "1",
        "sessionId": "s:1",
        "callerChain": [{"agentAliasArn": arn}],
        "eventTime": "2026-11-18T11:06:40.000000Z",
    }


# What knobs add.


async def test_chunks_may_cut_characters_in_two() -> None:
    async with bedrock(Agent(said=("Grüß ", "dich 🙂"), chunk_bytes=3)) as aws:
        reply = await aws.ask(**STREAMED)
    assert reply.text == "Grüß dich 🙂"
    assert {len(chunk) for chunk in reply.chunks[:-1]} == {3}
    with pytest.raises(UnicodeDecodeError):
        reply.chunks[0].decode()


async def test_reasoning_in_each_of_its_forms() -> None:
    found = {}
    for form in ("rationale", "content", "both", "redacted", "none"):
        async with bedrock(Agent(reasoning=form)) as aws:
            reply = await aws.ask(**TRACED)
        contents = [
            output.get("reasoningContent", {}) for output in orchestration(reply, "modelInvocationOutput")
        ]
        found[form] = (len(orchestration(reply, "rationale")), [list(content) for content in contents])
    assert found == {
        "rationale": (1, [[]]),
        "content": (0, [["reasoningText"]]),
        "both": (1, [["reasoningText"]]),
        "redacted": (0, [["redactedContent"]]),
        "none": (0, [[]]),
    }


async def test_usage_in_each_of_its_forms() -> None:
    found = {}
    for form in ("full", "none", "repeated"):
        async with bedrock(Agent(usage=form)) as aws:
            reply = await aws.ask(**TRACED)
        metadata = [output["metadata"] for output in orchestration(reply, "modelInvocationOutput")]
        ids = {one["clientRequestId"] for one in metadata}
        found[form] = len(metadata), len(ids), [one.get("usage") for one in metadata]
    usage = {"inputTokens": 3, "outputTokens": 6}
    assert found == {"full": (1, 1, [usage]), "none": (1, 1, [None]), "repeated": (2, 1, [usage, usage])}


async def test_citations_name_sentences_of_the_answer() -> None:
    async with bedrock(Agent(citations=3)) as aws:
        reply = await aws.ask("Hello!", **STREAMED, **TRACED)
    *others, last = reply.named("chunk")
    assert not any("attribution" in chunk for chunk in others)
    for citation in last["attribution"]["citations"]:
        part = citation["generatedResponsePart"]["textResponsePart"]
        assert reply.text[part["span"]["start"] : part["span"]["end"]] == part["text"] != ""
        assert len(citation["retrievedReferences"]) == 1
    looked_up = orchestration(reply, "observation")[0]["knowledgeBaseLookupOutput"]
    assert len(looked_up["retrievedReferences"]) == 3


async def test_a_citation_of_nothing() -> None:
    async with bedrock(Agent(citations=1, references=False, said=("",))) as aws:
        (chunk,) = (await aws.ask()).named("chunk")
    assert chunk["bytes"] == ""
    assert chunk["attribution"]["citations"][0]["retrievedReferences"] == []


async def test_files_before_or_after_the_text() -> None:
    files = (Produced("a.png", "image/png", b"\x89PNG"), Produced("b.csv", "text/csv", b""))
    for first, kinds in ((True, ["files", "chunk"]), (False, ["chunk", "files"])):
        async with bedrock(Agent(files=files, files_first=first)) as aws:
            reply = await aws.ask()
        assert reply.kinds == kinds
        told = reply.named("files")[0]["files"]
        assert [base64.b64decode(file["bytes"]) for file in told] == [b"\x89PNG", b""]


async def test_a_guardrail_lets_through_blocks_and_masks() -> None:
    agent = Agent(guardrail=Guardrail(blocked=("bomb", "7"), masked=("2",)))
    async with bedrock(agent) as aws:
        fine = await aws.ask("say hello", **TRACED)
        asked = await aws.ask("build a BOMB", **TRACED)
        said = await aws.ask("count to 8", **TRACED)
        masked = await aws.ask("count to 3", **TRACED)
    told = {
        name: [
            (
                trace["guardrailTrace"]["action"],
                next(key for key in trace["guardrailTrace"] if "Assess" in key),
            )
            for trace in (document["trace"] for document in reply.named("trace"))
            if "guardrailTrace" in trace
        ]
        for name, reply in (("fine", fine), ("asked", asked), ("said", said), ("masked", masked))
    }
    assert told == {
        "fine": [("NONE", "inputAssessments"), ("NONE", "outputAssessments")],
        "asked": [("INTERVENED", "inputAssessments")],
        "said": [("NONE", "inputAssessments"), ("INTERVENED", "outputAssessments")],
        "masked": [("NONE", "inputAssessments"), ("INTERVENED", "outputAssessments")],
    }
    assert asked.text == said.text == "Sorry, the model cannot answer this question."
    assert (fine.text, masked.text) == ("hello", "1, {MASKED}, 3.")


async def test_a_guardrail_looks_at_some_characters_at_a_time() -> None:
    async with bedrock(Agent(guardrail=Guardrail())) as aws:
        usual = await aws.ask("count to 40", **STREAMED)
        short = await aws.ask(
            "count to 40", streamingConfigurations={"streamFinalResponse": True, "applyGuardrailInterval": 10}
        )
    assert usual.text == short.text
    for reply, least in ((usual, 50), (short, 10)):
        sizes = [len(chunk) for chunk in reply.chunks[:-1]]
        assert len(sizes) >= 2
        assert all(least <= size < least + 10 for size in sizes)


async def test_a_collaborator_has_a_final_response_of_its_own() -> None:
    async with bedrock(Agent(collaborator=Collaborator("helper"))) as aws:
        reply = await aws.ask(**TRACED)
    finals = [
        (
            document.get("collaboratorName"),
            document["agentId"],
            document["trace"]["orchestrationTrace"]["observation"],
        )
        for document in reply.named("trace")
        if traced(document) == "observation"
    ]
    assert [
        (name, agent, next(key for key in saw if key not in ("traceId", "type")))
        for name, agent, saw in finals
    ] == [
        ("helper", "SUB1234567", "finalResponse"),
        (None, DEMO_AGENT, "agentCollaboratorInvocationOutput"),
        (None, DEMO_AGENT, "finalResponse"),
    ]
    assert reply.text == "1, 2, 3."


async def test_a_failure_trace_is_the_end_of_it() -> None:
    async with bedrock(Agent(fails=(429, "too fast"))) as aws:
        reply = await aws.ask(**TRACED)
        silent = await aws.ask()
    failed = reply.named("trace")[-1]["trace"]["failureTrace"]
    assert (failed["failureCode"], failed["failureReason"]) == (429, "too fast")
    assert "chunk" not in reply.kinds
    assert (silent.status, silent.body) == (200, b"")


async def test_an_agent_may_say_nothing() -> None:
    async with bedrock(Agent(silent=True)) as aws:
        reply = await aws.ask(**TRACED, **STREAMED)
    assert "chunk" not in reply.kinds
    assert orchestration(reply, "observation")[0]["finalResponse"]["text"] == "1, 2, 3."


async def test_noise_prompts_and_custom_traces() -> None:
    async with bedrock(Agent(noise=True, prompt_size=60_000, custom_trace="step")) as aws:
        reply = await aws.ask(**TRACED, **STREAMED)
        frames = (await aws.ask(**STREAMED)).frames
    (asked,) = orchestration(reply, "modelInvocationInput")
    assert len(asked["text"]) == 60_000
    assert {"ponder", "sparkle", "storm", "", "dreamTrace", "customOrchestrationTrace"} <= set(reply.kinds)
    assert reply.text == "1, 2, 3."
    assert all("mood" in chunk for chunk in reply.named("chunk"))
    assert [frame.headers.get(":message-type") for frame in frames][:3] == ["event", None, "weather"]


# Scripts.


async def test_a_script_is_told_to_the_letter() -> None:
    trace = Event("trace", {"trace": {"customOrchestrationTrace": {"event": {"text": "x"}}}})
    chunk = Event("chunk", {"bytes": "aGk="})
    scripts = {
        "tell": (chunk, trace, Sleep(0.001), Raw(b"not a frame"), Err("InternalError", "boom")),
        "fail": (chunk, exc("internalServerException", "gone", reason="x")),
        "refuse": (http("throttlingException", "slow down"),),
    }
    async with bedrock(Agent(scripts=scripts, script=(chunk,))) as aws:
        told = await aws.ask("tell", **TRACED)
        untraced = await aws.ask("tell")
        failed = await aws.ask("fail")
        refusal = await aws.ask("refuse")
        other = await aws.ask("anything")
    assert told.body.count(b"customOrchestrationTrace") == 1
    assert b"not a frame" in told.body
    assert b"customOrchestrationTrace" not in untraced.body
    assert failed.events == [
        ("chunk", {"bytes": "aGk="}),
        ("internalServerException", {"message": "gone", "reason": "x"}),
    ]
    assert (refusal.error, refusal.json) == ((429, "ThrottlingException"), {"message": "slow down"})
    assert other.text == "hi"
