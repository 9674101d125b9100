"""The gateway's own model: a deterministic generator, for demos, tests and clients under development.

It needs no server, so its call is a script: the bytes that an OpenAI-shaped server would send for this
request, at a readable pace. They are read back like anybody else's. It has vectors, too: those that follow from a
text for whatever model is named, and those of a real small model where that is installed, by its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from translators import generator, vectors, wirejson
from translators.embeddings import Embed, Embedded, InProcess, rendered
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import Caller, Script

REAL = "wordllama"
"""The model whose vectors mean something; it comes with the extra ``embeddings``."""


@frozen
class BuiltinSettings(OpenAISettings):
    pace: float = 0.02
    """Seconds between two tokens; 0 for as fast as possible."""


@define(eq=False)
class Builtin(OpenAI):
    name: ClassVar[str] = "builtin"
    default_name: ClassVar[str] = ""
    environment: ClassVar[dict[str, str]] = {}
    defaults: ClassVar[dict[str, Any]] = {"models": ("demo",)}
    fallback: ClassVar[bool] = False
    Settings: ClassVar[type[Any]] = BuiltinSettings

    @classmethod
    def embeddings(cls, settings: Any, caller: Caller, model: str, embed: Embed) -> Embedded | InProcess:
        if model == REAL:
            return InProcess(REAL)
        size = vectors.size_of(model, embed.dimensions)
        return Embedded(rendered(embed, vectors.vectors(embed, size)), vectors.is_long(embed, size))

    def call(self) -> Script:
        request = self.prompt.body
        return Script(self._streamed(request) if self.prompt.stream else self._whole(request))

    def _streamed(self, body: Mapping[str, Any]) -> Iterator[tuple[float, bytes]]:
        request = {**body, "stream_options": {"include_usage": True}}
        answer = generator.answer(request)
        for payload in generator.chunks(answer, request, id=self.envelope.id, created=self.envelope.created):
            yield self.settings.pace, b"data: " + payload + b"\n\n"
        yield 0.0, b"data: [DONE]\n\n"

    def _whole(self, request: Mapping[str, Any]) -> Iterator[tuple[float, bytes]]:
        answer = generator.answer(request)
        document = generator.whole(answer, request, id=self.envelope.id, created=self.envelope.created)
        yield 0.0, wirejson.dumps(document)
