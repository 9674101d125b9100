"""How a Coze account is used: which bot or workflow answers, and in which of the three models.

Everything here can be set for the whole upstream or for one alias. Ids are decimal numbers that JavaScript and
floats would round, so they are text; they are checked here once, and where a client sends its own.

``ws_url`` is accepted because the original proxy had it: nothing here speaks Coze's WebSocket protocol.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from attrs import Attribute, field, frozen

from translators.upstreams.coze_ids import is_id
from translators.upstreams.plan import JwtGrant

_LONGEST_TOKEN = 86399
_HOST = re.compile(r"https?://(?:[^/@]*@)?([^/?#]+)", re.ASCII)


def _id_or_nothing(_: Any, attribute: Attribute[str], value: str) -> None:
    if value and not is_id(value):
        raise ValueError(f"{attribute.name} must be 1 to 25 digits")


def _duration(_: Any, attribute: Attribute[int], value: int) -> None:
    if not 60 < value <= _LONGEST_TOKEN:
        raise ValueError(f"{attribute.name} must be from 61 to {_LONGEST_TOKEN} seconds")


def _id() -> Any:
    return field(default="", validator=_id_or_nothing)


@frozen
class CozeSettings:
    bot_id: str = _id()
    """Bot that answers where neither the model's name nor the request names one."""
    workflow_id: str = _id()
    """Workflow that runs where neither the model's name nor the request names one."""
    space_id: str = _id()
    """Space whose bots and workflows /v1/models lists; without it only configured models are listed."""
    app_id: str = _id()
    """App that a workflow belongs to, if it belongs to one."""
    model_type: Literal["chat", "conversation", "workflow"] = "chat"
    """What answers where the request has no x-model-type."""
    system: Literal["prefix", "variable", "drop"] = "prefix"
    """Where system messages go: before the user's last words, into the prompt variable system_prompt, nowhere."""
    separator: str = "\n\n"
    """What stands between two answers, or two nodes of a workflow, in the one message that a client gets."""
    polling: bool = False
    """Whether answers that do not stream are asked for until they are ready, instead of streamed to us."""
    precreate_conversation: bool = True
    """Whether a new conversation is created before its first question, so that it can be listed later."""
    chatflow: bool = False
    """Whether workflow ids name chatflows, which take messages and keep conversations."""
    workflow_input_key: str = "input"
    """Workflow parameter that gets the user's words."""
    pass_through: bool = False
    """Whether a client key that is Coze's own (pat_, czs_, czu_) is used instead of the gateway's."""
    ws_url: str = ""
    """Address of Coze's WebSocket API; accepted for old configurations and not used."""
    oauth_app_id: str = ""
    """OAuth app whose service identity asks for tokens, instead of api_key."""
    oauth_key_id: str = ""
    """Which of the app's public keys the private key belongs to."""
    oauth_private_key: str = field(default="", repr=False)
    """The app's private key, in PEM."""
    oauth_duration: int = field(default=900, validator=_duration)
    """How long a token of the service identity is good for, in seconds."""
    oauth_session: str = ""
    """Name under which Coze keeps histories apart from those of other sessions of the same app."""

    def __attrs_post_init__(self) -> None:
        given = [bool(value) for value in (self.oauth_app_id, self.oauth_key_id, self.oauth_private_key)]
        if any(given) and not all(given):
            raise ValueError("oauth_app_id, oauth_key_id and oauth_private_key belong together")


def service_identity(settings: CozeSettings, base_url: str) -> JwtGrant | None:
    """Tokens are asked for at the API's own host, and the assertion names that host and nothing else of it."""
    host = _HOST.match(base_url)
    if not settings.oauth_private_key or host is None:
        return None
    return JwtGrant(
        settings.oauth_key_id,
        settings.oauth_app_id,
        host.group(1),
        settings.oauth_private_key,
        "api/permission/oauth2/token",
        settings.oauth_duration,
        settings.oauth_session,
    )
