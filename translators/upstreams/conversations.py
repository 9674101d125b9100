"""Conversations that a platform keeps, as the routes under ``/v1/conversations`` need them.

Every method is a plan whose result is the JSON that the client gets, so that a platform says in its own files how
its objects read in the OpenAI dialect. Ids come from clients: they are validated before they go anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from translators.upstreams.plan import Plan


@frozen
class Page:
    """Which part of a list is wanted."""

    limit: int = 20
    after: str = ""
    """The id of the last one that the client has."""
    ascending: bool = False


class Conversations(Protocol):
    def index(self, page: Page) -> Plan[dict[str, Any]]:
        """A list object: ``{"object": "list", "data": […], "has_more", "first_id", "last_id"}``."""
        ...

    def create(
        self, messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]
    ) -> Plan[dict[str, Any]]:
        """A new conversation that begins with these chat messages."""
        ...

    def show(self, id: str) -> Plan[dict[str, Any]]: ...

    def delete(self, id: str) -> Plan[dict[str, Any]]: ...

    def clear(self, id: str) -> Plan[dict[str, Any]]:
        """Begin anew in the same conversation."""
        ...

    def history(self, id: str, page: Page) -> Plan[dict[str, Any]]:
        """A list object of messages: ``id``, ``role``, ``content``, ``created_at``, ``type``."""
        ...

    def add(self, id: str, message: Mapping[str, Any]) -> Plan[dict[str, Any]]:
        """One chat message more, without an answer to it."""
        ...
