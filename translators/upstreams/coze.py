"""Coze: bots that chat, conversations that Coze keeps, and workflows.

One request is one run: of a bot (``coze_chat``), of a workflow (``coze_workflow``) or of a workflow that chats;
``coze_route`` decides which, by headers, by the model's name and by the settings. The run knows what to ask and
has an answer that reads its stream. Nothing is decided before the first question about it, so that whatever is
wrong with a request is said when it is prepared, before anything is sent.

Coze says no in four places, mostly with a 200: ``coze_errors`` knows what the codes mean, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define

from translators.errors import GatewayError
from translators.events import Emit
from translators.framing.base import Framing
from translators.request import FORGOTTEN
from translators.template import Template
from translators.upstreams.base import Upstream
from translators.upstreams.coze_answer import ChatAnswer
from translators.upstreams.coze_ask import refuse_unsupported
from translators.upstreams.coze_catalog import account, listed_models
from translators.upstreams.coze_chat import ChatflowRun, ChatRun
from translators.upstreams.coze_conversations import CozeConversations
from translators.upstreams.coze_errors import refusal_error
from translators.upstreams.coze_framing import CozeFraming
from translators.upstreams.coze_request import Asked, Request, Run
from translators.upstreams.coze_route import HEARS, route
from translators.upstreams.coze_settings import CozeSettings, service_identity
from translators.upstreams.coze_workflow import WorkflowRun
from translators.upstreams.plan import Call, Caller, Credential, Listed, Plan, Script


@define(eq=False)
class Coze(Upstream):
    name: ClassVar[str] = "coze"
    default_name: ClassVar[str] = "coze"
    environment: ClassVar[Mapping[str, str]] = {
        "COZE_API_KEY": "api_key",
        "COZE_BASE_URL": "base_url",
        "COZE_BOT_ID": "bot_id",
        "COZE_WORKFLOW_ID": "workflow_id",
        "COZE_SPACE_ID": "space_id",
        "COZE_BASE_WS_URL": "ws_url",
        "COZE_WORKFLOW_INPUT_KEY": "workflow_input_key",
        "COZE_OAUTH_APP_ID": "oauth_app_id",
        "COZE_OAUTH_KEY_ID": "oauth_key_id",
        "COZE_OAUTH_PRIVATE_KEY": "oauth_private_key",
        "DEFAULT_MODEL_TYPE": "model_type",
    }
    defaults: ClassVar[Mapping[str, Any]] = {"base_url": "https://api.coze.com"}
    Settings: ClassVar[type[Any]] = CozeSettings
    hears: ClassVar[frozenset[str]] = HEARS

    _run: Run | None = None
    """Until the question has been taken."""
    _asked: Asked | None = None

    @classmethod
    def credential(cls, settings: CozeSettings, base_url: str) -> Credential | None:
        return service_identity(settings, base_url)

    @classmethod
    def check(cls, settings: CozeSettings) -> Plan[str]:
        return account()

    @classmethod
    def catalog(cls, settings: CozeSettings) -> Plan[list[Listed]] | None:
        return listed_models(settings) if settings.space_id else None

    @classmethod
    def conversations(cls, settings: CozeSettings, caller: Caller) -> CozeConversations:
        return CozeConversations(settings, caller)

    def prepare(self) -> Plan[None] | None:
        return self._begun().prepare()

    def call(self) -> Call | Script:
        return self._begun().call()

    def asked(self) -> None:
        """What was said may be megabytes, and the answer may take minutes."""
        if self._run is not None:
            self._asked, self._run = self._run.asked(), None
            self.prompt = FORGOTTEN[self.prompt.stream]

    def farewell(self) -> Call | None:
        asked = self._asked or self._run
        return asked.farewell() if asked is not None else None

    def settle(self) -> Plan[None] | None:
        asked = self._asked or self._run
        return asked.settle() if asked is not None else None

    def framing(self) -> Framing:
        return CozeFraming()

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        return refusal_error(status, body, retry_after, self._begun().answer.passed)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        answer = (self._asked or self._begun()).answer
        answer.read(name, payload, emit)
        self.done = answer.done

    @property
    def template(self) -> Template | None:
        """Workflows say too little to have one."""
        answer = (self._asked or self._begun()).answer
        return answer.template if isinstance(answer, ChatAnswer) else None

    def heard(self, texts: list[bytes]) -> None:
        answer = (self._asked or self._begun()).answer
        assert isinstance(answer, ChatAnswer)
        answer.heard(texts)

    def _begun(self) -> Run:
        if self._run is None:
            self._run = self._new()
            self.headers = self._run.answer.headers
        return self._run

    def _new(self) -> Run:
        body = self.prompt.body
        refuse_unsupported(body)
        chosen = route(self.model, self.settings, self.caller, body)
        request = Request(self.prompt, self.settings, self.envelope, self.caller, chosen)
        if chosen.model_type != "workflow":
            return ChatRun.of(request)
        return ChatflowRun.of(request) if self.settings.chatflow else WorkflowRun.of(request)
