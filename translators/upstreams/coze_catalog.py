"""What an account is, and what a space has: its published bots and workflows, as models.

Both lists come in pages. Workflows are left out where the token may not list them or the platform has no such
list, as long as there are bots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from translators.errors import GatewayError
from translators.upstreams.coze_errors import code_of, data_of
from translators.upstreams.coze_ids import is_id, told_id
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Call, Listed, Plan

_BOTS, _WORKFLOWS = 20, 30
"""As many as one page may hold."""
_MAX_PAGES = 50


def account() -> Plan[str]:
    """Whose credential it is. A token for another region is refused, so this tells that, too."""
    me = data_of((yield Call("GET", "v1/users/me")), False)
    return f"account {told_id(me.get('user_id')) or 'without an id'}"


def listed_models(settings: CozeSettings) -> Plan[list[Listed]]:
    bots = yield from _bots(settings.space_id)
    try:
        workflows = yield from _workflows(settings)
    except GatewayError:
        if not bots:
            raise
        workflows = []
    return [*bots, *workflows]


def _bots(space_id: str) -> Plan[list[Listed]]:
    found: list[Listed] = []
    for number in range(1, _MAX_PAGES + 1):
        path = f"v1/bots?workspace_id={space_id}&publish_status=published_online&connector_id=1024"
        data = data_of((yield Call("GET", f"{path}&page_num={number}&page_size={_BOTS}")), False)
        items = list(_items(data))
        found += (
            Listed(f"bot/{item['id']}", code_of(item.get("published_at")))
            for item in items
            if is_id(item.get("id"))
        )
        if len(items) < _BOTS:
            break
    return found


def _workflows(settings: CozeSettings) -> Plan[list[Listed]]:
    """Workflows or chatflows, whichever the settings say that workflow ids are."""
    mode = "chatflow" if settings.chatflow else "workflow"
    found: list[Listed] = []
    for number in range(1, _MAX_PAGES + 1):
        path = f"v1/workflows?workspace_id={settings.space_id}&workflow_mode={mode}"
        path += "&publish_status=published_online"
        data = data_of((yield Call("GET", f"{path}&page_num={number}&page_size={_WORKFLOWS}")), False)
        found += (
            Listed(f"workflow/{item['workflow_id']}", code_of(item.get("updated_at")))
            for item in _items(data)
            if is_id(item.get("workflow_id"))
        )
        if data.get("has_more") is not True:
            break
    return found


def _items(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = data.get("items")
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())
