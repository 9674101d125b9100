"""What ``deltawire compare`` asks by default: short questions, so that an answer costs little.

Together they make a server show every kind of frame: words, characters of four bytes, usage, a tool call, the whole
forms of two of these, and errors, which must be plain JSON even where a stream was asked for. No limit of tokens is
sent, because servers do not agree on its name.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.record import Question

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city, now.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city."}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
_WEATHER = "What is the weather in Oslo? Call get_weather for that city, and say nothing."
_SENTENCE = "Repeat: The quick brown fox jumps over the lazy dog."


def _said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


_STREAM = {"stream": True}
_COUNTED = {"stream": True, "stream_options": {"include_usage": True}}

QUESTIONS = {
    question.name: question
    for question in (
        Question("text", "a short text, streamed", {**_said(_SENTENCE), **_STREAM}),
        Question(
            "unicode",
            "characters of two, three and four bytes, streamed",
            {**_said("Repeat: Ærøskøbing, Ελλάδα, 世界, नमस्ते, مرحبا, 👩🏽‍🚀🇳🇴"), **_STREAM},
        ),
        Question(
            "usage", "a text with include_usage", {**_said("Count from 1 to 10, with commas."), **_COUNTED}
        ),
        Question("tool", "a tool call, streamed", {**_said(_WEATHER), "tools": _TOOLS, **_STREAM}),
        Question("whole", "a short text, not streamed", _said(_SENTENCE)),
        Question("whole-tool", "a tool call, not streamed", {**_said(_WEATHER), "tools": _TOOLS}),
        Question(
            "unknown-model",
            "a model that does not exist",
            {**_said(_SENTENCE), **_STREAM, "model": "no-such-model-8f1c"},
            refused=True,
        ),
        Question("bad-request", "messages that are no list", {"messages": "Hello.", **_STREAM}, refused=True),
    )
}


def prompted(number: int, text: str) -> Question:
    """A question of the user's own."""
    return Question(f"prompt-{number}", "your prompt, streamed with usage", {**_said(text), **_COUNTED})
