"""The shortcuts are never seen: with them and without them, every byte of the output is the same.

The stream under test is compared with one whose template remembers nothing, which reads every piece as if it were
an unusual one, and which looks for thoughts at the beginning of every answer. Frames are made to be alike, and
almost alike: texts that look like JSON, members in odd places and twice, keys spelt with escapes, white space,
several choices, things that wait for a later frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wires.reader import NAMES, streamed, told, whole, wire
from translators.template import Template
from translators.upstreams import openai, openai_choice


class Forgetful(Template):
    """A template that matches nothing."""

    def learn(self, payload: bytes, text: str) -> None:
        pass


def told_plainly(sent: bytes, **options: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "Template", Forgetful)
        patch.setattr(openai_choice.Choice, "read", openai_choice.Choice._read_all)
        patch.setattr(openai_choice, "may_open", bool)
        return told(streamed(**options), [sent])


def frame(payload: str) -> bytes:
    return b"data: " + payload.encode("utf-8", "surrogatepass") + b"\n\n"


def assert_unseen(*payloads: str, **options: str) -> None:
    sent = b"".join(frame(payload) for payload in payloads)
    assert told(streamed(**options), [sent]) == told_plainly(sent, **options)


def say(text: str, before: str = "", after: str = "", outside: str = "") -> str:
    delta = f'{{{before}"content":{text}{after}}}'
    return f'{{"id":"x"{outside},"choices":[{{"index":0,"delta":{delta}}}]}}'


LEARN = say('"abc"')
END = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
DONE = "[DONE]"

SEQUENCES: dict[str, list[str]] = {
    "alike": [LEARN, say('"def"'), say('"ghi"')],
    "empty text": [LEARN, say('""'), say('"d"')],
    "text is null": [LEARN, say("null"), say('"d"')],
    "text is a number": [LEARN, say("7"), say('"d"')],
    "text holds quotes": [LEARN, say(r'"\"}}]}"'), say(r'"\\"'), say(r'"\\\""')],
    "text holds the end": [LEARN, say(json.dumps('"}}],"finish_reason":"stop"}')), say('"d"')],
    "text holds the key": [say(json.dumps('"content":"b"')), say('"c"'), say('"content"'), say('"d"')],
    "text is broken": [LEARN, say(r'"\x"')],
    "text has a raw control character": [LEARN, say('"a\tb"')],
    "two strings": [LEARN, say('"a","content":"b"'), say('"c"')],
    "key twice": [say('"a"', after=',"content":"a"'), say('"b"', after=',"content":"a"')],
    "key twice, once escaped": [
        say('"a"', after=r',"cont\u0065nt":"a"'),
        say('"b"', after=r',"cont\u0065nt":"a"'),
        say('"b"', after=r',"cont\u0065nt":"c"'),
    ],
    "key in a place that does not count": [
        '{"obfuscation":{"content":"a"},"choices":[{"delta":{"content" :"a"}}]}',
        '{"obfuscation":{"content":"b"},"choices":[{"delta":{"content" :"a"}}]}',
    ],
    "escaped key beside one that does not count": [
        r'{"obfuscation":{"content":"a"},"choices":[{"delta":{"\u0063ontent":"a"}}]}',
        r'{"obfuscation":{"content":"b"},"choices":[{"delta":{"\u0063ontent":"a"}}]}',
    ],
    "choices twice": [
        '{"choices":[{"delta":{"content":"a"}}],"choices":[{"delta":{"content" :"a"}}]}',
        '{"choices":[{"delta":{"content":"b"}}],"choices":[{"delta":{"content" :"a"}}]}',
    ],
    "a list of parts": [LEARN, say('[{"type":"text","text":"d"}]'), say('"e"')],
    "half a pair waits": [LEARN, say(r'"\ud83d"'), say('"d"'), say('"e"')],
    "half a pair waits after the first": [LEARN, say('"d"'), say(r'"x\ud83d"'), say('"d"'), say(r'"\ude00"')],
    "pair joined": [LEARN, say(r'"\ud83d"'), say(r'"\ude00"'), say(r'"\ud83d\ude00"'), say('"e"')],
    "loose members wait": [LEARN, '{"choices":[],"note":1}', say('"d"'), say('"e"')],
    "loose members wait to the end": [LEARN, say('"d"'), '{"choices":[],"note":1}', END],
    "usage in every frame": [say('"a"', outside=',"usage":{"prompt_tokens":1}')] * 3,
    "usage null": [say('"a"', outside=',"usage":null'), say('"b"', outside=',"usage":null')],
    "unknown member": [say('"a"', outside=',"note":1'), say('"b"', outside=',"note":1')],
    "error that is none": [say('"a"', outside=',"error":null'), say('"b"', outside=',"error":null')],
    "error that is one": [LEARN, say('"b"', outside=',"error":{"message":"no"}')],
    "words after the end": [LEARN, END, say('"d"'), say('"e"')],
    "reason with words": [
        LEARN,
        '{"id":"x","choices":[{"index":0,"delta":{"content":"d"},"finish_reason":"stop"}]}',
    ],
    "thoughts": [say('"<think>"'), say('"a"'), say('"</think>"'), LEARN, LEARN],
    "thoughts after white space": [say('" \\n"'), say('"<"'), say('"think>a</think>b"'), LEARN, LEARN],
    "white space and no thoughts": [say('" "'), LEARN, say('"d"')],
    "half a tag": [say('"<"'), END],
    "half a pair opens": [say(r'"\ud83d"'), say('"<think>"'), END],
    "half a pair ends": [LEARN, say(r'"\ud83d"'), END],
    "other reasons": [
        LEARN,
        *(END.replace("stop", reason) for reason in ("length", "Stop", "max_tokens", "eos", "error")),
    ],
    "a reason that is no word": [LEARN, END.replace('"stop"', "7"), LEARN],
    "an empty reason": [LEARN, END.replace("stop", ""), LEARN],
    "two choices": [LEARN, LEARN.replace('"index":0', '"index":1'), say('"d"')],
    "two choices in a frame": ['{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{}}]}']
    * 3,
    "one choice twice": ['{"choices":[{"delta":{"content":"a"}},{"delta":{}}]}'] * 3,
    "role every time": [say('"a"', before='"role":"assistant",'), say('"b"', before='"role":"assistant",')],
    "reasoning beside it": [say('"a"', before='"reasoning":"r",'), say('"b"', before='"reasoning":"r",')],
    "tool calls beside it": [
        say('"a"', after=',"tool_calls":[]'),
        say('"b"', after=',"tool_calls":[{"id":"1"}]'),
    ],
    "white space": [
        '{ "choices": [ {"delta": {"content":  "a" } } ] }',
        '{ "choices": [ {"delta": {"content":  "b" } } ] }',
    ],
    "wide integer beside it": [say('"a"', outside=',"created":123456789012345678901')] * 2,
    "wide integer as text": [LEARN, say('"123456789012345678901"')],
    "not ASCII": [say('"é"'), say('"ü"'), say(r'"\u00e9"'), say('"😀"'), say('"\u2028"')],
    "message instead of delta": [
        '{"choices":[{"message":{"content":"a"}}]}',
        '{"choices":[{"message":{"content":"b"}}]}',
    ],
    "overlap": ['{"choices":[{"delta":{"content":"a"}}]}', '{"choices":[{"delta":{"content":"}}]}'],
}


@pytest.mark.parametrize("reasoning", ["keep", "split", "drop"])
@pytest.mark.parametrize("case", SEQUENCES)
def test_shortcut_is_unseen(case: str, reasoning: str) -> None:
    assert_unseen(*SEQUENCES[case], reasoning=reasoning)
    assert_unseen(*SEQUENCES[case], END, DONE, reasoning=reasoning)
    assert_unseen(LEARN, *SEQUENCES[case], LEARN, END, DONE, reasoning=reasoning)


@pytest.mark.parametrize("name", NAMES)
def test_shortcut_is_unseen_in_recorded_wires(name: str) -> None:
    assert told(streamed(), [wire(name)]) == told_plainly(wire(name))


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            '"',
            "\\",
            '"}}]}',
            '","finish_reason":"stop',
            "content",
            '"content":"',
            "[DONE]",
            "\ud83d",
            "\ude00",
            "<think>",
            "</think>",
            " <",
        ]
    ),
)
QUOTED: Callable[[str], st.SearchStrategy[str]] = lambda text: st.sampled_from(  # noqa: E731
    [json.dumps(text), json.dumps(text, ensure_ascii=False)]
)
INSIDE = st.sampled_from(
    [
        "",
        '"role":"assistant",',
        '"content":"a",',
        r'"c\u006fntent":"a",',
        '"refusal":null,',
        '"reasoning":"r",',
        '"x":{"content":"a"},',
        '"x":"content",',
        '"content" : "a",',
        '"tool_calls":[],',
    ]
)
OUTSIDE = st.sampled_from(
    [
        "",
        ',"usage":null',
        ',"usage":{"prompt_tokens":1}',
        ',"obfuscation":"content"',
        ',"model":{"content":"a"}',
        ',"note":1',
        ',"system_fingerprint":"f"',
        ',"choices":[]',
        ',"error":""',
    ]
)
AFTER = INSIDE.map(lambda member: "," + member.rstrip(",") if member else "")


@st.composite
def chunk(draw: st.DrawFn) -> str:
    special = draw(st.integers(0, 9))
    if special == 0:
        return draw(
            st.sampled_from(
                ['{"choices":[],"note":1}', END, '{"choices":[{"index":1,"delta":{"content":"z"}}]}']
            )
        )
    shape = draw(SHAPE)
    return say(draw(TEXTS.flatmap(QUOTED)), *shape)


SHAPE = st.tuples(INSIDE, AFTER, OUTSIDE)


@st.composite
def run_of_chunks(draw: st.DrawFn) -> list[str]:
    """Frames mostly of one shape, as a server sends them, with others among them."""
    shape = draw(SHAPE)
    alike = TEXTS.flatmap(QUOTED).map(lambda text: say(text, *shape))
    return draw(st.lists(st.one_of(alike, alike, alike, chunk()), min_size=2, max_size=8))


@settings(max_examples=300, deadline=None)
@given(run_of_chunks(), st.sampled_from(["keep", "split"]))
def test_shortcut_is_unseen_in_generated_frames(payloads: list[str], reasoning: str) -> None:
    assert_unseen(*payloads, reasoning=reasoning)


def test_shortcut_is_taken() -> None:
    """Else the comparisons above would compare nothing."""
    stream = streamed(reasoning="keep")
    upstream = stream.upstream
    assert isinstance(upstream, openai.OpenAI)
    stream.feed(frame(LEARN))
    assert upstream._template is not None
    assert upstream._template.match(say(r'"d\n\u00e9"').encode()) == "d\né"
    assert upstream._template.match(say('"d"', outside=",").encode()) is None
    stream.feed(frame(END))
    assert upstream._template is None


def test_shortcut_serves_the_whole_form_as_well() -> None:
    sent = frame(LEARN) + frame(say('"def"')) + frame(END)
    assert b'"content":"abcdef"' in told(whole(), [sent])
