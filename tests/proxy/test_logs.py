"""One event, one line, whatever a client put into it; and a record says who was at fault by its level."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

from proxy.config import Log
from proxy.logs import JsonLine, TextLine, set_up
from proxy.record import Record
from tests.support.loglines import LogLines
from translators.errors import BadRequest, GatewayError, Internal, UpstreamTimeout


def record_of(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("deltawire", logging.INFO, "f", 1, message, (), None)
    record.created = 0.0
    if fields:
        record.fields = fields
    return record


HOSTILE = ["a\nb", "a\r\nINFO forged", "a\x1b[31mred", "a\0b", "a\u2028b", "a\u202eb", "a\tb"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()], ids=["text", "json"])
def test_nobody_can_forge_a_line(formatter, text):
    line = formatter.format(record_of(text, path=text))
    assert len(line.splitlines()) == 1
    assert not any(ord(c) < 32 or ord(c) == 127 for c in line)


def test_a_text_line_reads_time_level_message_fields():
    line = TextLine().format(record_of("request", status=200, path="/a b", model="m"))
    assert line == '1970-01-01T00:00:00.000+00:00 INFO request status=200 path="/a b" model=m'


def test_a_json_line_is_one_object():
    document = json.loads(JsonLine().format(record_of("request", status=200)))
    assert document == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "logger": "deltawire",
        "message": "request",
        "status": 200,
    }


@pytest.mark.parametrize("formatter", [TextLine(), JsonLine()], ids=["text", "json"])
def test_a_traceback_belongs_to_its_line(formatter):
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError as error:
        record = record_of("failed")
        record.exc_info = (type(error), error, error.__traceback__)
    line = formatter.format(record)
    assert "ZeroDivisionError: x" in line
    assert len(line.splitlines()) == (1 if isinstance(formatter, JsonLine) else line.count("\n") + 1)


@pytest.mark.parametrize(("shape", "formatter"), [("text", TextLine), ("json", JsonLine)])
def test_setting_up_gives_the_root_one_handler(shape, formatter):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up(Log(level="WARNING", format=shape))
        assert [type(handler.formatter) for handler in root.handlers] == [formatter]
        assert root.level == logging.WARNING
        assert logging.getLogger("asyncio").level == logging.WARNING
    finally:
        root.handlers[:] = before
        root.setLevel(level)


LEVELS = [
    (200, None, logging.INFO),
    (404, BadRequest("x"), logging.INFO),
    (499, None, logging.INFO),
    (504, UpstreamTimeout("x"), logging.WARNING),
    (200, UpstreamTimeout("x"), logging.WARNING),
    (503, None, logging.WARNING),
    (500, Internal("x"), logging.ERROR),
]


@pytest.mark.parametrize(("status", "error", "level"), LEVELS)
def test_the_level_says_who_has_to_act(status, error, level):
    record = Record("id", "GET", "/", 10.0, error=error)
    with LogLines() as log:
        record.write(status, 10.5)
    [line] = log.records
    assert line.levelno == level
    assert log.requests[0]["ms"] == 500.0


def fields_of(
    error: GatewayError | None,
    failure: GatewayError | None = None,
    headers: dict[str, str] | None = None,
    **relay: object,
) -> dict[str, object]:
    exchange = SimpleNamespace(
        relay=SimpleNamespace(**{"first_byte_after": None, "pauses": 0, **relay}),
        stream=SimpleNamespace(failure=failure, received=7, upstream=SimpleNamespace(headers=headers or {})),
        envelope=SimpleNamespace(id="chatcmpl-1", model="m"),
        target=SimpleNamespace(upstream="up"),
    )
    with LogLines() as log:
        Record("id", "POST", "/x" * 200, 0.0, exchange=exchange, error=error).write(200, 1.0)
    return log.requests[0]


def test_a_record_holds_what_was_counted():
    fields = fields_of(None, first_byte_after=0.25, pauses=3)
    assert fields == {
        "id": "id",
        "method": "POST",
        "path": ("/x" * 200)[:200],
        "status": 200,
        "ms": 1000.0,
        "answer": "chatcmpl-1",
        "model": "m",
        "upstream": "up",
        "received": 7,
        "first_byte_ms": 250.0,
        "pauses": 3,
    }


def test_a_record_names_the_conversation_where_the_platform_does():
    assert fields_of(None, headers={"x-conversation-id": "7" * 300})["conversation"] == "7" * 100
    assert "conversation" not in fields_of(None, headers={"x-chat-id": "7"})


def test_a_record_says_why_an_answer_failed_in_the_middle():
    fields = fields_of(None, UpstreamTimeout("m" * 900, detail="d" * 900))
    assert fields["error"] == "upstream_timeout"
    assert (len(fields["reason"]), len(fields["detail"])) == (300, 300)


def test_the_error_that_was_told_counts_before_the_one_in_the_stream():
    assert fields_of(BadRequest("told"), UpstreamTimeout("hidden"))["reason"] == "told"
    assert fields_of(BadRequest("told"))["error"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("outlet", "begun"),
    [(None, False), (SimpleNamespace(sent=0), False), (SimpleNamespace(sent=1), True)],
    ids=["none", "unopened", "opened"],
)
def test_a_record_knows_whether_the_answer_has_begun(outlet, begun):
    assert Record("id", "POST", "/", 0.0, outlet=outlet).begun is begun
