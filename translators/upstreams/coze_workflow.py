"""A run of a workflow: the user's last words in, and the session that it belongs to.

A workflow that waits for the user is resumed by the next request of the same session, with that request's words.
Coze keeps no sessions, so what has to be known is remembered here: what the run waits for, and what a list of
sessions shows. A client that names no session gets one of its own, told in the header that continues it.
"""

from __future__ import annotations

from typing import Any

from attrs import define

from translators.errors import BadRequest
from translators.upstreams.coze_ask import (
    ext,
    extras,
    history,
    owner_of_workflow,
    workflow_parameters,
)
from translators.upstreams.coze_nodes import WorkflowAnswer
from translators.upstreams.coze_polling import async_run
from translators.upstreams.coze_request import Request
from translators.upstreams.plan import SESSION, Call, Plan, Recall, Remember, Script

_SECONDS = 86400.0


@define(eq=False)
class WorkflowRun:
    request: Request
    answer: WorkflowAnswer
    words: str
    document: dict[str, Any]
    is_async: bool

    _created_at: int
    _resumed: dict[str, Any] | None = None
    _script: Script | None = None

    @classmethod
    def of(cls, request: Request) -> WorkflowRun:
        route, body, settings = request.route, request.body, request.settings
        last = history(request.prompt.messages, "drop")[-1]
        if last.shown:
            raise BadRequest(
                "A workflow takes files through workflow_parameters only.",
                param="messages",
                code="unsupported_content",
            )
        document = {
            "workflow_id": route.workflow_id,
            "parameters": workflow_parameters(body, settings, last.text),
            **owner_of_workflow(body, settings, route.bot_id),
            "ext": ext(body, request.user),
        }
        session = route.session or f"session-{request.envelope.id.rpartition('-')[2]}"
        answer = WorkflowAnswer(settings.separator, request.account.passed, session)
        is_async = extras(body, "is_async").get("is_async", False)
        return cls(request, answer, last.text, document, is_async, request.envelope.created)

    @property
    def _key(self) -> str:
        return SESSION + self.answer.session

    def prepare(self) -> Plan[None]:
        if self.request.route.session:
            self._recall((yield Recall(self._key)))
        yield self._remembered("running")
        if self.is_async and self._resumed is None:
            run = self.request.account.post("v1/workflow/run", {**self.document, "is_async": True})
            self._script = yield from async_run(
                run, self.request.route.workflow_id, self.request.account, self._began
            )

    def _recall(self, known: Any) -> None:
        if not isinstance(known, dict):
            return
        created_at, pending = known.get("created_at"), known.get("interrupt")
        self._created_at = created_at if type(created_at) is int else self._created_at
        if isinstance(pending, dict) and known.get("workflow_id") == self.request.route.workflow_id:
            self._resumed = pending

    def _began(self, execute_id: str) -> None:
        self.answer.execute_id = execute_id

    def _remembered(self, status: str) -> Remember:
        answer = self.answer
        session = {
            "id": answer.session,
            "workflow_id": self.request.route.workflow_id,
            "execute_id": answer.execute_id,
            "status": status,
            "created_at": self._created_at,
            "last_active": self.request.envelope.created,
            "interrupt": answer.interrupt,
            "debug_url": answer.debug_url,
        }
        return Remember(self._key, session, _SECONDS)

    def call(self) -> Call | Script:
        account = self.request.account
        if self._script is not None:
            return self._script
        if self._resumed is None:
            return account.post("v1/workflow/stream_run", self.document)
        resume = {
            "workflow_id": self.request.route.workflow_id,
            "event_id": self._resumed["event_id"],
            "interrupt_type": self._resumed["type"],
            "resume_data": self.words,
        }
        return account.post("v1/workflow/stream_resume", resume)

    def asked(self) -> WorkflowRun:
        self.request, self.document, self.words = self.request.forgotten(), {}, ""
        return self

    def farewell(self) -> Call | None:
        """Workflows cannot be cancelled."""
        return None

    def settle(self) -> Plan[None]:
        ended = "failed" if self.answer.failed else "completed"
        yield self._remembered("interrupted" if self.answer.interrupt is not None else ended)
