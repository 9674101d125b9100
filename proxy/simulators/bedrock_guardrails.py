"""What a guardrail says of a text, and what it lets through of it.

A blocked word is told as a topic that is denied, and ends the turn; a masked one as personal data that was made
anonymous, which also counts as an intervention although nothing is refused.
"""

from __future__ import annotations

from typing import Any

from proxy.simulators.bedrock_knobs import Guardrail


def _in(words: tuple[str, ...], text: str) -> list[str]:
    return [word for word in words if word.lower() in text.lower()]


def blocks(guardrail: Guardrail, text: str) -> bool:
    return bool(_in(guardrail.blocked, text))


def masked(guardrail: Guardrail, text: str) -> str:
    """``text`` with a placeholder for each word that it masks."""
    for word in guardrail.masked:
        text = text.replace(word, "{MASKED}")
    return text


def assessments(guardrail: Guardrail, text: str) -> list[dict[str, Any]]:
    """One for the whole text; none where there is nothing to say."""
    found: dict[str, Any] = {}
    if denied := _in(guardrail.blocked, text):
        topics = [{"name": word, "type": "DENY", "action": "BLOCKED"} for word in denied]
        found["topicPolicy"] = {"topics": topics}
    if hidden := _in(guardrail.masked, text):
        regexes = [{"name": "word", "regex": word, "match": word, "action": "ANONYMIZED"} for word in hidden]
        found["sensitiveInformationPolicy"] = {"piiEntities": [], "regexes": regexes}
    return [found] if found else []
