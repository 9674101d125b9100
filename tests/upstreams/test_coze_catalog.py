"""The models that a Coze space has, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.coze_setup import (
    Errands,
    bad,
    good,
)
from translators.errors import (
    Forbidden,
    UpstreamError,
)
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Listed, Reply


def listed(replies: list[Any], **settings: Any) -> tuple[list[Listed], Errands]:
    plan = Coze.catalog(CozeSettings(space_id="9", **settings))
    assert plan is not None
    errands = Errands(replies)
    return errands.carry_out(plan), errands


def bots(first: int, last: int) -> Reply:
    items: list[Any] = [{"id": str(n), "published_at": n} for n in range(first, last)]
    return good({"items": items, "total": 45})


def test_all_pages_of_bots_and_workflows_are_models() -> None:
    flows = [
        good(
            {"items": [{"workflow_id": "8", "updated_at": "5"}, {"workflow_id": "x"}, "x"], "has_more": True}
        ),
        good({"items": [{"workflow_id": "9"}], "has_more": False}),
    ]
    models, errands = listed([bots(0, 20), bots(20, 40), bots(40, 45), *flows])
    assert models[:2] == [Listed("bot/0", 0), Listed("bot/1", 1)]
    assert models[44:] == [Listed("bot/44", 44), Listed("workflow/8", 5), Listed("workflow/9", 0)]
    path = "v1/bots?workspace_id=9&publish_status=published_online&connector_id=1024"
    assert [call.path for call in errands.calls[:3]] == [
        f"{path}&page_num={n}&page_size=20" for n in (1, 2, 3)
    ]
    path = "v1/workflows?workspace_id=9&workflow_mode=workflow&publish_status=published_online"
    assert [call.path for call in errands.calls[3:]] == [f"{path}&page_num={n}&page_size=30" for n in (1, 2)]


def test_bots_are_listed_where_workflows_cannot_be() -> None:
    models, errands = listed([bots(0, 1), bad(4101)], chatflow=True)
    assert models == [Listed("bot/0", 0)]
    assert "workflow_mode=chatflow" in errands.calls[1].path
    with pytest.raises(Forbidden):
        listed([good({"items": []}), bad(4101)])
    with pytest.raises(UpstreamError):
        listed([bad(700012006)])


def test_lists_do_not_go_on_for_ever() -> None:
    flows = good({"items": [], "has_more": True})
    models, errands = listed([*[bots(0, 20)] * 50, *[flows] * 50, good({"items": "x"})])
    assert (len(models), len(errands.calls)) == (1000, 100)


def test_without_a_space_only_the_configuration_knows_models() -> None:
    assert Coze.catalog(CozeSettings()) is None
