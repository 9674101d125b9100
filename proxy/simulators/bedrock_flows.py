"""InvokeFlow: a document in, the documents of the output nodes out, and an end event that says why it ended.

A flow with an agent node may ask its user: then it ends with INPUT_REQUIRED and waits under its execution id. The
answer goes to the node that asked, as its ``nodeInputName`` agentInputText, not to the node where flows begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from proxy.simulators import bedrock_bodies as bodies
from proxy.simulators.bedrock_faults import invalid, missing
from proxy.simulators.bedrock_knobs import Event, Flow, Step
from proxy.simulators.bedrock_reading import document_of
from proxy.simulators.bedrock_sessions import keep
from proxy.simulators.bedrock_stream import refuse_if_scripted, send
from proxy.simulators.bedrock_world import DRAFT_ALIAS, WORLD, Execution, World
from translators import prose, wirejson
from translators.generator import answer

EXECUTION_HEADER = "x-amz-bedrock-flow-execution-id"
_REPLY_INPUT = "agentInputText"


async def invoke_flow(request: web.Request, flow_id: str, alias_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    bodies.FLOW_ID.check(flow_id, "flowIdentifier")
    bodies.FLOW_ALIAS_ID.check(alias_id, "flowAliasIdentifier")
    flow_id, alias_id = flow_id.rpartition("/")[2], alias_id.rpartition("/")[2]
    body = await document_of(request, bodies.INVOKE_FLOW)
    flow = _found(world, flow_id, alias_id)
    given = body["inputs"][0]
    execution = _execution(world, flow, flow_id, body)
    _check_input(flow, execution, given)
    refuse_if_scripted(flow.script)
    execution.said.append(_words(given["content"]["document"]))
    steps = iter(flow.script) if flow.script is not None else _run(world, flow, execution, given)
    told = body.get("enableTrace", False)
    heard = (
        step for step in steps if told or not (isinstance(step, Event) and step.type == "flowTraceEvent")
    )
    headers = {EXECUTION_HEADER: execution.id}
    return await send(request, world, flow.wire or world.knobs.wire, heard, headers)


def _found(world: World, flow_id: str, alias_id: str) -> Flow:
    flow = world.flows.get(flow_id)
    if flow is None or alias_id not in {DRAFT_ALIAS, *flow.aliases}:
        raise missing()
    if flow.status != "Prepared":
        raise invalid(f"Flow {flow_id} is not in a prepared state. Prepare the flow and try again.")
    return flow


def _execution(world: World, flow: Flow, flow_id: str, body: dict[str, Any]) -> Execution:
    """The execution that waits for this answer, or a new one."""
    now = world.clock()
    execution_id = body.get("executionId") or world.new_id()
    found = world.executions.get((flow_id, execution_id))
    if found is None or now - found.used_at > flow.ttl:
        found = Execution(execution_id, flow_id, 0, [], now)
        keep(world.executions, (flow_id, execution_id), found)
    found.used_at = now
    return found


def _check_input(flow: Flow, execution: Execution, given: dict[str, Any]) -> None:
    document = given["content"]["document"]
    if execution.asked:
        if given["nodeName"] != flow.asking_node or given.get("nodeInputName") != _REPLY_INPUT:
            raise invalid(
                f"This execution waits for the input {_REPLY_INPUT} of the node {flow.asking_node}."
            )
        return
    if given["nodeName"] != flow.input_node:
        raise invalid(f"The flow has no input node named {given['nodeName']}.")
    if "nodeInputName" in given or given.get("nodeOutputName", flow.input_output) != flow.input_output:
        raise invalid(f"The input node {flow.input_node} has one output, {flow.input_output}.")
    kinds = {"text": str, "object": dict}
    if flow.takes in kinds and not isinstance(document, kinds[flow.takes]):
        raise invalid(f"The document of {flow.input_node} must be of type {flow.takes}.")


def _words(document: Any) -> str:
    if isinstance(document, dict) and isinstance(document.get("content"), str):
        return str(document["content"])
    return document if isinstance(document, str) else wirejson.dumps(document).decode()


def _run(world: World, flow: Flow, execution: Execution, given: dict[str, Any]) -> Iterator[Step]:
    yield _trace(world, "nodeInputTrace", given["nodeName"], "document", given["content"]["document"])
    if execution.asked < len(flow.asks):
        question = flow.asks[execution.asked]
        execution.asked += 1
        asking = {"nodeName": flow.asking_node, "nodeType": "AgentNode", "content": {"document": question}}
        yield Event("flowMultiTurnInputRequestEvent", asking)
        yield from _end(flow, "INPUT_REQUIRED")
        return
    del world.executions[(execution.flow_id, execution.id)]
    document = flow.document if flow.document is not None else _answer(execution.said)
    for node in flow.outputs:
        yield _trace(world, "nodeOutputTrace", node, "document", document)
        told = {"nodeName": node, "nodeType": "FlowOutputNode", "content": {"document": document}}
        yield Event("flowOutputEvent", told)
    yield from _end(flow, "SUCCESS")


def _end(flow: Flow, reason: str) -> Iterator[Step]:
    if flow.completes:
        yield Event("flowCompletionEvent", {"completionReason": reason})


def _answer(said: list[str]) -> str:
    choice = answer({"messages": [{"role": "user", "content": prose.clean(text)} for text in said]}).choices[
        0
    ]
    return "".join(choice.content or choice.refusal)


def _trace(world: World, kind: str, node: str, field: str, document: Any) -> Event:
    member = "nodeInputName" if kind == "nodeInputTrace" else "nodeOutputName"
    fields = [{"content": {"document": document}, member: field}]
    told = {"nodeName": node, "timestamp": world.stamp(), "fields": fields}
    return Event("flowTraceEvent", {"trace": {kind: told}})
