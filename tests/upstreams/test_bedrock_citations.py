"""Where stretches of an answer come from, and at which place of it that is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.bedrock_setup import citation, cites, files, heard, message, s3, say, words
from translators.affinity import Told
from translators.events import Citation, Finish


def cited(*frames: bytes) -> list[Citation]:
    return [event for event in heard(*frames) if isinstance(event, Citation)]


def at(name: str, **members: str) -> dict[str, Any]:
    return {"location": {"type": "X", name: members}}


def test_a_stretch_is_looked_for_after_the_one_before() -> None:
    frames = [
        say("Tea is hot. "),
        say("Ice is cold. Tea is hot.", **cites(citation("Tea is hot.", s3("s3://b/1")))),
        say(
            " The end.",
            **cites(citation("Tea is hot.", s3("s3://b/2")), citation("The end.", s3("s3://b/3"))),
        ),
    ]
    assert [(one.start, one.end, one.source) for one in cited(*frames)] == [
        (0, 11, "s3://b/1"),
        (25, 36, "s3://b/2"),
        (37, 45, "s3://b/3"),
    ]
    content = message(*frames)["content"]
    assert content[25:36] == "Tea is hot."


def test_offsets_are_believed_where_the_words_are_not_found() -> None:
    frames = say("abc", **cites(citation("xyz", s3("s3://b/1"), start=1, end=2))), say("d")
    assert [(one.start, one.end) for one in cited(*frames)] == [(1, 2)]
    assert [(one.start, one.end) for one in cited(say("abc", **cites(citation("", s3("s3://b/1")))))] == [
        (0, 0)
    ]
    odd = citation("xyz", s3("s3://b/1"), start=-1, end=True)
    assert [(one.start, one.end) for one in cited(say("abc", **cites(odd)))] == [(0, 0)]


def test_files_count_as_what_is_told_of_them() -> None:
    made = files({"name": "a.txt", "type": "text/plain", "bytes": "YQ=="})
    frames = say("x"), made, say("Tea.", **cites(citation("Tea.", s3("s3://b/1"))))
    [one] = cited(*frames)
    assert message(*frames)["content"][one.start : one.end] == "Tea."


@pytest.mark.parametrize(
    ("reference", "source", "title"),
    [
        (s3("s3://bucket/dir/tea.pdf"), "s3://bucket/dir/tea.pdf", "tea.pdf"),
        (s3("s3://bucket/tea.pdf", title="All about tea"), "s3://bucket/tea.pdf", "All about tea"),
        (s3("s3://bucket/tea.pdf", source_title="Tea"), "s3://bucket/tea.pdf", "Tea"),
        (at("webLocation", url="https://e.org/tea/?q=1"), "https://e.org/tea/?q=1", "tea"),
        (at("confluenceLocation", url="https://c.org/x"), "https://c.org/x", "x"),
        (at("kendraDocumentLocation", uri="https://k.org/y"), "https://k.org/y", "y"),
        (at("customDocumentLocation", id="doc-7"), "doc-7", "doc-7"),
        (
            {**at("sqlLocation", query="select"), "metadata": {"x-amz-bedrock-kb-source-uri": "s3://b/q"}},
            "s3://b/q",
            "q",
        ),
    ],
)
def test_a_source_has_an_address_and_a_title(reference: dict[str, Any], source: str, title: str) -> None:
    [one] = cited(say("Tea.", **cites(citation("Tea.", reference))))
    assert (one.source, one.title) == (source, title)


@pytest.mark.parametrize(
    "reference",
    [
        at("sqlLocation", query="select"),
        at("s3Location"),
        {},
        {"location": 7},
        at("webLocation", url="https://e.org/\n"),
        at("webLocation", url="https://e.org/" + "x" * 5000),
    ],
)
def test_what_has_no_address_is_no_source(reference: dict[str, Any]) -> None:
    assert cited(say("Tea.", **cites(citation("Tea.", reference)))) == []


def test_a_source_is_told_once_for_a_stretch() -> None:
    twice = citation("Tea.", s3("s3://b/1"), s3("s3://b/1"), s3("s3://b/2"))
    assert [one.source for one in cited(say("Tea.", **cites(twice)))] == ["s3://b/1", "s3://b/2"]


def test_citations_are_bounded() -> None:
    many = citation("Tea.", *(s3(f"s3://b/{n}") for n in range(100)))
    assert len(cited(say("Tea.", **cites(many)))) == 32
    frames = [
        say("Tea.", **cites(*[citation("no", s3(f"s3://b/{n}")) for _ in range(10)])) for n in range(40)
    ]
    events = heard(*frames)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.platform is not None
    assert len(finish.platform["citations"]) == 256


@pytest.mark.parametrize("attribution", [7, [], {"citations": 7}, {"citations": [7, {}]}])
def test_an_attribution_without_its_shape_says_nothing(attribution: object) -> None:
    assert cited(say("Tea.", attribution=attribution)) == []
    assert message(say("Tea.", attribution=attribution))["content"] == "Tea."


def test_an_answer_is_not_put_together_for_chunks_that_cite_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some agents say so with every chunk: the time of an answer would grow with the square of its length."""
    monkeypatch.setattr(Told, "text", None)
    assert words(heard(*[say("word ", **cites())] * 3)) == "word word word "
