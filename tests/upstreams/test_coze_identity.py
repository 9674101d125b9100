"""Coze's OAuth app: which settings belong together, and what its assertions are about."""

from __future__ import annotations

import pytest

from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings

APP = {"oauth_app_id": "31", "oauth_key_id": "key", "oauth_private_key": "PEM"}


@pytest.mark.parametrize(
    ("base_url", "audience"),
    [
        ("https://api.coze.com", "api.coze.com"),
        ("https://api.coze.cn/", "api.coze.cn"),
        ("http://127.0.0.1:8080/coze", "127.0.0.1:8080"),
        ("https://user:word@api.coze.com/x", "api.coze.com"),
    ],
)
def test_an_assertion_names_the_host_and_nothing_else(base_url: str, audience: str) -> None:
    grant = Coze.credential(CozeSettings(**APP, oauth_session="ann"), base_url)
    assert grant is not None
    assert (grant.audience, grant.issuer, grant.key_id, grant.session) == (audience, "31", "key", "ann")
    assert (grant.token_path, grant.seconds) == ("api/permission/oauth2/token", 900)
    assert "PEM" not in repr(grant)


def test_a_plain_key_needs_no_signing() -> None:
    assert Coze.credential(CozeSettings(), "https://api.coze.com") is None
    assert Coze.credential(CozeSettings(**APP), "nowhere") is None


@pytest.mark.parametrize("left_out", APP)
def test_half_an_identity_is_none(left_out: str) -> None:
    with pytest.raises(ValueError, match="belong together"):
        CozeSettings(**{**APP, left_out: ""})


@pytest.mark.parametrize("seconds", [60, 86400, -1])
def test_a_token_lives_as_long_as_the_platform_allows(seconds: int) -> None:
    with pytest.raises(ValueError, match="oauth_duration must be"):
        CozeSettings(oauth_duration=seconds)
