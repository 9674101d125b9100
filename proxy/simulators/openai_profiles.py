"""How servers of the OpenAI dialect differ: four profiles, each a set of small quirks.

A quirk changes the documents of a stream, of a whole body, or of both; a profile names its quirks in the
order they apply. What the bytes around a document look like is its ``Framing``. Ollama and vLLM behave as
their sources read, as far as a gateway can tell; ``sloppy`` has the small faults of many servers in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

Document: TypeAlias = dict[str, Any]
Request: TypeAlias = Mapping[str, Any]
StreamQuirk: TypeAlias = Callable[[Iterator[Document], Request], Iterator[Document]]
WholeQuirk: TypeAlias = Callable[[Document], None]


# Error bodies.


@frozen
class Fault:
    """What is wrong, before a profile words it."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None


def openai_error(fault: Fault) -> Document:
    kind = "invalid_request_error" if fault.status < 429 else fault.type
    return _error(fault, kind, fault.param, fault.code)


def ollama_error(fault: Fault) -> Document:
    """Its middleware's own refusals are typed, what the server itself says is an ``api_error``."""
    return _error(fault, "invalid_request_error" if fault.status == 400 else "api_error", None, None)


def bare_error(fault: Fault) -> Document:
    """What Ollama says outside /v1."""
    return {"error": fault.message}


_VLLM_TYPES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}


def vllm_error(fault: Fault) -> Document:
    """The code is the status, a number."""
    kind = _VLLM_TYPES.get(fault.status, "InternalServerError")
    return _error(fault, kind, fault.param, fault.status)


def _error(fault: Fault, kind: str, param: str | None, code: str | int | None) -> Document:
    return {"error": {"message": fault.message, "type": kind, "param": param, "code": code}}


# Quirks of documents.


@frozen
class Quirk:
    stream: StreamQuirk
    whole: WholeQuirk | None = None


def _each(change: Callable[[Document, Document], None]) -> StreamQuirk:
    """A change made to every choice of every chunk, and to its delta."""

    def changed(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
        for chunk in chunks:
            for choice in chunk["choices"]:
                change(choice, choice["delta"])
            yield chunk

    return changed


def _messages(change: Callable[[Document, Document], None]) -> WholeQuirk:
    def changed(body: Document) -> None:
        for choice in body["choices"]:
            change(choice, choice["message"])

    return changed


def _both(change: Callable[[Document, Document], None]) -> Quirk:
    return Quirk(_each(change), _messages(change))


def _repeat_role(choice: Document, delta: Document) -> None:
    delta["role"] = "assistant"


def _no_role(choice: Document, delta: Document) -> None:
    delta.pop("role", None)


def _empty_content(choice: Document, said: Document) -> None:
    said["content"] = said.get("content") or ""


def _plain(choice: Document, said: Document) -> None:
    """Without the members that only OpenAI sends."""
    for member in ("refusal", "annotations"):
        if not said.get(member):
            said.pop(member, None)
    if choice.get("logprobs") is None:
        choice.pop("logprobs", None)


def _short_reasoning_name(choice: Document, said: Document) -> None:
    if "reasoning_content" in said:
        said["reasoning"] = said.pop("reasoning_content")


def _stop_reason(choice: Document, said: Document) -> None:
    if choice["finish_reason"] is not None:
        choice["stop_reason"] = None


def _empty_finish(choice: Document, delta: Document) -> None:
    choice["finish_reason"] = choice["finish_reason"] or ""


def _no_call_index(choice: Document, delta: Document) -> None:
    for call in delta.get("tool_calls", ()):
        call.pop("index")


def _think_in_message(choice: Document, message: Document) -> None:
    if "reasoning_content" in message:
        message["content"] = f"<think>{message.pop('reasoning_content')}</think>{message['content'] or ''}"


def _no_role_chunk(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    for chunk in chunks:
        if not any("role" in choice["delta"] for choice in chunk["choices"]):
            yield chunk


def _think_in_stream(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    """Reasoning as content between tags, each tag in two pieces."""
    thinking: set[int] = set()
    for chunk in chunks:
        for choice in list(chunk["choices"]):
            index, delta = choice["index"], choice["delta"]
            thought = delta.pop("reasoning_content", None)
            if thought is not None and index not in thinking:
                thinking.add(index)
                yield _saying(chunk, choice, "<th")
                thought = f"ink>{thought}"
            if thought is not None:
                delta["content"] = thought
            elif index in thinking:
                thinking.discard(index)
                yield _saying(chunk, choice, "</thi")
                yield _saying(chunk, choice, "nk>")
        yield chunk


def _saying(chunk: Document, choice: Document, text: str) -> Document:
    said = {**choice, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {**chunk, "choices": [said]}


def _whole_calls(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    """Each tool call in one chunk, its arguments complete."""
    held: dict[int, Document] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            fragment = choice["delta"].get("tool_calls", [None])[0]
            if fragment is not None and "id" not in fragment:
                call = held[choice["index"]]["choices"][0]["delta"]["tool_calls"][0]
                call["function"]["arguments"] += fragment["function"]["arguments"]
                break
            if choice["index"] in held:
                yield held.pop(choice["index"])
            if fragment is not None:
                held[choice["index"]] = chunk
                break
        else:
            yield chunk


def _changing_ids(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    for place, chunk in enumerate(chunks):
        yield {**chunk, "id": f"{chunk['id']}-{place}"}


def _missing_members(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    for place, chunk in enumerate(chunks):
        gone = ("id", "object", "created", "model") if place % 2 else ()
        yield {name: value for name, value in chunk.items() if name not in gone}


def _no_usage_null(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    for chunk in chunks:
        if chunk.get("usage", ...) is None:
            del chunk["usage"]
        yield chunk


def _running_usage(place: int) -> Document:
    return {"prompt_tokens": 7, "completion_tokens": place, "total_tokens": 7 + place}


def _usage_on_odd_chunks(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    """Running counts here and there, asked for or not."""
    for place, chunk in enumerate(chunks):
        if place % 2 and chunk["choices"]:
            chunk["usage"] = _running_usage(place)
        yield chunk


def _continuous_usage(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    options = request.get("stream_options") or {}
    for place, chunk in enumerate(chunks):
        if options.get("continuous_usage_stats") and chunk["choices"]:
            chunk["usage"] = _running_usage(place)
        yield chunk


def _short_usage_in_body(body: Document) -> None:
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    body["usage"] = {name: body["usage"][name] for name in counts}


def _short_usage(chunks: Iterator[Document], request: Request) -> Iterator[Document]:
    for chunk in chunks:
        if chunk.get("usage"):
            _short_usage_in_body(chunk)
        yield chunk


QUIRKS: dict[str, Quirk] = {
    "changing_ids": Quirk(_changing_ids),
    "continuous_usage": Quirk(_continuous_usage),
    "empty_content": _both(_empty_content),
    "empty_finish": Quirk(_each(_empty_finish)),
    "missing_members": Quirk(_missing_members),
    "no_call_index": Quirk(_each(_no_call_index)),
    "no_role": Quirk(_each(_no_role)),
    "no_role_chunk": Quirk(_no_role_chunk),
    "no_usage_null": Quirk(_no_usage_null),
    "plain": _both(_plain),
    "repeat_role": Quirk(_each(_repeat_role)),
    "short_reasoning_name": _both(_short_reasoning_name),
    "short_usage": Quirk(_short_usage, _short_usage_in_body),
    "stop_reason": _both(_stop_reason),
    "think_tags": Quirk(_think_in_stream, _messages(_think_in_message)),
    "usage_on_odd_chunks": Quirk(_usage_on_odd_chunks),
    "whole_calls": Quirk(_whole_calls),
}


# Framing and profiles.


@frozen
class Framing:
    """The bytes around each document of a stream."""

    newline: bytes = b"\n"
    space: bool = True
    comment_every: int = 0
    final_blank: bool = True
    done: bool = True
    done_after_error: bool = False

    def frames(self, payloads: Iterator[bytes]) -> Iterator[bytes]:
        """Each payload framed; the last one knows that it is."""
        start = b"data: " if self.space else b"data:"
        end = self.newline * 2
        comment = b": still here" + end
        previous = next(payloads)
        for place, payload in enumerate(payloads, 1):
            said = start + previous + end
            yield comment + said if self.comment_every and place % self.comment_every == 0 else said
            previous = payload
        yield start + previous + (end if self.final_blank else self.newline)


@frozen
class Profile:
    """One kind of server."""

    name: str
    models: tuple[str, ...]
    owner: str
    id_of: Callable[[int], str]
    errors: Callable[[Fault], Document] = openai_error
    unknown_model: str = "The model `{model}` does not exist or you do not have access to it."
    strict: bool = False
    """Whether unknown fields of a request are refused."""
    ignored: frozenset[str] = frozenset()
    """Fields of a request that have no effect."""
    fingerprint: str | None = None
    quirks: tuple[str, ...] = field(default=())
    framing: Framing = Framing()

    def serves(self, model: str) -> bool:
        return model in self.models or f"{model}:latest" in self.models

    def whole(self, body: Document) -> Document:
        body = self._marked(body)
        for name in self.quirks:
            if (change := QUIRKS[name].whole) is not None:
                change(body)
        return body

    def stream(self, chunks: Iterator[Document], request: Request) -> Iterator[Document]:
        chunks = map(self._marked, chunks)
        for name in self.quirks:
            chunks = QUIRKS[name].stream(chunks, request)
        return chunks

    def _marked(self, document: Document) -> Document:
        marked = {**document, "system_fingerprint": self.fingerprint}
        if self.fingerprint is None:
            del marked["system_fingerprint"]
        return marked


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "openai",
            ("gpt-4o-mini", "gpt-4.1", "o4-mini"),
            "system",
            lambda number: f"chatcmpl-{number:029d}",
            strict=True,
            fingerprint="fp_standin",
        ),
        Profile(
            "ollama",
            ("llama3:latest", "llama3.2:3b", "qwen3:8b"),
            "library",
            lambda number: f"chatcmpl-{number % 999}",
            errors=ollama_error,
            unknown_model="model '{model}' not found",
            ignored=frozenset({"n", "logit_bias", "tool_choice", "parallel_tool_calls", "functions"}),
            fingerprint="fp_ollama",
            quirks=(
                "plain",
                "no_role_chunk",
                "whole_calls",
                "repeat_role",
                "empty_content",
                "short_reasoning_name",
                "no_usage_null",
                "short_usage",
            ),
        ),
        Profile(
            "vllm",
            ("meta-llama/Llama-3.1-8B-Instruct",),
            "vllm",
            lambda number: f"chatcmpl-{number:032x}",
            errors=vllm_error,
            unknown_model="The model `{model}` does not exist.",
            quirks=("plain", "continuous_usage", "stop_reason", "short_usage"),
            framing=Framing(done_after_error=True),
        ),
        Profile(
            "sloppy",
            ("sloppy-1",),
            "nobody",
            str,
            errors=bare_error,
            quirks=(
                "no_role",
                "no_call_index",
                "empty_finish",
                "usage_on_odd_chunks",
                "changing_ids",
                "missing_members",
            ),
            framing=Framing(newline=b"\r\n", space=False, comment_every=3, final_blank=False, done=False),
        ),
    )
}
