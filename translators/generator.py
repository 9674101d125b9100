"""The model that needs no model: the same request always gets the same reply.

``answer`` decides everything at once (texts, calls, counts); ``chunks`` and ``whole`` only render what it
decided, so a stream and a plain body of one request say the same. What is honoured: stop, both token limits,
n, seed, reasoning_effort, response_format, tools, tool_choice, parallel_tool_calls, the older functions,
logprobs and stream_options. What the words are is in prose.py, what the JSON is in schema_sample.py.

With tools on offer the first one is called (every one when the user says "both", "all" or "parallel"); a
tool's result is answered in words. The request is read with tolerance: whoever needs it to be right checks
it before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from attrs import frozen

from translators import prose, wirejson
from translators.schema_sample import sample

_MOST_CHOICES = 128
_MOST_CALLS = 128
_MOST_RESULTS = 8
_MOST_ALTERNATIVES = 20
_LONGEST_QUESTION = 50_000
_FINGERPRINT = "fp_builtin"

_THOUGHTS_BY_EFFORT = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 3}


@frozen
class Call:
    """A tool call the client must make."""

    id: str
    name: str
    arguments: tuple[str, ...]


@frozen
class Choice:
    index: int
    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    refusal: tuple[str, ...]
    tool_calls: tuple[Call, ...]
    finish_reason: str


@frozen
class Answer:
    choices: tuple[Choice, ...]
    usage: dict[str, Any]


def answer(request: Mapping[str, Any]) -> Answer:
    """Everything the reply to ``request`` will say."""
    asked = _Asked.of(request)
    count = _whole_number(request.get("n"), 1, _MOST_CHOICES) or 1
    choices = tuple(_choice(asked, index) for index in range(count))
    return Answer(choices, _usage(request, choices))


@frozen
class _Asked:
    """What a request asks for, read once for all its choices."""

    request: Mapping[str, Any]
    question: str
    seen: list[str]
    results: list[str]
    functions: list[dict[str, Any]]
    arguments: list[tuple[str, ...]]
    """What each function is called with: once for all choices, which bounds what n and tools may cost."""
    verbatim: tuple[str, ...] | None
    """What every choice says, where the request leaves no choice; for the same reason."""
    limit: int | None
    number: int
    """Follows from the conversation and the seed; differs with either."""

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> _Asked:
        messages = _messages(request)
        users = [message for message in messages if message.get("role") == "user"] or messages
        content = users[-1].get("content") if users else None
        question = prose.words_of(content)[:_LONGEST_QUESTION]
        results = _results(messages)
        seed = _whole_number(request.get("seed"), -(2**63), 2**63)
        limit = _whole_number(request.get("max_completion_tokens"), 1)
        number = prose.chance(question, len(messages), seed, *results)
        functions = [] if results else _called(request, question)
        verbatim = None if functions else _verbatim(request, question, results, number)
        return cls(
            request,
            question,
            prose.seen_in(content),
            results,
            functions,
            _arguments(functions, number),
            prose.pieces(_until_stop(verbatim, request)) if verbatim is not None else None,
            limit if limit is not None else _whole_number(request.get("max_tokens"), 1),
            number,
        )


def _messages(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = request.get("messages")
    return (
        [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    )


def _results(messages: list[dict[str, Any]]) -> list[str]:
    """What the tools answered, when their answers are the last thing said."""
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") not in ("tool", "function"):
            break
        results.append(prose.words_of(message.get("content")))
    return results[:_MOST_RESULTS][::-1]


def _whole_number(value: Any, least: int, most: int | None = None) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return (value if most is None else min(value, most)) if usable else None


# Tools.


def _legacy(request: Mapping[str, Any]) -> bool:
    return not request.get("tools") and bool(request.get("functions"))


def _offered(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools = request.get("functions") if _legacy(request) else request.get("tools")
    entries = tools if isinstance(tools, list) else []
    wrapped = [
        entry if _legacy(request) else entry.get("function") for entry in entries if isinstance(entry, dict)
    ]
    return [one for one in wrapped if isinstance(one, dict) and isinstance(one.get("name"), str)][
        :_MOST_CALLS
    ]


def _called(request: Mapping[str, Any], question: str) -> list[dict[str, Any]]:
    """The functions this reply calls."""
    offered = _offered(request)
    choice = request.get("function_call" if _legacy(request) else "tool_choice")
    if choice == "none":
        return []
    if isinstance(choice, dict):
        names = _chosen_names(choice)
        offered = [function for function in offered if function["name"] in names]
    several = request.get("parallel_tool_calls") is not False and not _legacy(request)
    return offered if several and prose.asks_for_several(question) else offered[:1]


def _chosen_names(choice: Mapping[str, Any]) -> list[Any]:
    """The names a tool_choice object leaves: one function's, or those of its allowed_tools."""
    allowed = choice.get("allowed_tools")
    tools = allowed.get("tools") if isinstance(allowed, dict) else [choice]
    chosen = (
        [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
        if isinstance(tools, list)
        else []
    )
    return [function.get("name") for function in chosen if isinstance(function, dict)]


def _written(document: Any) -> str:
    """``document`` as JSON; nothing where it is nested past what JSON writers bear."""
    try:
        return wirejson.dumps(document).decode()
    except ValueError:
        return ""


def _arguments(functions: list[dict[str, Any]], number: int) -> list[tuple[str, ...]]:
    schemas = [function.get("parameters") or {"type": "object"} for function in functions]
    values = [sample(schema, seed=number, shares=len(schemas)) for schema in schemas]
    return [prose.pieces(_written(value if isinstance(value, dict) else {}) or "{}") for value in values]


def _calls(asked: _Asked, choice: int, limit: _Limit) -> Iterator[Call]:
    for place, (function, arguments) in enumerate(zip(asked.functions, asked.arguments, strict=True)):
        token = "".join(f"{prose.chance(asked.number, choice, place, part):08x}" for part in range(3))
        yield Call(f"call_{token}", prose.clean(function["name"]), limit.take(arguments))


# One choice.


def _choice(asked: _Asked, index: int) -> Choice:
    limit = _Limit(asked.limit)
    reasoning = limit.take(prose.pieces(_reasoning(asked)))
    refused = "" if asked.functions else prose.refusal(asked.question)
    refusal = limit.take(prose.pieces(refused))
    calls = tuple(_calls(asked, index, limit))
    content = () if calls or refused else limit.take(_content(asked, index))
    usual = ("function_call" if _legacy(asked.request) else "tool_calls") if calls else "stop"
    return Choice(index, reasoning, content, refusal, calls, "length" if limit.reached else usual)


class _Limit:
    """Hands out pieces until the token limit of the request is used up."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self.reached = False

    def take(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        if self._left is None:
            return wanted
        taken = wanted[: self._left]
        self.reached = self.reached or len(taken) < len(wanted)
        self._left -= len(taken)
        return taken


def _reasoning(asked: _Asked) -> str:
    effort = asked.request.get("reasoning_effort")
    if not isinstance(effort, str) and isinstance(nested := asked.request.get("reasoning"), dict):
        effort = nested.get("effort")
    sentences = _THOUGHTS_BY_EFFORT.get(effort, 1) if isinstance(effort, str) else 0
    return prose.thoughts(asked.question, sentences)


def _format(request: Mapping[str, Any]) -> tuple[Any, Any]:
    """The kind of response_format, and the schema that goes with one kind."""
    wanted = request.get("response_format")
    if not isinstance(wanted, dict):
        return None, None
    given = wanted.get("json_schema")
    return wanted.get("type"), given.get("schema", {}) if isinstance(given, dict) else None


def _verbatim(request: Mapping[str, Any], question: str, results: list[str], number: int) -> str | None:
    form, schema = _format(request)
    if form == "json_schema" and schema is not None:
        return _written(sample(schema, seed=number)) or "null"
    return None if form == "json_object" or results else prose.taken_at_its_word(question)


def _content(asked: _Asked, index: int) -> tuple[str, ...]:
    if asked.verbatim is not None:
        return asked.verbatim
    number = prose.chance(asked.number, index)
    if _format(asked.request)[0] == "json_object":
        said = prose.reply(asked.question, asked.seen, number)
        text = _written({"question": prose.quoted(asked.question), "answer": said})
    elif asked.results:
        text = prose.after_tools(asked.results, number)
    else:
        text = prose.reply(asked.question, asked.seen, number)
    return prose.pieces(_until_stop(text, asked.request))


def _until_stop(text: str, request: Mapping[str, Any]) -> str:
    stop = request.get("stop")
    marks = stop if isinstance(stop, list) else [stop]
    found = [text.find(mark) for mark in marks[:4] if isinstance(mark, str) and mark]
    return text[: min((at for at in found if at >= 0), default=len(text))]


# Counts.


def _usage(request: Mapping[str, Any], choices: tuple[Choice, ...]) -> dict[str, Any]:
    prompt = _prompt_tokens(request)
    reasoning = sum(len(choice.reasoning) for choice in choices)
    said = sum(len(choice.content) + len(choice.refusal) for choice in choices)
    called = sum(1 + len(call.arguments) for choice in choices for call in choice.tool_calls)
    completion = reasoning + said + called
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _prompt_tokens(request: Mapping[str, Any]) -> int:
    """Pieces of every message and tool schema, and one for each part that is not words."""
    said = []
    others = 0
    for message in _messages(request):
        said.append(prose.words_of(message.get("content")))
        others += len(prose.seen_in(message.get("content")))
        if calls := message.get("tool_calls") or message.get("function_call"):
            said.append(_written(calls))
    if tools := request.get("tools") or request.get("functions"):
        said.append(_written(tools))
    return prose.count("\n".join(said)) + others


# Rendering.


def chunks(answer: Answer, request: Mapping[str, Any], *, id: str, created: int) -> Iterator[bytes]:
    """The payloads of a streamed reply; framing and ``[DONE]`` are the caller's."""
    return map(wirejson.dumps, documents(answer, request, id=id, created=created))


def documents(
    answer: Answer, request: Mapping[str, Any], *, id: str, created: int
) -> Iterator[dict[str, Any]]:
    """What ``chunks`` renders; several choices take turns."""
    options = request.get("stream_options")
    counted = isinstance(options, dict) and options.get("include_usage") is True
    envelope = _envelope("chat.completion.chunk", request, id, created)
    ending = {"usage": None} if counted else {}
    streams = [_frames(choice, request) for choice in answer.choices]
    for turn in zip_longest(*streams):
        for frame in turn:
            if frame is not None:
                yield {**envelope, "choices": [frame], **ending}
    if counted:
        yield {**envelope, "choices": [], "usage": answer.usage}


def whole(answer: Answer, request: Mapping[str, Any], *, id: str, created: int) -> dict[str, Any]:
    """The body of a reply that is not streamed."""
    choices = [_whole_choice(choice, request) for choice in answer.choices]
    return {**_envelope("chat.completion", request, id, created), "choices": choices, "usage": answer.usage}


def _envelope(kind: str, request: Mapping[str, Any], id: str, created: int) -> dict[str, Any]:
    model = request.get("model")
    return {
        "id": id,
        "object": kind,
        "created": created,
        "model": model if isinstance(model, str) else "builtin",
        "system_fingerprint": _FINGERPRINT,
    }


def _frames(choice: Choice, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The choices member of each chunk, in the order the dialect wants."""
    silent = bool(choice.tool_calls or choice.refusal)
    judged = request.get("logprobs") is True
    yield _frame(choice, {"role": "assistant", "content": None if silent else "", "refusal": None})
    for piece in choice.reasoning:
        yield _frame(choice, {"reasoning_content": piece})
    for member, said in (("content", choice.content), ("refusal", choice.refusal)):
        for place, piece in enumerate(said):
            odds = _logprobs({member: (piece,)}, request, place) if judged else None
            yield _frame(choice, {member: piece}, odds)
    for index, call in enumerate(choice.tool_calls):
        yield _frame(choice, _call_delta(index, call, request))
        for piece in call.arguments:
            function = {"arguments": piece}
            delta = (
                {"function_call": function}
                if _legacy(request)
                else {"tool_calls": [{"index": index, "function": function}]}
            )
            yield _frame(choice, delta)
    yield {**_frame(choice, {}), "finish_reason": choice.finish_reason}


def _frame(choice: Choice, delta: dict[str, Any], logprobs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _call_delta(index: int, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call.name, "arguments": ""}
    if _legacy(request):
        return {"function_call": function}
    return {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}


def _whole_choice(choice: Choice, request: Mapping[str, Any]) -> dict[str, Any]:
    silent = bool(choice.tool_calls or choice.refusal)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if silent else "".join(choice.content),
        "refusal": "".join(choice.refusal) or None,
        "annotations": [],
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    functions = [{"name": call.name, "arguments": "".join(call.arguments)} for call in choice.tool_calls]
    if functions and _legacy(request):
        message["function_call"] = functions[0]
    elif functions:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": function}
            for call, function in zip(choice.tool_calls, functions, strict=True)
        ]
    logprobs = _logprobs({"content": choice.content, "refusal": choice.refusal}, request, 0)
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": choice.finish_reason,
    }


def _logprobs(
    said: Mapping[str, tuple[str, ...]], request: Mapping[str, Any], start: int
) -> dict[str, Any] | None:
    if request.get("logprobs") is not True or not any(said.values()):
        return None
    wanted = _whole_number(request.get("top_logprobs"), 0, _MOST_ALTERNATIVES) or 0
    out: dict[str, Any] = {"content": None, "refusal": None}
    for member, tokens in said.items():
        if tokens:
            out[member] = [_token(token, start + place, wanted) for place, token in enumerate(tokens)]
    return out


def _token(token: str, place: int, wanted: int) -> dict[str, Any]:
    """One token with made-up but lawful odds: each alternative less likely than the one before."""
    likely = -(prose.chance(token, place) % 900 + 1) / 1000
    alternatives = [token, *(f"{token}{rank}" for rank in range(1, wanted))][:wanted]
    ranked = [_odds(other, likely - 1.5 * rank) for rank, other in enumerate(alternatives)]
    return {**_odds(token, likely), "top_logprobs": ranked}


def _odds(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(logprob, 4), "bytes": list(token.encode())}
