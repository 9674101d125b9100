"""An OpenAI request as Coze wants to be asked.

Coze knows questions and answers only. System messages go before the user's last words (or where the settings
say), tool results that belong to no run of Coze's are told as words, and a message that only shows something gets
a plain message before it, because Coze refuses it otherwise. The newest messages are kept, as many as fit.

What the request asks for that a bot cannot do is refused by name; what is decided in the bot (temperature,
tools …) is ignored. Coze's own parameters may stand beside OpenAI's and are checked by table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from attrs import evolve

from translators import wirejson
from translators.errors import BadRequest
from translators.record import record
from translators.upstreams.coze_ids import is_id
from translators.upstreams.coze_parts import Element, shown_in, words_of
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Caller

MAX_MESSAGES = 100
MAX_FLOW_MESSAGES = 50

_ATTACHED = "(see attachment)"
_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
_OURS = {"conversation_id", "session_id"}
_text_of = attrgetter("text")


@record
class Entered:
    """One message for Coze."""

    role: str
    text: str
    shown: tuple[Element, ...] = ()

    @property
    def says(self) -> bool:
        return bool(self.text or self.shown)

    @property
    def is_words(self) -> bool:
        return self.role == "user" and not self.shown

    def document(self, files: Mapping[str, str]) -> dict[str, str]:
        kind = "question" if self.role == "user" else "answer"
        if not self.shown:
            return {"role": self.role, "type": kind, "content_type": "text", "content": self.text}
        objects = [{"type": "text", "text": self.text}] if self.text else []
        objects += [element.document(files) for element in self.shown]
        content = wirejson.dumps(objects).decode()
        return {"role": self.role, "type": kind, "content_type": "object_string", "content": content}


def entered(messages: Sequence[Mapping[str, Any]]) -> list[Entered]:
    """Every message but the system's and what was only a call, in order."""
    found: list[Entered] = []
    for number, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role == "user":
            if type(content) is str:
                found.append(Entered("user", content))
            else:
                shown = shown_in(content, f"messages[{number}].content") if type(content) is list else ()
                found.append(Entered("user", words_of(content), shown))
        elif role == "assistant":
            if text := words_of(content):
                found.append(Entered("assistant", text))
        elif role in ("tool", "function"):
            found.append(Entered("user", f"Tool result: {words_of(content)}"))
    return found


def history(messages: Sequence[Mapping[str, Any]], mode: str) -> list[Entered]:
    """The question and what came before it."""
    last = messages[-1]["role"]
    if last not in ("user", "tool", "function"):
        raise BadRequest(
            f"The last message must be the user's or a tool's, not of role {last}.",
            param="messages",
            code="invalid_last_message",
        )
    found = entered(messages)
    told = system_words(messages) if mode == "prefix" and len(found) < len(messages) else ""
    if told:
        found[-1] = evolve(found[-1], text="\n\n".join(filter(None, (told, found[-1].text))))
    if not found[-1].says:
        raise BadRequest("The last message is empty.", param="messages", code="invalid_last_message")
    return found if all(map(_text_of, found)) else [one for one in found if one.says]


def system_words(messages: Sequence[Mapping[str, Any]]) -> str:
    told = (words_of(one.get("content")) for one in messages if one["role"] in ("system", "developer"))
    return "\n\n".join(filter(None, told))


def since_answer(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What the platform does not know yet of a conversation that it keeps, with all that the system said."""
    last = max((n for n, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    return [
        message
        for n, message in enumerate(messages)
        if n > last or message["role"] in ("system", "developer")
    ]


def fitted(found: list[Entered], limit: int) -> list[Entered]:
    """The newest, with words beside everything that is only shown, and no answer without its question."""
    if len(found) <= limit and all(map(_text_of, found)):
        return found
    kept = list(found[-limit:])
    out: list[Entered] = []
    for number, one in enumerate(kept):
        if not one.text and not _has_words_beside(kept, number):
            out.append(Entered("user", _ATTACHED))
        out.append(one)
    cut = len(found) > limit or len(out) > limit
    out = out[-limit:]
    while cut and len(out) > 1 and (out[0].role != "user" or _is_orphan(out)):
        del out[0]
    return out


def _is_orphan(out: list[Entered]) -> bool:
    return not out[0].text and not _has_words_beside(out, 0)


def _has_words_beside(kept: Sequence[Entered], number: int) -> bool:
    return any(one.is_words for one in (*kept[max(0, number - 1) : number], *kept[number + 1 : number + 2]))


def user_id(body: Mapping[str, Any], caller: Caller) -> str:
    named = body.get("user") or body.get("safety_identifier")
    if isinstance(named, str):
        return named
    return f"gateway-{caller.owner}" if caller.owner else "gateway"


def meta_data(metadata: Mapping[str, Any]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for key, value in metadata.items():
        text = value if isinstance(value, str) else wirejson.dumps(value).decode()
        if len(key) > _LONGEST_KEY:
            raise BadRequest(
                f"A key of metadata may have at most {_LONGEST_KEY} characters.",
                param="metadata",
                code="string_above_max_length",
            )
        if key and text and key not in _OURS:
            pairs[key] = text[:_LONGEST_VALUE]
    if len(pairs) > _PAIRS:
        raise BadRequest(
            f"There may be at most {_PAIRS} pairs of metadata.",
            param="metadata",
            code="object_above_max_properties",
        )
    return pairs


def extras(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Coze's own parameters among these names, checked."""
    if body.keys().isdisjoint(_EXTRAS):
        return {}
    found: dict[str, Any] = {}
    for name in names:
        value: Any = body.get(name)
        if value is None:
            continue
        kind, noun = _EXTRAS[name]
        if not isinstance(value, kind):
            raise BadRequest(f"'{name}' must be {noun}.", param=name, code="invalid_type")
        if name in _OF_TEXT and not _holds_texts(value):
            raise BadRequest(f"'{name}' must hold texts only.", param=name, code="invalid_type")
        found[name] = value
    return found


def _holds_texts(value: Any) -> bool:
    return all(isinstance(one, str) for one in value.values())


_EXTRAS: dict[str, tuple[type, str]] = {
    "custom_variables": (dict, "an object"),
    "parameters": (dict, "an object"),
    "extra_params": (dict, "an object"),
    "shortcut_command": (dict, "an object"),
    "workflow_parameters": (dict, "an object"),
    "enable_card": (bool, "a boolean"),
    "auto_save_history": (bool, "a boolean"),
    "is_async": (bool, "a boolean"),
    "bot_version": (str, "a string"),
    "publish_status": (str, "a string"),
    "app_id": (str, "a string"),
}
_OF_TEXT = {"custom_variables", "extra_params"}
_CHAT_EXTRAS = (
    "custom_variables",
    "parameters",
    "extra_params",
    "shortcut_command",
    "enable_card",
    "auto_save_history",
    "bot_version",
    "publish_status",
)


def chat_body(body: Mapping[str, Any], settings: CozeSettings, bot_id: str, user: str) -> dict[str, Any]:
    """What /v3/chat is sent beside the messages; the conversation's id goes elsewhere."""
    own = extras(body, *_CHAT_EXTRAS)
    told = system_words(body["messages"]) if settings.system == "variable" else ""
    if told:
        own["custom_variables"] = {**own.get("custom_variables", {}), "system_prompt": told}
    if "metadata" in body and (meta := meta_data(body["metadata"])):
        own["meta_data"] = meta
    return {"bot_id": bot_id, "user_id": user, "auto_save_history": True, **own}


def workflow_parameters(body: Mapping[str, Any], settings: CozeSettings, words: str) -> dict[str, Any]:
    own = extras(body, "parameters", "workflow_parameters")
    parameters = {**own.get("parameters", {}), **own.get("workflow_parameters", {})}
    return {**parameters, settings.workflow_input_key: words} if words else parameters


def owner_of_workflow(body: Mapping[str, Any], settings: CozeSettings, bot_id: str) -> dict[str, str]:
    """Coze takes an app or a bot and refuses both."""
    app_id = extras(body, "app_id").get("app_id") or settings.app_id
    if app_id:
        if not is_id(app_id):
            raise BadRequest("An app id is 1 to 25 digits.", param="app_id", code="invalid_app_id")
        return {"app_id": app_id}
    return {"bot_id": bot_id} if bot_id else {}


def ext(body: Mapping[str, Any], user: str) -> dict[str, str]:
    return {**extras(body, "extra_params").get("extra_params", {}), "user_id": user}


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    if body.keys().isdisjoint(_UNSUPPORTED):
        return
    for name, asks_for in _UNSUPPORTED.items():
        if name in body and asks_for(body[name]):
            raise BadRequest(
                f"'{name}' is not supported by this model.", param=name, code="unsupported_parameter"
            )


_UNSUPPORTED: dict[str, Callable[[Any], bool]] = {
    "n": lambda value: value > 1,
    "logprobs": bool,
    "top_logprobs": bool,
    "tool_choice": lambda value: value == "required" or isinstance(value, dict),
    "function_call": lambda value: isinstance(value, dict),
}
