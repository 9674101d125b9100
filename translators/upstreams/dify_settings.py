"""What can be configured for a Dify app.

A key is one app, and the app alone decides on prompt, model and knowledge; so these options say how a chat request
becomes a request to it and how its answer is told, for all models of an upstream or for one alias.
"""

from __future__ import annotations

import re
from typing import Literal

from attrs import field, frozen


def _expression(settings: DifySettings, attribute: object, value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"ephemeral is not a regular expression: {error}") from None


@frozen
class DifySettings:
    mode: Literal["auto", "chat", "agent-chat", "agent", "advanced-chat", "completion", "workflow"] = "auto"
    """What kind of app the key belongs to; auto asks the app, and tries where an old server does not say."""
    input_variable: str = ""
    """The variable of a completion or workflow app that gets the words; without one, the form decides."""
    output_variable: str = ""
    """The output of a workflow that is the answer; without one, the only text or the usual names."""
    history: Literal["affinity", "transcript", "last"] = "affinity"
    """What becomes of earlier turns: affinity goes on in the conversation that they come from, transcript sends
    them with the question, last leaves them out. A conversation id in the request wins over all three."""
    system: Literal["prefix", "inputs", "drop"] = "prefix"
    """Where system messages go: before the first question, into a variable of the app, or nowhere."""
    system_variable: str = "system"
    """The variable for them; an app without it gets them before the first question."""
    forward: tuple[str, ...] = ()
    """Request fields, such as temperature or tools, that the app takes as variables of the same name."""
    reasoning: Literal["split", "keep", "drop"] = "split"
    """``split``: thoughts inside think tags become reasoning_content; ``keep``: tags stay where they are;
    ``drop``: no reasoning reaches the client, whichever way it came."""
    tool_trace: bool = False
    """Whether the tools that an agent used are told as reasoning."""
    strict: bool = False
    """Whether a parameter that a Dify app cannot honour is refused instead of ignored."""
    ephemeral: str = field(default="", validator=_expression)
    """A regular expression: questions in which it is found, such as a frontend's wish for a title, leave no
    conversation behind."""
    user: str = ""
    """Who asks when the client names nobody; without one, a name that stays the same for each client key."""
    pass_through: bool | None = None
    """Whether the client's bearer token is the app key; unless set, it is where no api_key is configured."""
    files_url: str = ""
    """Where addresses of files that begin with a slash lead; without one, the host of base_url."""
