"""One request to Coze and what all its calls share: whose credential, which user, which files.

A run of any kind is prepared, asked, read, and left or settled; which kind it is, the route says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, field

from translators import wirejson
from translators.errors import UpstreamMalformed
from translators.events import Emit
from translators.ids import Envelope
from translators.record import record
from translators.request import FORGOTTEN, Prompt
from translators.upstreams.coze_ask import Entered, user_id
from translators.upstreams.coze_errors import data_of
from translators.upstreams.coze_ids import told_id
from translators.upstreams.coze_parts import uploads_of
from translators.upstreams.coze_route import Route
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Call, Caller, Plan, Recall, Remember, Script

_OWN_KEY = re.compile(r"(?:pat|czs|czu)_[\x21-\x7e]{1,4096}")
_UPLOAD_SECONDS = 86400.0


class Answer(Protocol):
    """Reads what a run says."""

    done: bool
    over: bool
    passed: bool
    headers: dict[str, str]

    def read(self, name: bytes, payload: bytes, emit: Emit) -> None: ...


class Asked(Protocol):
    """A run whose question has been taken."""

    @property
    def answer(self) -> Answer: ...

    def farewell(self) -> Call | None: ...

    def settle(self) -> Plan[None] | None: ...


class Run(Asked, Protocol):
    def prepare(self) -> Plan[None] | None: ...

    def call(self) -> Call | Script: ...

    def asked(self) -> Asked:
        """What has to be kept of it until the answer is over."""
        ...


@record
class Account:
    """On whose behalf Coze is called."""

    headers: Mapping[str, str]
    """The client's own credential, where it is passed on; empty for the gateway's."""

    @classmethod
    def of(cls, settings: CozeSettings, caller: Caller) -> Account:
        if settings.pass_through and _OWN_KEY.fullmatch(caller.key):
            return cls({"Authorization": f"Bearer {caller.key}"})
        return _GATEWAYS

    @property
    def passed(self) -> bool:
        return bool(self.headers)

    def get(self, path: str) -> Call:
        return Call("GET", path, headers=self.headers)

    def post(self, path: str, document: Mapping[str, Any]) -> Call:
        return Call("POST", path, wirejson.dumps(document), self.headers)


_GATEWAYS = Account({})


@record
class Request:
    prompt: Prompt
    settings: CozeSettings
    envelope: Envelope
    caller: Caller
    route: Route
    account: Account = field()

    @account.default
    def _account(self) -> Account:
        return Account.of(self.settings, self.caller)

    @property
    def body(self) -> Mapping[str, Any]:
        return self.prompt.body

    def forgotten(self) -> Request:
        """The same without what was said."""
        return evolve(self, prompt=FORGOTTEN[self.prompt.stream])

    @property
    def user(self) -> str:
        return user_id(self.body, self.caller)


def hand_in(messages: Sequence[Entered], account: Account) -> Plan[dict[str, str]]:
    """The ids of all files that the messages bring, by digest. One that was handed in lately is not again."""
    files: dict[str, str] = {}
    for digest, upload in uploads_of([one for message in messages for one in message.shown]).items():
        key = f"upload:{digest}"
        known = told_id((yield Recall(key)))
        if not known:
            known = told_id(data_of((yield upload.call(account.headers)), account.passed).get("id"))
            if not known:
                raise UpstreamMalformed("The upstream took a file and did not say its id.")
            yield Remember(key, known, _UPLOAD_SECONDS)
        files[digest] = known
    return files


def brings_files(messages: Sequence[Entered]) -> bool:
    for message in messages:
        for one in message.shown:
            if one.upload is not None:
                return True
    return False
