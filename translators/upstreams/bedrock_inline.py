"""An agent that is made for each question, out of a model, an instruction and the request's own tools.

Nothing of it was built at Amazon: the system message is its instruction, and the tools are the functions of one
action group that returns control, so the client makes all calls. Sessions, results and answers are as with other
agents.

Amazon's functions know five types of parameters and no nesting. A parameter of another type is told as text, and
what the model writes for it is read back as what the client asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson
from translators.errors import BadRequest
from translators.upstreams.bedrock_agent import BedrockAgent
from translators.upstreams.bedrock_ask import Question
from translators.upstreams.bedrock_names import Agent, quoted
from translators.upstreams.bedrock_tools import Calls
from translators.upstreams.plan import Plan

GROUP = "client_tools"
SHORTEST_INSTRUCTION = 40

_NAME = re.compile(r"(?:[0-9a-zA-Z][_-]?){1,100}", re.ASCII)
_TYPES = ("string", "number", "integer", "boolean", "array")
_LONGEST_FUNCTION, _LONGEST_PARAMETER = 1200, 500
_TTL = (60, 3600)


@define(eq=False)
class InlineAgent(BedrockAgent):
    inline: ClassVar[bool] = True
    state: ClassVar[str] = "inlineSessionState"

    _wanted: int = field(default=0, init=False)
    """Seconds for which the client wants an idle session kept."""

    def prepare(self) -> Plan[None] | None:
        plan = super().prepare()
        if types := types_of(self.prompt.body.get("tools", ())):
            self._calls = Calls(self.settings.qualify_tool_names, types)
        question = self._read()
        self._wanted = question.extras.get("idleSessionTTLInSeconds", 0)
        self._instruction(question)
        functions_of(self.prompt.body)
        return plan

    def _named(self) -> Agent:
        return Agent("inline", self.settings.foundation_model)

    @property
    def _own_group(self) -> str:
        return GROUP

    @property
    def _ttl(self) -> float:
        """What the service takes of what is configured, unless the client wishes otherwise."""
        least, most = _TTL
        return self._wanted or max(least, min(most, int(self.settings.session_ttl)))

    def _path(self) -> str:
        return f"agents/{quoted(self._session)}"

    def _body(self, question: Question) -> dict[str, Any]:
        own = question.extras
        body = {
            "foundationModel": self.settings.foundation_model,
            "instruction": self._instruction(question),
            "idleSessionTTLInSeconds": self._ttl,
            **super()._body(question),
        }
        for name in ("knowledgeBases", "guardrailConfiguration"):
            if name in own:
                body[name] = own[name]
        functions = functions_of(self.prompt.body)
        group = {
            "actionGroupName": GROUP,
            "actionGroupExecutor": {"customControl": "RETURN_CONTROL"},
            "functionSchema": {"functions": functions},
        }
        if groups := [*([group] if functions else []), *own.get("actionGroups", [])]:
            body["actionGroups"] = groups
        return body

    def _instruction(self, question: Question) -> str:
        """Raises BadRequest if there is not enough of it."""
        system = question.system if self.settings.system == "prompt" else ""
        text = "\n\n".join(filter(None, (self.settings.instruction, system)))
        if len(text) < SHORTEST_INSTRUCTION:
            raise BadRequest(
                f"An agent needs an instruction of at least {SHORTEST_INSTRUCTION} characters: send a system "
                "message that long.",
                param="messages",
                code="invalid_value",
            )
        return text

    def _prompts(self, question: Question) -> bool:
        return False  # the instruction says it

    def _knowledge(self, question: Question) -> list[dict[str, Any]]:
        return []  # an agent without a build has no bases of its own to configure


def functions_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The request's tools as functions of an action group. Raises BadRequest for what cannot be one."""
    if body.get("tool_choice") == "none":
        return []
    return [_function(tool, f"tools[{number}]") for number, tool in enumerate(body.get("tools", ()))]


def _function(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    function = tool.get("function")
    if tool["type"] != "function" or not isinstance(function, dict):
        raise _wrong(f"{at}.type", "An agent takes tools of type 'function' only.")
    name = _checked(function["name"], f"{at}.function.name")
    found: dict[str, Any] = {"name": name}
    if description := _described(function.get("description"), _LONGEST_FUNCTION):
        found["description"] = description
    schema = function.get("parameters") or {}
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    if parameters := {
        _checked(parameter, f"{at}.function.parameters"): _parameter(told, parameter in required)
        for parameter, told in _properties(schema).items()
    }:
        found["parameters"] = parameters
    return found


def _parameter(told: Any, required: bool) -> dict[str, Any]:
    type = _type(told)
    description = told.get("description") if isinstance(told, dict) else ""
    if type not in _TYPES:
        shape = wirejson.dumps(told).decode()
        description = f"{description or ''} (JSON text of this schema: {shape})".strip()
        type = "string"
    found = {"type": type, "required": required}
    if text := _described(description, _LONGEST_PARAMETER):
        found["description"] = text
    return found


def types_of(tools: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """By function and parameter, the types that Amazon's functions do not know."""
    found: dict[tuple[str, str], str] = {}
    for tool in tools:
        function = tool.get("function") or {}
        for name, told in _properties(function.get("parameters") or {}).items():
            if _type(told) not in _TYPES:
                found[function["name"], name] = "object" if _type(told) == "object" else "any"
    return found


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _type(told: Any) -> str:
    """The one type of a schema; what may be several is none of those that Amazon knows."""
    type = told.get("type") if isinstance(told, dict) else None
    if isinstance(type, list):
        named = [one for one in type if one != "null"]
        type = named[0] if len(named) == 1 else None
    return type if isinstance(type, str) else ""


def _described(text: Any, longest: int) -> str:
    return text[:longest] if isinstance(text, str) else ""


def _checked(name: str, param: str) -> str:
    if not _NAME.fullmatch(name):
        raise _wrong(
            param,
            f"'{name[:100]}' cannot name a function of an agent, or a parameter of one: letters and digits, "
            "with single '_' or '-' between them.",
        )
    return name


def _wrong(param: str, message: str) -> BadRequest:
    return BadRequest(message, param=param, code="invalid_value")
