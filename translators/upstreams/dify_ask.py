"""A chat request, read as a question to a Dify app.

Dify wants one text, the user's name and the inputs of a form; it keeps the history itself, under a conversation
id. What stands before the last user message is therefore either known there already, or written out before the
question as a transcript. Parameters of the model are the app's own business: they are ignored, refused in strict
mode, and refused always where ignoring them would give another kind of answer than the one asked for.

Beside the OpenAI fields a client may send Dify's own: ``conversation_id``, ``inputs``, ``files`` and
``workflow_id``, the first two also as ``metadata``. Most send nothing but messages, so whether there is anything
else to look at is asked once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from translators import wirejson
from translators.errors import BadRequest, Unauthenticated
from translators.record import record
from translators.request import Prompt
from translators.upstreams.dify_files import MAX_FILES, Attachment, attachments
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.plan import Caller

ID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z_.:-]{0,126}[0-9A-Za-z])?")
"""What an id of the platform may look like before it goes into a path, a header or a body."""
_LONGEST_USER = 200

_NAMES = {"user": "User", "assistant": "Assistant", "tool": "Tool", "function": "Tool"}
_USERS = ("user", "safety_identifier", "prompt_cache_key")

_IGNORED = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "top_logprobs", "reasoning_effort", "verbosity", "service_tier"),
    *("store", "tools", "functions", "parallel_tool_calls", "response_format", "modalities", "audio"),
    *("prediction", "web_search_options"),
)
_REFUSED = ("n", "logprobs", "tool_choice", "function_call")
_OWN = ("conversation_id", "inputs", "files", "workflow_id", "metadata")
_MEANT = frozenset((*_REFUSED, *_OWN))
"""Fields beside the messages and the user that mean something to every app."""

_NO_HEADERS: Mapping[str, str] = {}
_KNOWN_OWNERS = 1024


@record
class Question:
    system: str
    turns: tuple[str, ...]
    """Everything but system messages, written out; the question itself is the last."""
    text: str
    """The last user message; empty where the last message is none."""
    goes_on: bool
    """Whether there is anything before the last user message."""
    attachments: tuple[Attachment, ...]
    user: str
    conversation: str
    inputs: Mapping[str, Any] = {}
    files: tuple[dict[str, Any], ...] = ()
    workflow: str = ""

    @classmethod
    def read(cls, prompt: Prompt, settings: DifySettings, caller: Caller) -> Question:
        """Raises BadRequest for what cannot be asked."""
        body, messages = prompt.body, prompt.messages
        meant = not body.keys().isdisjoint(_MEANT)
        if meant or settings.strict:
            _refuse_unsupported(body, settings)
        system: list[str] = []
        turns: list[str] = []
        spoken, text = 0, ""
        for message in messages:
            name = _NAMES.get(message["role"])
            text = _text(message)
            if name is None:
                system.append(text)
            else:
                spoken += 1
                if text:
                    turns.append(f"{name}: {text}")
        last = messages[-1]
        asks = last["role"] == "user"
        text = text if asks else ""
        shows = asks and type(last["content"]) is list
        found = tuple(attachments(last, f"messages[{len(messages) - 1}]")) if shows else ()
        inputs = _inputs(body) if meant else {}
        if not (text if asks else turns) and not found and not inputs:
            raise BadRequest(
                "The last user message is empty: a Dify app needs a question.",
                param="messages",
                code="invalid_value",
            )
        if settings.forward:
            inputs = {**{name: body[name] for name in settings.forward if name in body}, **inputs}
        words = "\n\n".join(filter(None, system)) if system else ""
        files = _files(body) if meant else ()
        conversation = _conversation(body, caller) if meant else _id(caller.headers, "x-conversation-id")
        workflow = _id(body, "workflow_id") if meant else ""
        user = user_of(body, settings, caller)
        return cls(words, tuple(turns), text, spoken > 1, found, user, conversation, inputs, files, workflow)

    def fresh(self, with_turns: bool, with_system: bool) -> str:
        """The question to somebody who knows nothing of what was said before."""
        said = "\n\n".join(self.turns) if not self.text or (with_turns and self.goes_on) else self.text
        return f"{self.system}\n\n{said}".strip() if with_system and self.system else said


def _refuse_unsupported(body: Mapping[str, Any], settings: DifySettings) -> None:
    if body.get("n", 1) != 1:
        raise BadRequest("A Dify app gives one answer: 'n' must be 1.", param="n", code="unsupported_value")
    if body.get("logprobs"):
        raise _unsupported("logprobs")
    for name in ("tool_choice", "function_call"):
        choice = body.get(name)
        if choice is not None and choice not in ("none", "auto"):
            raise BadRequest(
                f"A Dify app calls its own tools: '{name}' can only be 'none' or 'auto'.",
                param=name,
                code="unsupported_value",
            )
    if settings.strict:
        for name in _IGNORED:
            if name in body and name not in settings.forward and not _means_nothing(name, body[name]):
                raise _unsupported(name)


def _unsupported(name: str) -> BadRequest:
    return BadRequest(
        f"Unsupported parameter: '{name}' is not supported by a Dify app.",
        param=name,
        code="unsupported_parameter",
    )


def _means_nothing(name: str, value: Any) -> bool:
    """Whether the value is what would happen anyway."""
    if name == "response_format":
        return bool(value.get("type") == "text")
    return value is False or value == [] or value == {} or (name == "modalities" and value == ["text"])


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if type(content) is str and "tool_calls" not in message:
        return content.strip()
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    words = [content or ""]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        words.append(f"[called {function.get('name', '')}({function.get('arguments', '')})]")
    return "\n".join(filter(None, words)).strip()


def _conversation(body: Mapping[str, Any], caller: Caller) -> str:
    metadata = body.get("metadata") or {}
    given = _id(body, "conversation_id") or _id(metadata, "conversation_id", "metadata.")
    return given or _id(caller.headers, "x-conversation-id")


def _id(members: Mapping[str, Any], name: str, at: str = "") -> str:
    value = members.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise BadRequest(
            f"Invalid '{at}{name}': expected an id of Dify.", param=f"{at}{name}", code="invalid_value"
        )
    return value


def _inputs(body: Mapping[str, Any]) -> dict[str, Any]:
    inputs, at = body.get("inputs"), "inputs"
    metadata = body.get("metadata") or {}
    if inputs is None and metadata.get("inputs"):
        inputs, at = metadata["inputs"], "metadata.inputs"
        try:
            inputs = wirejson.loads(inputs.encode()) if isinstance(inputs, str) else inputs
        except ValueError:
            raise BadRequest("'metadata.inputs' is not JSON.", param=at, code="invalid_value") from None
    if inputs is None:
        return {}
    if not isinstance(inputs, dict):
        raise BadRequest(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    return inputs


def _files(body: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    files = body.get("files")
    if files is None:
        return ()
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise BadRequest("'files' must be an array of objects.", param="files", code="invalid_type")
    if len(files) > MAX_FILES:
        raise BadRequest(
            f"A request may name at most {MAX_FILES} files.", param="files", code="too_many_files"
        )
    return tuple(files)


def user_of(body: Mapping[str, Any], settings: DifySettings, caller: Caller) -> str:
    """Never one name for all clients that have keys: conversations and files belong to it."""
    for name in _USERS:
        value = body.get(name)
        if isinstance(value, str) and (value := re.sub(r"[\x00-\x1f\x7f]+", " ", value).strip()):
            return value if len(value) <= _LONGEST_USER else f"user-{_digest(value)}"
    if settings.user:
        return settings.user
    return _named(caller.owner) if caller.owner else "gw-anonymous"


@lru_cache(_KNOWN_OWNERS)
def _named(owner: str) -> str:
    return f"gw-{_digest(owner)}"


def authorization(caller: Caller) -> Mapping[str, str]:
    """What a call needs beside what every call carries. Raises Unauthenticated."""
    if caller.key:
        return {"Authorization": f"Bearer {caller.key}"}
    if caller.passed_on:
        raise Unauthenticated("Send the API key of a Dify app as the bearer token.")
    return _NO_HEADERS


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
