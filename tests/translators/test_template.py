"""What a template learns and what it declines. That its use is never seen is test_openai_template's to prove."""

from __future__ import annotations

import pytest

from translators.template import Template

LEARNED = b'{"a":1,"content":"x","b":[2]}'


def taught(payload: bytes = LEARNED, text: str = "x") -> Template:
    template = Template(b'"content"')
    template.learn(payload, text)
    return template


MATCHES: list[tuple[bytes, str | None]] = [
    (LEARNED, "x"),
    (b'{"a":1,"content":"other \\n \xc3\xa9","b":[2]}', "other \n é"),
    (b'{"a":1,"content":"","b":[2]}', ""),
    (b'{"a":1,"content":"\\"","b":[2]}', '"'),
    (b'{"a":1,"content":"x","b":[3]}', None),
    (b'{"a":2,"content":"x","b":[2]}', None),
    (b'{"a":1,"content":null,"b":[2]}', None),
    (b'{"a":1,"content":"x","c":"y","b":[2]}', None),
    (b'{"a":1,"content":"\\","b":[2]}', None),
    (b'{"a":1,"content":"\xff","b":[2]}', None),
    (b'{"a":1,"content":"\\ud83d","b":[2]}', None),
    (b'{"a":1,"content":","b":[2]}', None),
    (b'{"a":1,"content":"', None),
    (b'","b":[2]}', None),
    (b"", None),
]


@pytest.mark.parametrize(("payload", "text"), MATCHES)
def test_match(payload: bytes, text: str | None) -> None:
    assert taught().match(payload) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"content":"x","content":"x"}', "x"),
        (b'{"content":"x","b":"content"}', "x"),
        (b'{"content":"x","cont\\u0065nt":"x"}', "x"),
        (b'{"c\\u006fntent":"x","d":{"content":"x"}}', "x"),
        (b'{"content":"x"}', "y"),
        (b'{"content":["x"]}', "x"),
        (b'{"content" "x"}', "x"),
        (b'{"content":"\\u0078"}', "x"),
        (b'{"words":"x"}', "x"),
        (b'"content"', "x"),
        (b"", "x"),
    ],
)
def test_declined(payload: bytes, text: str) -> None:
    assert taught(payload, text).match(payload) is None


def test_white_space_is_part_of_what_is_learned() -> None:
    template = taught(b'{ "content" :  "x" }')
    assert template.match(b'{ "content" :  "y" }') == "y"
    assert template.match(b'{ "content" : "y" }') is None


def test_the_last_lesson_holds() -> None:
    template = taught()
    template.learn(b"no lesson", "x")
    assert template.match(LEARNED) is None
    template.learn(LEARNED, "x")
    template.forget()
    assert template.match(LEARNED) is None
