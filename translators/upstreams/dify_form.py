"""The input form of an app, as ``GET /parameters`` tells it, and which of its variables gets what.

Completion and workflow apps have no place for a question as such: words and files go into variables, whose names
their makers chose.
"""

from __future__ import annotations

from typing import Any

from translators import wirejson
from translators.errors import BadRequest
from translators.record import record

_TEXTS = ("text-input", "paragraph")
_FILES = ("file", "file-list")
_USUAL = ("query", "input", "text", "question", "prompt")
_MAX_VARIABLES = 200


@record
class Form:
    variables: tuple[tuple[str, str], ...] = ()
    """The kind and the name of each."""

    @classmethod
    def read(cls, body: bytes) -> Form:
        """From a good reply; anything else in it than a form is a form without variables."""
        document = wirejson.loads(body)
        fields = document.get("user_input_form") or []
        variables = [
            (kind, field["variable"])
            for entry in fields[:_MAX_VARIABLES]
            for kind, field in entry.items()
            if isinstance(field.get("variable"), str)
        ]
        return cls(tuple(variables))

    def has(self, name: str) -> bool:
        return any(name == variable for _, variable in self.variables)

    def for_words(self, needed: bool) -> str:
        """The variable that gets what the user said; empty where there is none and it need not be said."""
        texts = [name for kind, name in self.variables if kind in _TEXTS]
        if len(texts) == 1:
            return texts[0]
        for usual in _USUAL:
            if usual in texts:
                return usual
        if not self.variables or not needed:
            return ""
        names = ", ".join(name for _, name in self.variables)[:500]
        raise BadRequest(
            "This app does not say which of its variables takes the message; name one as input_variable. "
            f"It has: {names}.",
            param="inputs",
            code="unknown_input_variable",
        )

    def with_files(self, files: list[dict[str, Any]]) -> dict[str, Any]:
        """The variable that gets files, with them in it; nothing where none takes files."""
        for kind, name in self.variables:
            if kind in _FILES:
                return {name: files if kind == "file-list" else files[0]}
        return {}
