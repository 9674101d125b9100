"""What may be quoted of an upstream's words.

An error page or message helps the person who reads it, but it may name hosts, quote keys or carry a stack.
``clean`` makes one short line of it: markup, control characters, addresses and anything key-shaped are gone.
"""

from __future__ import annotations

import re
from html import unescape

LIMIT = 300

_SCAN = 16 * 1024  # an excerpt is short: nothing past this is looked at, so that cost is bounded too

_OVERLONG = re.compile(r"&#\d{8,}")  # no character, and too many digits for a number

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL), " "),
    (re.compile(r"<[^<>]{0,1000}>"), " "),
    (re.compile(r"(?i)\btraceback \(most recent call last\).*", re.DOTALL), " "),
    (re.compile(r"(?i)\b(?:https?|wss?|ftp|file|postgres(?:ql)?|redis|s3)://[^\s\"'<>]+"), "[address]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 [secret]"),
    (
        re.compile(
            r"(?i)\b(?:(?:sk|pk|pat|czs|czu|app|key|xai|gsk|hf|ghp)[-_]|AKIA|ASIA|AIza|eyJ)[\w*.-]{12,}"
        ),
        "[secret]",
    ),
    (
        re.compile(
            r"(?i)\b((?:api[-_ ]?key|token|secret|password)[\"'\s]{0,3}[:=][\"'\s]{0,3})[^\s\"',;}{]{6,}"
        ),
        r"\1[secret]",
    ),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"), "[address]"),
    (re.compile(r"(?<![\w/])/(?:[\w.@-]+/){2,}[\w.@-]+"), "[path]"),
    (re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+"), " "),
)


def clean(text: str, limit: int = LIMIT) -> str:
    """``text`` as one line of at most ``limit`` characters, safe to show to a client."""
    text = unescape(_OVERLONG.sub(" ", text[:_SCAN]))
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def clean_bytes(data: bytes, limit: int = LIMIT) -> str:
    return clean(data[: 4 * _SCAN].decode("utf-8", "replace"), limit)
