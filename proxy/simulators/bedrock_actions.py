"""Actions of an agent that its client must carry out: which ones a question asks for, and whether the results fit.

An agent calls an action when the question names it: a function by its name, an API action by its path or by
``METHOD path``. The values of parameters are taken from the question, always as strings, whatever their type says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from attrs import define, frozen

from proxy.simulators.bedrock_faults import Fault, invalid
from translators import prose

_MOST_INPUTS = 5
Invocation: TypeAlias = Literal["RESULT", "USER_CONFIRMATION", "USER_CONFIRMATION_AND_RESULT"]


@frozen
class Function:
    """``parameters`` are types by name."""

    name: str
    parameters: Mapping[str, str] = {}
    invocation: Invocation = "RESULT"
    description: str = ""


@frozen
class Api:
    path: str
    method: str = "GET"
    parameters: Mapping[str, str] = {}
    body: Mapping[str, str] = {}
    """Properties of a JSON body, types by name."""
    invocation: Invocation = "RESULT"


@frozen
class Group:
    """An action group whose executor is RETURN_CONTROL."""

    name: str
    actions: tuple[Function | Api, ...] = ()


@frozen
class Input:
    """One thing the client must do, as ``invocationInputs`` tells it."""

    group: str
    action: Function | Api
    question: str
    agent_id: str = ""
    """Of the collaborator whose action it is."""
    collaborator: str = ""

    @property
    def document(self) -> dict[str, Any]:
        action = self.action
        told: dict[str, Any] = {
            "actionGroup": self.group,
            "actionInvocationType": action.invocation,
            "parameters": _parameters(action.parameters, self.question),
        }
        if self.agent_id:
            told |= {"agentId": self.agent_id, "collaboratorName": self.collaborator}
        if isinstance(action, Function):
            return {"functionInvocationInput": {**told, "function": action.name}}
        told |= {"apiPath": action.path, "httpMethod": action.method}
        if action.body:
            properties = _parameters(action.body, self.question)
            told["requestBody"] = {"content": {"application/json": {"properties": properties}}}
        return {"apiInvocationInput": told}

    @property
    def traced(self) -> dict[str, Any]:
        """The same for a trace, which has other names."""
        action = self.action
        told: dict[str, Any] = {
            "actionGroupName": self.group,
            "executionType": "RETURN_CONTROL",
            "parameters": _parameters(action.parameters, self.question),
        }
        if isinstance(action, Function):
            return {**told, "function": action.name}
        return {**told, "apiPath": action.path, "verb": action.method.lower()}


def _parameters(types: Mapping[str, str], question: str) -> list[dict[str, str]]:
    return [{"name": name, "type": kind, "value": _value(kind, question)} for name, kind in types.items()]


def _value(kind: str, question: str) -> str:
    number = re.search(r"\d+", question, re.ASCII)
    usual = {"boolean": "true", "array": '["a", "b"]', "object": '{"a": 1}', "number": "2.5", "integer": "3"}
    if number is not None and kind in ("string", "number", "integer"):
        return number[0]
    return usual.get(kind, prose.quoted(question))


def asked_for(groups: Sequence[Group], question: str) -> list[tuple[str, Function | Api]]:
    """The group and the action of each that the question names."""
    named = [(group.name, action) for group in groups for action in group.actions if _named(action, question)]
    return named[:_MOST_INPUTS]


def _named(action: Function | Api, question: str) -> bool:
    if isinstance(action, Function):
        return re.search(rf"\b{re.escape(action.name)}\b", question, re.IGNORECASE) is not None
    return action.path in question


def groups_of(given: Any) -> tuple[Group, ...]:
    """Those that came with the question to an inline agent and that return control."""
    return tuple(
        Group(group["actionGroupName"], tuple(_functions(group)))
        for group in given or ()
        if "customControl" in group.get("actionGroupExecutor", {})
    )


def _functions(group: Mapping[str, Any]) -> Iterator[Function]:
    for function in group.get("functionSchema", {}).get("functions", ()):
        types = {name: detail["type"] for name, detail in function.get("parameters", {}).items()}
        asks = function.get("requireConfirmation") == "ENABLED"
        yield Function(
            function["name"],
            types,
            "USER_CONFIRMATION_AND_RESULT" if asks else "RESULT",
            function.get("description", ""),
        )


# What comes back.


@define
class Pending:
    """What a session waits for."""

    invocation_id: str
    inputs: list[Input]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Pending:
        """From a returnControl event that somebody wrote by hand."""
        inputs = []
        for member in document.get("invocationInputs", ()):
            ((_, told),) = member.items()
            kind: Invocation = told.get("actionInvocationType", "RESULT")
            named = "function" in told
            action = (
                Function(told["function"], invocation=kind)
                if named
                else Api(told["apiPath"], told["httpMethod"], invocation=kind)
            )
            who = told.get("agentId", ""), told.get("collaboratorName", "")
            inputs.append(Input(told["actionGroup"], action, "", *who))
        return cls(document["invocationId"], inputs)

    def results(self, state: Mapping[str, Any], *, partial: bool) -> list[str]:
        """What each action gave, in words for the model."""
        if state.get("invocationId") != self.invocation_id:
            raise invalid("The invocationId does not match the one of the pending invocation.")
        waiting = list(self.inputs)
        said = []
        for member in state["returnControlInvocationResults"]:
            ((kind, result),) = member.items()
            found = next((one for one in waiting if _fits(one, kind, result)), None)
            if found is None:
                raise invalid(
                    f"No pending invocation matches the {kind} of action group {result['actionGroup']}."
                )
            waiting.remove(found)
            said.append(_outcome(found, result))
        if waiting and not partial:
            raise invalid(f"{len(waiting)} of the pending invocation inputs have no result.")
        return said


def _fits(wanted: Input, kind: str, result: Mapping[str, Any]) -> bool:
    action = wanted.action
    if result["actionGroup"] != wanted.group or result.get("agentId", "") != wanted.agent_id:
        return False
    if isinstance(action, Function):
        return kind == "functionResult" and result.get("function") == action.name
    same_method = str(result.get("httpMethod", "")).lower() == action.method.lower()
    return kind == "apiResult" and result.get("apiPath") == action.path and same_method


def _outcome(wanted: Input, result: Mapping[str, Any]) -> str:
    invocation, confirmed = wanted.action.invocation, result.get("confirmationState")
    if result.get("responseState") == "FAILURE":
        raise Fault(
            "dependencyFailedException",
            f"The action group {wanted.group} failed.",
            resourceName=wanted.group,
        )
    if invocation != "RESULT" and confirmed is None:
        raise invalid("A confirmationState is needed for this invocation.")
    if confirmed == "DENY":
        return "the user said no"
    if invocation == "USER_CONFIRMATION":
        return "the user said yes"
    bodies = result.get("responseBody")
    if not bodies:
        raise invalid("A responseBody is needed for this invocation.")
    wrong = [key for key in bodies if isinstance(wanted.action, Function) and key not in ("TEXT", "IMAGES")]
    if wrong:
        raise invalid(f"The responseBody of a function has TEXT or IMAGES, not {wrong[0]}.")
    return "\n".join(body.get("body", "") for body in bodies.values())
