"""A chat request, read as one turn with an agent.

An agent takes one text, or the results of calls it asked for, and keeps what was said before in its session.
Earlier turns are therefore known there already, told to a new session as its history, or written out before the
question.
What an agent is like (its model, its tools, its prompt) was decided when it was built: parameters for that are
ignored, refused in strict mode, and refused always where ignoring them would give another kind of answer.

The session is named in the body (``session_id``) or in a header, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from translators import wirejson
from translators.errors import BadRequest
from translators.record import record
from translators.request import Prompt
from translators.upstreams.bedrock_extras import extras
from translators.upstreams.bedrock_files import Attachment, attachments
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.bedrock_tools import Results
from translators.upstreams.plan import Caller

SESSION_ID = re.compile(r"(?!\.+\Z)[0-9A-Za-z._:-]{2,100}", re.ASCII)
"""The service would take dots alone, too, but in a path they mean another place."""
HEARS = ("x-session-id", "x-conversation-id")

_SYSTEM = ("system", "developer")
_NAMES = {"user": "User", "assistant": "Assistant"}
_INLINED = re.compile(r"!?(\[[^\[\]]{0,512}\])\(data:[^()\s]*\)")
_IGNORED = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort", "verbosity"),
    *("service_tier", "response_format", "prediction", "store", "parallel_tool_calls", "web_search_options"),
    *("functions", "function_call"),
)
_USUAL = ("none", "auto")


@record
class Question:
    text: str
    """What the user says; empty where results are brought, or nothing is said any more."""
    system: str
    turns: tuple[tuple[str, str], ...]
    """Who said what before, taking turns, the user first."""
    results: Results | None
    attachments: tuple[Attachment, ...]
    session: str
    """As the client names it."""
    session_param: str
    attributes: dict[str, str]
    """Of the session, out of the request's own fields."""
    extras: dict[str, Any]
    """Beside OpenAI's fields, by the service's own names."""

    @classmethod
    def read(cls, prompt: Prompt, settings: BedrockSettings, caller: Caller, inline: bool) -> Question:
        """Raises BadRequest for what cannot be asked."""
        body, messages = prompt.body, prompt.messages
        _refuse_unsupported(body, settings, inline)
        session, param = _session(body, caller)
        found = extras(body, inline)
        roles = [one["role"] for one in messages]
        results = Results.read(messages) if "tool" in roles else None
        last = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else -1
        text = ""
        files: tuple[Attachment, ...] = ()
        if results is None and last >= 0:
            text = text_of(messages[last])
            files = attachments(messages[last], f"messages[{last}]")
        if results is None and not text.strip() and not files and not found.get("endSession"):
            raise BadRequest(
                "No user message found: an agent needs a question.", param="messages", code="invalid_value"
            )
        system = [text_of(one) for one in messages if one["role"] in _SYSTEM]
        return cls(
            text=text,
            system="\n\n".join(filter(None, system)),
            turns=_turns(messages[:last]) if results is None and last > 0 else (),
            results=results,
            attachments=files,
            session=session,
            session_param=param,
            attributes=_attributes(body, settings),
            extras=found,
        )

    @property
    def written_out(self) -> str:
        """The question after all that was said before it."""
        said = [f"{_NAMES[role]}: {text}" for role, text in self.turns]
        return "\n\n".join([*said, f"User: {self.text}"]) if said else self.text

    def history(self) -> dict[str, Any]:
        messages = [{"role": role, "content": [{"text": text}]} for role, text in self.turns]
        return {"messages": messages}


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    return (content or "").strip() if message["role"] in _SYSTEM else content or ""


def _turns(messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """What user and assistant said, joined where one spoke twice; calls and their results are left out."""
    turns: list[tuple[str, str]] = []
    for message in messages:
        role, text = message["role"], text_of(message)
        if role == "assistant" and "](data:" in text:
            text = _INLINED.sub(r"\1", text)  # a file that an agent made: its bytes are no words
        if role not in _NAMES or not text.strip() or (role == "assistant" and not turns):
            continue
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    return tuple(turns)


def _session(body: Mapping[str, Any], caller: Caller) -> tuple[str, str]:
    """The session that the client names, and where it does."""
    given = body.get("session_id")
    if given is not None:
        if not isinstance(given, str):
            raise BadRequest(
                "Invalid type for 'session_id': expected a string.",
                param="session_id",
                code="invalid_type",
            )
        return _checked(given, "session_id")
    for name in HEARS:
        if caller.headers.get(name):
            return _checked(caller.headers[name], name)
    return "", "session_id"


def _checked(session: str, param: str) -> tuple[str, str]:
    if not SESSION_ID.fullmatch(session):
        raise BadRequest(
            f"Invalid '{param}': expected 2 to 100 letters, digits, '.', '_', ':' and '-'.",
            param=param,
            code="invalid_value",
        )
    return session, param


def _attributes(body: Mapping[str, Any], settings: BedrockSettings) -> dict[str, str]:
    metadata = body.get("metadata") or {}
    found = {
        name: value if isinstance(value, str) else wirejson.dumps(value).decode()
        for name, value in metadata.items()
        if value is not None
    }
    if settings.user_attribute and body.get("user"):
        found[settings.user_attribute] = body["user"]
    return found


def _refuse_unsupported(body: Mapping[str, Any], settings: BedrockSettings, inline: bool) -> None:
    if body.get("n", 1) != 1:
        raise BadRequest("An agent gives one answer: 'n' must be 1.", param="n", code="unsupported_value")
    if "audio" in body.get("modalities", ()):
        raise BadRequest("An agent cannot speak.", param="modalities", code="unsupported_value")
    if settings.strict:
        for name in (*_IGNORED, "tool_choice", *(() if inline else ("tools",))):
            if name in body and not _means_nothing(name, body[name]):
                raise BadRequest(
                    f"Unsupported parameter: '{name}' is not supported by an agent.",
                    param=name,
                    code="unsupported_parameter",
                )


def _means_nothing(name: str, value: Any) -> bool:
    """Whether the value is what would happen anyway."""
    if name == "response_format":
        return bool(value["type"] == "text")
    return (
        value is False or value in ([], {}) or (name in ("tool_choice", "function_call") and value in _USUAL)
    )
