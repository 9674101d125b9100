"""What a platform is told of who asks: what its kind hears, a digest of the key, the key itself where it may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from multidict import CIMultiDict

from proxy.callers import Ears, has_key, key_of, owner_of
from proxy.config import Secret, Upstream
from translators.errors import BadRequest, Unauthenticated
from translators.upstreams.builtin import Builtin, BuiltinSettings
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import Caller

KEY = "sk-planted-0123456789"


def headers(**values: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


def bearer(key: str) -> CIMultiDict[str]:
    return headers(Authorization=f"Bearer {key}")


KEYS = [
    ({}, ""),
    ({"Authorization": f"Bearer {KEY}"}, KEY),
    ({"authorization": f"bearer   {KEY} "}, KEY),
    ({"Authorization": f"Basic {KEY}"}, ""),
    ({"Authorization": KEY}, ""),
    ({"Authorization": "Bearer"}, ""),
    ({"Authorization": "Bearer "}, ""),
]


@pytest.mark.parametrize(("given", "key"), KEYS)
def test_the_key_is_the_bearer_token(given, key):
    assert key_of(CIMultiDict(given)) == key


def test_an_owner_is_the_same_for_the_same_key_and_tells_nothing_of_it():
    owner = owner_of(bearer(KEY))
    assert owner == owner_of(headers(authorization=f"bearer {KEY}"))
    assert owner != owner_of(bearer(KEY + "x"))
    assert len(owner) == 32 and owner.isalnum() and KEY[:6] not in owner
    assert owner_of(bearer("caf\udce9")) != owner_of(bearer("caf"))


def test_without_a_key_there_is_no_owner():
    assert owner_of(headers()) == owner_of(headers(Authorization="Basic eA==")) == ""


@pytest.mark.parametrize(("kind", "settings"), [(OpenAI, OpenAISettings()), (Builtin, BuiltinSettings())])
def test_kinds_to_which_all_callers_are_alike_have_no_ears(kind, settings):
    assert Ears.of(kind, settings, has_key=False) is None


class Hearing(OpenAI):
    hears = frozenset({"x-mood"})


class Preparing(OpenAI):
    def prepare(self): ...


class Settling(OpenAI):
    def settle(self): ...


PASSING = [
    (None, False, True),
    (None, True, False),
    (True, False, True),
    (True, True, True),
    (False, False, False),
    (False, True, False),
]


class PassingOn:
    pass_through = True


@pytest.mark.parametrize(
    ("kind", "settings", "ears"),
    [
        (Hearing, OpenAISettings(), Ears(frozenset({"x-mood"}), False)),
        (Preparing, OpenAISettings(), Ears(frozenset(), False)),
        (Settling, OpenAISettings(), Ears(frozenset(), False)),
        (OpenAI, PassingOn(), Ears(frozenset(), True)),
    ],
)
def test_who_hears_plans_or_passes_on_has_ears(kind, settings, ears):
    assert Ears.of(kind, settings, has_key=True) == ears


@pytest.mark.parametrize(("chosen", "has_key", "passes_on"), PASSING)
def test_a_key_is_passed_on_where_that_was_chosen_or_left_open_and_there_is_no_other(
    chosen, has_key, passes_on
):
    settings = SimpleNamespace(pass_through=chosen)
    assert Ears.of(Hearing, settings, has_key) == Ears(frozenset({"x-mood"}), passes_on)


EARS = Ears(frozenset({"x-mood", "x-bot-id"}), passes_on=False)


def test_only_what_is_heard_is_handed_on():
    given = headers(X_Mood=" calm ", X_Bot_Id="", X_Other="1", Cookie="c", Authorization=f"Bearer {KEY}")
    assert EARS.caller(given) == Caller(owner_of(bearer(KEY)), {"x-mood": "calm"}, "")
    assert EARS.caller(headers()) == Caller("", {}, "")


@pytest.mark.parametrize("value", ["caf\udce9", "é", "a\x01b", "a\tb", "\x7f", "x" * 1025])
def test_what_could_not_stand_in_a_header_is_refused(value):
    with pytest.raises(BadRequest, match="header x-mood must be"):
        EARS.caller(headers(x_mood=value))


def test_the_key_is_handed_on_only_where_it_is_passed_on():
    assert EARS.caller(bearer(KEY)).key == ""
    assert Ears(frozenset(), True).caller(bearer(KEY)).key == KEY
    assert Ears(frozenset(), True).caller(headers()).key == ""


@pytest.mark.parametrize("key", ["caf\udce9", "a b", "a\x01", "k" * 4097])
def test_a_key_that_no_platform_has_is_not_passed_on(key):
    with pytest.raises(Unauthenticated):
        Ears(frozenset(), True).caller(bearer(key))
    assert EARS.caller(bearer(key)).owner


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ({}, False),
        ({"headers": {"X-Team": "blue"}}, False),
        ({"headers": {"authorization": "Bearer app-x"}}, True),
        ({"api_key": Secret("app-x")}, True),
    ],
)
def test_a_key_may_be_configured_in_two_places(settings, has):
    assert has_key(Upstream("a", "dify", **settings)) is has
