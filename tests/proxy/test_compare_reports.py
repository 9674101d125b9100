"""The reports: complete, and harmless whatever an endpoint said."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from attrs import evolve

from proxy.compare.html import html
from proxy.compare.judge import judge
from proxy.compare.markdown import markdown
from proxy.compare.read import read
from proxy.compare.record import Question, Recording
from proxy.compare.result import Comparison, Endpoint
from proxy.compare.text import table
from tests.proxy.compare_setup import ERROR, PLAIN, REFUSED, RIGHT, body, frame, said, streamed

EVIL = "</pre><script>alert(1)</script>\n```\n# no | heading \x1b[2J \ud83d"
EVIL_STREAM = [
    RIGHT[0],
    frame(said({"content": EVIL.replace("\ud83d", "")})),
    frame({**said({}), EVIL.replace("\ud83d", ""): 1}),
    b"data: </script><img src=x onerror=alert(1)>\n\n",
    *RIGHT[3:],
]


def comparison(*pairs: tuple[Recording, Recording, Question], model: str = "m") -> Comparison:
    verdicts = [judge(asked, read(left, asked), read(right, asked)) for left, right, asked in pairs]
    left = Endpoint("left", "http://l/v1", model, "sk-left-key")
    right = Endpoint("right", "http://r/v1", model, "sk-right-key", "the other")
    return Comparison(left, right, tuple(verdicts))


R = streamed(RIGHT)
MIXED = comparison(
    (R, R, PLAIN),
    (R, streamed([b": hi\n\n", *RIGHT[:-1]]), evolve(PLAIN, name="second")),
    (R, streamed([b": hi\n\n", *RIGHT]), evolve(PLAIN, name="third")),
    (body(ERROR, 404), body(ERROR, 404), REFUSED),
    (R, R, evolve(REFUSED, name="fifth")),
)
HOSTILE = comparison(
    (R, streamed(EVIL_STREAM), evolve(PLAIN, name=EVIL)),
    (body({"error": {"message": EVIL, "type": EVIL}}, 418), R, PLAIN),
    model=EVIL,
)


def test_the_table() -> None:
    lines = re.sub(r"\x1b\[\d+m", "", table(MIXED)).splitlines()
    assert lines[:2] == [
        "left   http://l/v1, model m",
        "right  http://r/v1, model m (the other)",
    ]
    assert [line.split("  ")[0] for line in lines[3:8]] == ["plain", "second", "third", "refused", "fifth"]
    for line, result in zip(
        lines[3:8], ("same", "1 difference", "same", "same", "not compared"), strict=True
    ):
        assert line[9:25].strip() == result
    place = lines.index("Differences (left / right)")
    assert lines[place + 1] == "  right  the stream ends without [DONE]  [second]"
    assert lines[place + 3 :][:3] == [
        "Notes (left / right)",
        "  right  there are comments, such as keep-alives  [second, third]",
        "  both   answer what should be refused  [fifth]",
    ]
    assert lines[-1] == "1 difference and 3 notes in 5 questions"


def test_the_figures_are_aligned() -> None:
    lines = table(MIXED).splitlines()
    first = next(place for place, line in enumerate(lines) if "first byte" in line)
    head, *rows = lines[first : first + 11]
    ends = {match.end() for match in re.finditer(r"\S+(?: \S+)*(?=  |$)", head.split("  (times")[0])}
    for row in rows:
        assert {match.end() for match in re.finditer(r"\S+", row[15:])} <= {end - 15 for end in ends}
    assert rows[0].split() == [
        "plain",
        "left",
        "200",
        "5",
        "5",
        str(R_SIZE),
        "100.0",
        "200.0",
        *["100.0"] * 3,
        "500.0",
    ]
    assert rows[6].split()[-4:] == ["–", "–", "–", "100.0"]


R_SIZE = sum(map(len, RIGHT))


def test_the_document() -> None:
    document = json.loads(json.dumps(MIXED.document()))
    assert (document["differences"], document["notes"]) == (1, 3)
    assert document["left"] == {"url": "http://l/v1", "model": "m"}
    second = document["questions"][1]
    assert (second["name"], second["result"], second["answer"]) == ("second", "1 difference", "same words")
    assert second["findings"][0] == {
        "level": "difference",
        "side": "right",
        "code": "done_missing",
        "text": "the stream ends without [DONE]",
    }
    assert second["left"] == {
        "status": 200,
        "frames": 5,
        "reads": 5,
        "bytes": R_SIZE,
        "first_byte_ms": 100.0,
        "first_word_ms": 200.0,
        "gap_p50_ms": 100.0,
        "gap_p90_ms": 100.0,
        "gap_max_ms": 100.0,
        "total_ms": 500.0,
        "order": "first · content × 2 · finish · [DONE]",
        "finish_reason": "stop",
    }
    assert document["questions"][3]["left"]["finish_reason"] is None
    assert document["questions"][3]["answer"] is None


class Tags(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "br",
        "strong",
        "table",
        "thead",
    ),
    *("tbody", "tr", "th", "td", "details", "summary", "pre", "div", "svg", "rect"),
}


@pytest.mark.parametrize("which", [MIXED, HOSTILE])
def test_html_has_no_tag_but_ours(which: Comparison) -> None:
    page = Tags(html(which, "made"))
    assert {tag for tag, _ in page.tags} <= ALLOWED
    named = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in named if name.startswith("on") or name in ("style", "src", "href")}
    assert "script" not in html(which, "made").replace("&lt;script", "").replace("&lt;/script", "")


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    text = html(MIXED, "made")
    policy = next(
        attributes["content"]
        for _, attributes in Tags(text).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_html_tells_everything() -> None:
    words = " ".join(Tags(html(MIXED, "made by a test")).words)
    for told in (
        *("made by a test", "the stream ends without [DONE]", "Hello world", "first · content × 2 · finish"),
        *("1 difference and 3 notes in 5 questions", "http://r/v1, model m (the other)", "not compared"),
    ):
        assert told in words
    opened = [attributes for tag, attributes in Tags(html(MIXED, "")).tags if tag == "details"]
    assert ["open" in one for one in opened] == [False, True, False, False, False]


def test_marks_of_time_are_bounded_and_on_one_scale() -> None:
    many = streamed([RIGHT[0], *RIGHT[1:2] * 3000, *RIGHT[2:]])
    page = Tags(html(comparison((R, many, PLAIN)), ""))
    marks = [int(attributes["x"] or 0) for tag, attributes in page.tags if tag == "rect"]
    assert 300 < len(marks) < 450
    assert max(marks) <= 1000 and max(marks[:5]) < 5
    still = Recording(200, {"content-type": "text/event-stream"}, tuple((0.0, one) for one in RIGHT))
    assert "<rect" in html(comparison((still, still, PLAIN)), "")


def test_markdown_tells_everything() -> None:
    text = markdown(MIXED, "made by a test")
    for line in (
        "- result: **1 difference and 3 notes in 5 questions**",
        "- made: made by a test",
        "| second | 1 difference | same words |  |",
        "| right | the stream ends without \\[DONE\\] | second |",
        "Left, frames: first · content × 2 · finish · \\[DONE\\]",
        "Hello world",
    ):
        assert line in text.splitlines()


def test_markdown_stays_in_its_tables_and_fences() -> None:
    inside, fence, outside = False, "", []
    for line in markdown(HOSTILE, "made").splitlines():
        ticks = re.match(r"(`{3,})(text)?$", line)
        if not inside and ticks:
            inside, fence = True, ticks[1]
        elif inside and line == fence:
            inside = False
        elif not inside:
            outside.append(line)
    assert not inside
    assert not [line for line in outside if "<" in line or line.startswith(("```", "# no"))]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in outside if line.startswith("|")}
    assert widths == {5, 4, 13}


@pytest.mark.parametrize("which", [MIXED, HOSTILE])
def test_no_key_is_told(which: Comparison) -> None:
    told = [html(which, ""), markdown(which, ""), table(which), json.dumps(which.document()), repr(which)]
    assert not [text for text in told if "sk-" in text]


def test_nothing_moves_the_terminal() -> None:
    shown = table(evolve(HOSTILE, left=MIXED.left, right=MIXED.right, verdicts=HOSTILE.verdicts[1:]))
    assert not re.search(r"\x1b(?!\[\d+m)", shown)
