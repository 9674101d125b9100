"""The conversations of a bot, as the routes for conversations tell them.

Coze lists conversations by page number and messages by cursor; a client pages both with the id of the last thing
it has. Content that is more than words is told as a list of the parts that a request could bring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from translators.errors import BadRequest, UpstreamMalformed
from translators.request import Prompt
from translators.upstreams.conversations import Page
from translators.upstreams.coze_answer import loosely
from translators.upstreams.coze_ask import Entered, entered, meta_data
from translators.upstreams.coze_errors import answered, code_of, data_of
from translators.upstreams.coze_ids import is_id, told_id
from translators.upstreams.coze_request import Account, hand_in
from translators.upstreams.coze_route import checked_conversation, named_bot
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Call, Caller, Plan

_PAGE = 50
_MAX_PAGES = 40


@frozen
class CozeConversations:
    settings: CozeSettings
    caller: Caller

    @property
    def _account(self) -> Account:
        return Account.of(self.settings, self.caller)

    def index(self, page: Page) -> Plan[dict[str, Any]]:
        account, wanted = self._account, page.limit + 1
        query = (
            f"bot_id={named_bot(self.settings, self.caller)}&sort_order={'ASC' if page.ascending else 'DESC'}"
        )
        found: list[dict[str, Any]] = []
        after = page.after
        for number in range(1, _MAX_PAGES + 1):
            path = f"v1/conversations?{query}&page_num={number}&page_size={_PAGE}"
            data = data_of((yield account.get(path)), account.passed)
            rows = [_conversation(row) for row in _rows(data.get("conversations"))]
            if after and after in (ids := [row["id"] for row in rows]):
                rows, after = rows[ids.index(after) + 1 :], ""
            found += [] if after else rows
            if len(found) >= wanted or data.get("has_more") is not True:
                break
        return _listed(found[: page.limit], len(found) > page.limit)

    def create(
        self, messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]
    ) -> Plan[dict[str, Any]]:
        account = self._account
        asked: dict[str, Any] = {"bot_id": named_bot(self.settings, self.caller)}
        told = _checked(messages) if messages else []
        files = yield from hand_in(told, account)
        asked |= {"messages": [message.document(files) for message in told]} if told else {}
        meta = meta_data(metadata)
        asked |= {"meta_data": meta} if meta else {}
        return _conversation(data_of((yield account.post("v1/conversation/create", asked)), account.passed))

    def show(self, id: str) -> Plan[dict[str, Any]]:
        account = self._account
        path = f"v1/conversation/retrieve?conversation_id={checked_conversation(id)}"
        return _conversation(data_of((yield account.get(path)), account.passed))

    def delete(self, id: str) -> Plan[dict[str, Any]]:
        account = self._account
        path = f"v1/conversations/{checked_conversation(id)}"
        answered((yield Call("DELETE", path, headers=account.headers)), account.passed)
        return {"id": id, "object": "conversation.deleted", "deleted": True}

    def clear(self, id: str) -> Plan[dict[str, Any]]:
        account = self._account
        path = f"v1/conversations/{checked_conversation(id)}/clear"
        data = data_of((yield account.post(path, {})), account.passed)
        section_id = told_id(data.get("id"))
        return {"id": id, "object": "conversation", "cleared": True, "section_id": section_id}

    def history(self, id: str, page: Page) -> Plan[dict[str, Any]]:
        account = self._account
        path = f"v1/conversation/message/list?conversation_id={checked_conversation(id)}"
        after = page.after
        if after and not is_id(after):
            raise BadRequest("'after' must be the id of a message.", param="after", code="invalid_value")
        found: list[dict[str, Any]] = []
        more = True
        while more and len(found) < page.limit:
            asked: dict[str, Any] = {"order": "asc" if page.ascending else "desc"}
            asked |= {"limit": min(_PAGE, page.limit - len(found))}
            asked |= {"after_id": after} if after else {}
            document = answered((yield account.post(path, asked)), account.passed)
            rows = _rows(document.get("data"))
            found += [_message(row) for row in rows]
            last = told_id(document.get("last_id")) or (found[-1]["id"] if rows else "")
            more = document.get("has_more") is True and bool(rows) and last != after
            after = last
        return _listed(found, more)

    def add(self, id: str, message: Mapping[str, Any]) -> Plan[dict[str, Any]]:
        account = self._account
        path = f"v1/conversation/message/create?conversation_id={checked_conversation(id)}"
        told = _checked([message])
        files = yield from hand_in(told, account)
        asked = told[0].document(files)
        del asked["type"]
        return _message(data_of((yield account.post(path, asked)), account.passed))


def _checked(messages: Sequence[Mapping[str, Any]]) -> list[Entered]:
    prompt = Prompt.from_chat({"model": "-", "messages": [*messages]})
    told = [message for message in entered(prompt.messages) if message.says]
    if len(told) < len(messages):
        raise BadRequest(
            "A conversation takes messages of users and assistants that say something.", param="messages"
        )
    return told


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _conversation(row: Mapping[str, Any]) -> dict[str, Any]:
    id = told_id(row.get("id"))
    if not id:
        raise UpstreamMalformed("The upstream told of a conversation and did not say its id.")
    meta, name = row.get("meta_data"), row.get("name")
    return {
        "id": id,
        "object": "conversation",
        "created_at": code_of(row.get("created_at")),
        "metadata": meta if isinstance(meta, dict) else {},
        "name": name if isinstance(name, str) else "",
    }


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    content, parts = row.get("content"), None
    if row.get("content_type") == "object_string" and isinstance(content, str):
        parts = loosely(content)
    kind = row.get("type")
    return {
        "id": told_id(row.get("id")),
        "role": "assistant" if row.get("role") == "assistant" else "user",
        "content": parts if isinstance(parts, list) else content if isinstance(content, str) else "",
        "created_at": code_of(row.get("created_at")),
        "type": kind if isinstance(kind, str) else "",
    }


def _listed(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "has_more": more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
