"""From a recorded answer to a ``Reading``: the head here, then the reader of the body's kind.

Frames are read by ``stream``, whole answers and refusals by the functions below. Bytes and times go in and
values come out; nothing here has a socket, so every law can be tried on a few bytes.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.calls import check_arguments
from proxy.compare.reading import Reading, check_finish, check_id, check_object, check_usage, text_of
from proxy.compare.record import Faults, Question, Recording
from proxy.compare.shapes import ERROR, WHOLE, Shape
from proxy.compare.stream import Frames
from proxy.compare.times import Times
from translators import wirejson
from translators.excerpt import clean, clean_bytes

_OPENING = 2000  # bytes of a body that a report shows


def read(recording: Recording, question: Question) -> Reading:
    faults = Faults()
    content_type = recording.headers.get("content-type", "")
    reading = Reading(recording.status, clean(content_type, 80), faults, Shape(faults), Times.of(recording))
    reading.opening = recording.body[:_OPENING].decode("utf-8", "replace")
    if recording.end:
        faults.add("cut" if recording.status else "no_answer", recording.end)
    if encoding := recording.headers.get("content-encoding", "").replace("identity", ""):
        faults.add("encoded", encoding)
    if not recording.status:
        return reading
    reading.answered = recording.status == 200
    streams = question.streams and reading.answered
    wanted = "text/event-stream" if streams else "application/json"
    if content_type.partition(";")[0].strip().lower() != wanted:
        faults.add("content_type", f"{content_type or 'missing'}, not {wanted}")
    if streams:
        Frames(reading, question).read(recording)
        if "content-length" in recording.headers:
            faults.add("not_streamed")
    elif (document := _document(recording, faults)) is not None:
        (_whole if reading.answered else _refusal)(document, reading)
    return reading


def _document(recording: Recording, faults: Faults) -> dict[str, Any] | None:
    if recording.end:
        return None
    try:
        recording.body.decode("utf-8")
        document = wirejson.loads(recording.body)
    except ValueError:
        faults.add(
            "not_json", clean_bytes(recording.body[:400]) or ("a page" if recording.body else "it is empty")
        )
        return None
    if not isinstance(document, dict):
        faults.add("not_object")
        return None
    return document


def _refusal(document: dict[str, Any], reading: Reading) -> None:
    reading.shape.add("refusal", document, ERROR)
    error = document.get("error")
    reading.error = error if isinstance(error, dict) else {}


def _whole(document: dict[str, Any], reading: Reading) -> None:
    faults = reading.faults
    reading.shape.add("answer", document, WHOLE)
    check_object(document, "chat.completion", faults)
    check_id(document.get("id"), faults)
    usage = document.get("usage")
    if isinstance(usage, dict):
        check_usage(usage, faults)
    choices = document.get("choices")
    choices = choices if isinstance(choices, list) else []
    if not choices:
        faults.add("no_choices")
    for place, choice in enumerate(choice for choice in choices if isinstance(choice, dict)):
        if place or choice.get("index", 0) != 0:
            faults.add("choice_index", str(choice.get("index")))
        else:
            _choice(choice, reading)


def _choice(choice: dict[str, Any], reading: Reading) -> None:
    faults = reading.faults
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    if message.get("role", "assistant") != "assistant":
        faults.add("role", str(message["role"]))
    reading.text = text_of(message.get("content"), faults)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            name, arguments = function.get("name"), function.get("arguments")
            reading.calls.append((_string(name), _string(arguments)))
    check_finish(choice.get("finish_reason"), reading)
    check_arguments(reading.calls, faults)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
