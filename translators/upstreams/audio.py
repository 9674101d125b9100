"""Speech to text and text to speech, as the routes under ``/v1/audio`` need them of a platform.

A recording becomes words by a plan. Words become sound by one call whose answer is passed on as it comes, so what
a platform says instead of sound has to be read by the platform's own files, too.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from translators.errors import GatewayError
from translators.upstreams.plan import Call


@frozen
class Recording:
    data: bytes = field(repr=False)
    name: str
    """As the client calls the file; for its ending."""
    mime: str
    """As the client says; may be empty."""
    user: str = ""


@frozen
class Spoken:
    """What shall be spoken."""

    text: str
    voice: str = ""
    user: str = ""


@frozen
class Speech:
    call: Call
    refusal: Callable[[int, bytes, float | None], GatewayError]
    """The error that a status of 300 or more means."""
