"""Speech to text and text to speech: asking the upstream that a model's name leads to, if its kind can.

A recording is one wish, carried out at a place at the upstream like any question. Sound comes as it is made: it
holds a place and a connection until it has been read, or until whoever wanted it has left. Neither is asked for
twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from attrs import define, frozen

from proxy.dial import refused
from proxy.exchange import Target
from proxy.wire.base import Answer, Body
from translators.errors import BadRequest, GatewayError, UpstreamMalformed, UpstreamTimeout
from translators.upstreams import UPSTREAMS
from translators.upstreams.audio import Recording as Recording
from translators.upstreams.audio import Speech
from translators.upstreams.audio import Spoken as Spoken
from translators.upstreams.plan import ANYBODY, Caller

_SOUND = re.compile(r"audio/[\w.+-]{1,64}", re.ASCII)


@frozen
class Sound:
    """An answer that is being spoken."""

    mime: str
    _body: Body
    _seconds: float

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises GatewayError where it breaks off."""
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    piece = await self._body.read()
            except TimeoutError:
                raise UpstreamTimeout("The upstream fell silent in the middle of its answer.") from None
            if not piece:
                return
            yield piece


@define(eq=False)
class Voices:
    resolve: Callable[[str], Target]

    async def hear(self, model: str, recording: Recording, headers: Mapping[str, str]) -> str:
        """The words of a recording. Raises GatewayError."""
        target = self.resolve(model)
        caller = _caller(target, headers)
        plan = UPSTREAMS[target.dialer.config.kind].transcription(target.options, caller, recording)
        if plan is None:
            raise _cannot(model, "hear")
        return await target.dialer.carry_out(plan, caller.owner)

    @asynccontextmanager
    async def speak(self, model: str, spoken: Spoken, headers: Mapping[str, str]) -> AsyncIterator[Sound]:
        """What was asked to be spoken, as it comes. Raises GatewayError."""
        target = self.resolve(model)
        settings = target.dialer.config
        speech = UPSTREAMS[settings.kind].speech(target.options, _caller(target, headers), spoken)
        if speech is None:
            raise _cannot(model, "speak")
        limit = settings.first_byte_timeout
        body: Body | None = None
        ended = False
        try:
            async with asyncio.timeout(limit):
                await target.dialer.slots.acquire()
        except TimeoutError:
            raise _silent(limit) from None
        try:
            answer = await _asked(target, speech, limit)
            body = answer.body
            yield Sound(await _mime(answer, speech), body, settings.idle_timeout)
            ended = True
        finally:
            if body is not None:
                (body.finish if ended else body.close)()
            target.dialer.slots.release()


async def _asked(target: Target, speech: Speech, limit: float) -> Answer:
    wire = target.dialer.wire
    assert wire is not None
    try:
        async with asyncio.timeout(limit):
            return await wire.send(speech.call)
    except TimeoutError:
        raise _silent(limit) from None


async def _mime(answer: Answer, speech: Speech) -> str:
    """Raises the error that it is instead of sound."""
    if answer.status != 200:
        raise await refused(answer, speech.refusal)
    mime = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not _SOUND.fullmatch(mime):
        raise UpstreamMalformed("The upstream answered with something that is no sound.")
    return mime


def _caller(target: Target, headers: Mapping[str, str]) -> Caller:
    return ANYBODY if target.ears is None else target.ears.caller(headers)


def _silent(limit: float) -> GatewayError:
    return UpstreamTimeout(f"The upstream did not answer within {limit:g} seconds.")


def _cannot(model: str, what: str) -> GatewayError:
    return BadRequest(
        f"The model `{model[:100]}` cannot {what}.", param="model", code="model_not_supported_endpoint"
    )
