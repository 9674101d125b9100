"""A chat request, read as a question to a flow or to a runtime: these take one text, or what a client hands in.

A flow's input is a value that its nodes are built around, and what a runtime takes is its author's business; so a
client may send it as it is, in ``bedrock: {"document": …}`` or ``bedrock: {"payload": …}``, and else the last user
message is the text. Tools, files and the parameters of a model have no place there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from translators.errors import BadRequest
from translators.request import Prompt
from translators.upstreams.bedrock_ask import HEARS, text_of
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.plan import Caller

_SESSION = re.compile(r"[0-9a-zA-Z._:-]+", re.ASCII)
_UNDERSCORE = re.compile(r"_([a-z])")
_SPEAKERS = {"user": "User", "assistant": "Assistant"}
_IGNORED = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort", "verbosity"),
    *("response_format", "prediction", "store", "service_tier", "tools", "tool_choice", "functions"),
    *("function_call", "parallel_tool_calls", "web_search_options"),
)


@frozen
class Takes:
    """What a kind of question may bring with it."""

    members: frozenset[str]
    """Those of ``bedrock`` in the request, in the service's spelling; a client may write underscores."""
    instead: str
    """The one of them that stands for the words."""
    longest_session: int


@frozen
class Question:
    system: str
    messages: tuple[dict[str, str], ...]
    """Who said what, without what has no words; the question itself is the last."""
    text: str
    """The last message, if a user said it."""
    session: str
    """How the client names the session, if it does."""
    param: str
    """Where it names it."""
    own: Mapping[str, Any]

    @classmethod
    def read(cls, prompt: Prompt, settings: BedrockSettings, caller: Caller, takes: Takes) -> Question:
        """Raises BadRequest for what cannot be asked."""
        body = prompt.body
        _refuse_unsupported(body, settings)
        own = _own(body, takes.members)
        said = [(message["role"], text_of(message)) for message in prompt.messages]
        last = prompt.messages[-1]
        text = text_of(last) if last["role"] == "user" else ""
        if takes.instead not in own:
            _refuse_wordless(prompt.messages, any(role == "user" and words for role, words in said))
        session, param = _session(body, caller, takes.longest_session)
        return cls(
            system="\n\n".join(words for role, words in said if role in ("system", "developer") and words),
            messages=tuple(
                {"role": role, "content": words} for role, words in said if role in _SPEAKERS and words
            ),
            text=text,
            session=session,
            param=param,
            own=own,
        )

    @property
    def transcript(self) -> str:
        """Everything that was said, written out; only the question where nothing was said before."""
        if self.text and len(self.messages) == 1:
            return self.text
        return "\n\n".join(f"{_SPEAKERS[message['role']]}: {message['content']}" for message in self.messages)


def _own(body: Mapping[str, Any], members: frozenset[str]) -> Mapping[str, Any]:
    own = body.get("bedrock", {})
    if not isinstance(own, dict):
        raise BadRequest(
            "Invalid type for 'bedrock': expected an object.", param="bedrock", code="invalid_type"
        )
    found = {}
    for name, value in own.items():
        member = _UNDERSCORE.sub(lambda match: match[1].upper(), name)
        if member not in members:
            raise BadRequest(
                f"Unknown member 'bedrock.{name[:64]}'. Known are: {', '.join(sorted(members))}.",
                param=f"bedrock.{name[:64]}",
                code="unknown_parameter",
            )
        found[member] = value
    return found


def _session(body: Mapping[str, Any], caller: Caller, longest: int) -> tuple[str, str]:
    """The session that the client names, and where it does."""
    session, param = body.get("session_id"), "session_id"
    if session is None:
        param = next((name for name in HEARS if caller.headers.get(name)), "")
        if not param:
            return "", ""
        session = caller.headers[param]
    if not isinstance(session, str) or not 2 <= len(session) <= longest or not _SESSION.fullmatch(session):
        raise BadRequest(
            f"Invalid '{param}': expected 2 to {longest} letters, digits, '.', '_', ':' and '-'.",
            param=param,
            code="invalid_value",
        )
    return session, param


def _refuse_wordless(messages: list[dict[str, Any]], asks: bool) -> None:
    content = messages[-1].get("content") if messages[-1]["role"] == "user" else None
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if part["type"] != "text":
            raise BadRequest(
                f"Bedrock's flows and runtimes take text only, not '{part['type'][:40]}'.",
                param=f"messages[{len(messages) - 1}].content[{number}]",
                code="unsupported_content",
            )
    if not asks:
        raise BadRequest(
            "No user message found: there is nothing to ask.", param="messages", code="invalid_value"
        )
    if messages[-1]["role"] == "user" and not text_of(messages[-1]).strip():
        raise BadRequest("The last user message is empty.", param="messages", code="invalid_value")


def _refuse_unsupported(body: Mapping[str, Any], settings: BedrockSettings) -> None:
    if body.get("n", 1) != 1:
        raise BadRequest("Bedrock gives one answer: 'n' must be 1.", param="n", code="unsupported_value")
    if "audio" in body.get("modalities", ()):
        raise BadRequest("Bedrock does not speak.", param="modalities", code="unsupported_value")
    if settings.strict:
        for name in _IGNORED:
            if name in body and body[name] not in (False, [], {}, {"type": "text"}):
                raise BadRequest(
                    f"Unsupported parameter: '{name}' is not supported here.",
                    param=name,
                    code="unsupported_parameter",
                )
