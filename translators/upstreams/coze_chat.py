"""A run of a bot, in the chat and the conversation model, and of a chatflow, which is a workflow that chats.

The chat model sends all messages and gets a conversation of its own. A conversation that the platform keeps gets
only what it does not know yet; a new one is created first, so that it can be listed later. A request that ends
with tool results goes on with the run that asked for them. Most requests are one call and need no preparation.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from translators import wirejson
from translators.errors import BadRequest, UpstreamMalformed
from translators.upstreams.coze_answer import ChatAnswer
from translators.upstreams.coze_ask import (
    MAX_FLOW_MESSAGES,
    MAX_MESSAGES,
    Entered,
    chat_body,
    ext,
    fitted,
    history,
    meta_data,
    owner_of_workflow,
    since_answer,
    workflow_parameters,
)
from translators.upstreams.coze_errors import data_of
from translators.upstreams.coze_ids import told_id
from translators.upstreams.coze_polling import polled_chat
from translators.upstreams.coze_request import Account, Request, brings_files, hand_in
from translators.upstreams.coze_tools import ToolOutputs, tool_outputs
from translators.upstreams.plan import Call, Plan, Script


@define(eq=False)
class ChatRun:
    request: Request
    answer: ChatAnswer
    outputs: ToolOutputs | None
    messages: list[Entered]
    document: dict[str, Any]

    _files: dict[str, str] = field(factory=dict)
    _script: Script | None = None

    @classmethod
    def of(cls, request: Request) -> ChatRun:
        told, route, settings = request.prompt.messages, request.route, request.settings
        passed = request.account.passed
        outputs = tool_outputs(told) if told[-1]["role"] == "tool" else None
        if outputs is not None:
            ids = outputs.conversation_id, outputs.chat_id
            return cls(request, ChatAnswer(settings.separator, passed, *ids), outputs, [], {})
        messages = fitted(
            history(since_answer(told) if route.conversation_id else told, settings.system), MAX_MESSAGES
        )
        document = chat_body(request.body, settings, route.bot_id, request.user)
        answer = ChatAnswer(settings.separator, passed, route.conversation_id)
        return cls(request, answer, None, messages, document)

    def prepare(self) -> Plan[None] | None:
        files = brings_files(self.messages)
        creates = (
            self.request.route.model_type == "conversation"
            and self.request.settings.precreate_conversation
            and not self.answer.conversation_id
        )
        polls = self.request.settings.polling and not self.request.prompt.stream
        return self._steps(creates, polls) if files or creates or polls else None

    def _steps(self, creates: bool, polls: bool) -> Plan[None]:
        account = self.request.account
        self._files = yield from hand_in(self.messages, account)
        if creates:
            meta = meta_data(self.request.body.get("metadata", {}))
            asked = {"bot_id": self.request.route.bot_id, **({"meta_data": meta} if meta else {})}
            created = data_of((yield account.post("v1/conversation/create", asked)), account.passed)
            conversation_id = told_id(created.get("id"))
            if not conversation_id:
                raise UpstreamMalformed("The upstream created a conversation and did not say its id.")
            self.answer.belongs_to(conversation_id, "")
        if polls:
            self._script = yield from polled_chat(
                self._question(stream=False), account, self.answer.belongs_to
            )

    def call(self) -> Call | Script:
        return self._script or self._question(stream=True)

    def _question(self, stream: bool) -> Call:
        account = self.request.account
        if self.outputs is not None:
            return account.post(self.outputs.path, self.outputs.document(stream))
        messages = [message.document(self._files) for message in self.messages]
        document = {**self.document, "stream": stream, "additional_messages": messages}
        if not stream:
            document["auto_save_history"] = True  # an answer that is not kept cannot be fetched
        conversation_id = self.answer.conversation_id
        return account.post(
            f"v3/chat?conversation_id={conversation_id}" if conversation_id else "v3/chat", document
        )

    def asked(self) -> AskedChat:
        return AskedChat(self.answer, self.request.account)

    def farewell(self) -> Call | None:
        return self.asked().farewell()

    def settle(self) -> Plan[None] | None:
        return None


@define(eq=False)
class AskedChat:
    answer: ChatAnswer
    account: Account

    def farewell(self) -> Call | None:
        """Unless it is told, the run goes on and keeps its conversation busy."""
        answer = self.answer
        if answer.over or not answer.conversation_id or not answer.chat_id:
            return None
        ids = {"conversation_id": answer.conversation_id, "chat_id": answer.chat_id}
        return self.account.post("v3/chat/cancel", ids)

    def settle(self) -> Plan[None] | None:
        return None


@define(eq=False)
class ChatflowRun:
    request: Request
    answer: ChatAnswer
    document: dict[str, Any]

    @classmethod
    def of(cls, request: Request) -> ChatflowRun:
        told, route, body = request.prompt.messages, request.route, request.body
        messages = history(since_answer(told) if route.conversation_id else told, request.settings.system)
        if any(message.shown for message in messages):
            raise BadRequest(
                "A workflow takes files through workflow_parameters only.",
                param="messages",
                code="unsupported_content",
            )
        owner = owner_of_workflow(body, request.settings, route.bot_id)
        if not owner:
            raise BadRequest("Bot ID or app ID is required for a chatflow", code="missing_bot_id")
        document = {
            "workflow_id": route.workflow_id,
            **owner,
            "additional_messages": [message.document({}) for message in fitted(messages, MAX_FLOW_MESSAGES)],
            "parameters": workflow_parameters(body, request.settings, ""),
            "ext": ext(body, request.user),
        }
        if route.conversation_id:
            document["conversation_id"] = route.conversation_id
        passed = request.account.passed
        return cls(request, ChatAnswer(request.settings.separator, passed, route.conversation_id), document)

    def prepare(self) -> Plan[None] | None:
        return None

    def call(self) -> Call:
        return Call("POST", "v1/workflows/chat", wirejson.dumps(self.document), self.request.account.headers)

    def asked(self) -> ChatflowRun:
        self.request, self.document = self.request.forgotten(), {}
        return self

    def farewell(self) -> Call | None:
        """Workflows cannot be cancelled."""
        return None

    def settle(self) -> Plan[None] | None:
        return None
