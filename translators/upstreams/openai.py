"""Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, OpenAI itself.

The request is forwarded with only what must change: the model's name, and usage is always asked for. What
comes back is retold in the vocabulary, and whatever the vocabulary cannot say (several choices, logprobs,
members not invented yet) travels as ``Verbatim`` beside its meaning.

The answer is complete when the upstream has given every choice a finish reason and then ``[DONE]`` or a clean
end of body. ``[DONE]`` alone also counts, once a choice has begun: it is the dialect's own word for complete,
and some servers never send a reason. An end without either is a failure, and so is a reset after either.
One JSON document is read as a stream of one chunk, its ``message`` as the ``delta``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attrs import define, field, frozen

from translators import wirejson
from translators.embeddings import Embed, Embedded, InProcess
from translators.errors import GatewayError
from translators.events import Emit, Opened, Text, Usage, Verbatim
from translators.request import FORGOTTEN
from translators.template import Template
from translators.upstreams.base import Upstream
from translators.upstreams.openai_choice import Choice
from translators.upstreams.openai_embeddings import embeddings
from translators.upstreams.openai_errors import in_band_error, refusal_error
from translators.upstreams.plan import Call, Caller, Plan, Script

MAX_CHOICES = 128
_LONGEST_CONSTANT = 256  # it is repeated in every frame, so it may not be a book

_WRITTEN = {"id", "object", "created", "model", "choices", "usage", "obfuscation"}
"""Members of a chunk that the surface writes itself, or that mean nothing after a retelling."""
_CONSTANT = ("system_fingerprint", "service_tier", "provider")


@frozen
class OpenAISettings:
    reasoning: Literal["split", "keep", "drop"] = "split"
    """``split``: thoughts inside think tags become reasoning_content; ``keep``: tags stay where they are;
    ``drop``: no reasoning reaches the client, whichever way it came."""


@define(eq=False)
class OpenAI(Upstream):
    name: ClassVar[str] = "openai"
    default_name: ClassVar[str] = "llama"
    environment: ClassVar[dict[str, str]] = {
        "LLAMA_BASE_URL": "base_url",
        "LLAMA_API_KEY": "api_key",
        "LLAMA_MODELS": "models",
    }
    defaults: ClassVar[dict[str, Any]] = {"base_url": "http://localhost:11434/v1", "models": ("llama3",)}
    fallback: ClassVar[bool] = True
    Settings: ClassVar[type[Any]] = OpenAISettings

    _opened: bool = False
    _constants: dict[str, Any] = field(factory=dict)
    _choices: dict[int, Choice] = field(factory=dict)
    _loose: dict[str, Any] = field(factory=dict)
    """Members of a chunk without choices, waiting for a chunk that has some."""
    _template: Template | None = None
    """What the last chunk was like, if it was nothing but words."""

    @classmethod
    def embeddings(
        cls, settings: Any, caller: Caller, model: str, embed: Embed
    ) -> Plan[Embedded] | Embedded | InProcess:
        return embeddings(model, embed)

    def call(self) -> Call | Script:
        body = dict(self.prompt.body)
        body["model"] = self.model
        if self.prompt.stream:
            body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
        return Call("POST", "chat/completions", wirejson.dumps(body))

    def asked(self) -> None:
        self.prompt = FORGOTTEN[True]  # it may be megabytes, and the answer may take minutes

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        return refusal_error(status, body, retry_after)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        text = None if self._template is None else self._template.match(payload)
        if text:
            emit(Text(text))
        elif payload.startswith(b"{"):
            self._chunk(payload, emit)
        elif payload.strip() == b"[DONE]":
            if self._choices:
                self._complete(emit)
            else:
                Upstream.eof(self, emit)
        elif payload:  # an event without data is how some servers show that they are there
            self._chunk(payload, emit)

    @property
    def template(self) -> Template | None:
        return self._template

    def eof(self, emit: Emit) -> None:
        if self._choices and all(choice.finish for choice in self._choices.values()):
            self._complete(emit)
        else:
            Upstream.eof(self, emit)

    def _chunk(self, payload: bytes, emit: Emit) -> None:
        self._template = None  # what this chunk says may leave something waiting for the next
        chunk = wirejson.loads(payload)
        if chunk.get("error") or chunk.get("object") == "error":
            self.fail(in_band_error(chunk), emit)
            return
        choices, usage = chunk.get("choices") or (), chunk.get("usage")
        if choices and not self._opened:
            self._open(chunk, emit)
        if usage:
            emit(_usage(usage))
        extras = {} if chunk.keys() <= _WRITTEN else self._extras(chunk)
        if not choices:
            self._loose = self._loose or extras
            return
        if self._loose:
            extras, self._loose = {**self._loose, **extras}, {}
        words = ""
        for raw in choices:
            index = raw.get("index") or 0
            choice = self._choices.get(index) or self._begin(index)
            words = choice.read(raw, extras, emit)
            extras = {}
        if words and len(choices) == 1 and not usage:
            self._template = Template(b'"content"')
            self._template.learn(payload, words)

    def _extras(self, chunk: dict[str, Any]) -> dict[str, Any]:
        for name, value in self._constants.items():
            if chunk.get(name) == value:
                del chunk[name]
        if chunk.keys() <= _WRITTEN:
            return {}
        return {name: value for name, value in chunk.items() if name not in _WRITTEN and value is not None}

    def _open(self, chunk: dict[str, Any], emit: Emit) -> None:
        self._opened = True
        for name in _CONSTANT:
            value = chunk.get(name)
            if isinstance(value, str) and len(value) <= _LONGEST_CONSTANT:
                self._constants[name] = value
        emit(Opened(message=str(chunk.get("id") or ""), constants=self._constants))

    def _begin(self, index: int) -> Choice:
        if type(index) is not int or len(self._choices) >= MAX_CHOICES:
            raise ValueError(f"choice {index!r:.40} is not one of {MAX_CHOICES}")
        mode = self.settings.reasoning
        choice = self._choices[index] = Choice(index, self.envelope, mode != "keep", mode != "drop")
        return choice

    def _complete(self, emit: Emit) -> None:
        """The upstream said so. Choices that got no reason of their own end now."""
        if self._loose:
            emit(Verbatim(min(self._choices), {}, {}, self._loose, None, ()))
        for choice in self._choices.values():
            if choice.finish is None:
                choice.read({"finish_reason": "stop"}, {}, emit)
        first = self._choices[min(self._choices)]
        self.finish(first.finish or "stop", emit)


def _usage(native: dict[str, Any]) -> Usage:
    prompt = native.get("prompt_tokens_details") or {}
    completion = native.get("completion_tokens_details") or {}
    return Usage(
        native.get("prompt_tokens") or 0,
        native.get("completion_tokens") or 0,
        prompt.get("cached_tokens"),
        completion.get("reasoning_tokens"),
        native,
    )
