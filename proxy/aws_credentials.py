"""What Amazon's own tools know: who signs, in which region, at which address.

botocore finds credentials in every place where they may be (environment, profiles, roles, web identity, single
sign-on, processes, containers, instances) and renews those that end. All of that blocks: the import alone takes a
tenth of a second, a role asks a service. So ``AwsTools`` is only ever called in a thread, one for each upstream:
what hangs there holds up nobody else. ``KeyRing`` keeps what was found, so that most calls wait for nothing, and
looks again before it ends; keys that cannot be renewed serve as long as they last.

Foreign exceptions cross one table. What they say goes to the log only, cleaned; keys never go anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from attrs import define, field, frozen

from proxy.flights import Flights
from translators.errors import (
    GatewayError,
    UpstreamAuthFailed,
    UpstreamNotReady,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.excerpt import clean
from translators.sigv4 import Keys
from translators.stream import UNREADABLE
from translators.upstreams.plan import AwsIdentity

LOOK = 60.0
"""Seconds between two looks at keys that end."""
LASTING = (14400, 7200, 3600, 1800, 900, 600, 300, 120, 60, 30, 10)
"""Seconds of which one may be sure at least, the most first."""
LOOK_AGAIN = 5.0
"""Seconds until the next look after one that failed."""
PATIENCE = 30.0
"""Seconds that finding keys or an address may take while there are none."""
IMPATIENCE = 2.0
"""The same while the old keys still serve."""
FRESH = 5.0
"""Seconds in which keys that are refused are not looked for once more: they have only just been found."""

NO_REGION = (
    "The gateway does not know the AWS region of this upstream: set its region, AWS_REGION or AWS_PROFILE."
)
NO_KEYS = (
    "The gateway has no AWS credentials for this upstream: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "AWS_PROFILE, or give the machine a role."
)
BAD_CONFIGURATION = (
    "The gateway's AWS configuration cannot be used: check the region, AWS_PROFILE and its files."
)
NO_ADDRESS = "The address of this AWS service was not found: check the region and AWS_ENDPOINT_URL."
UNREACHABLE = "The service that gives out the gateway's AWS credentials cannot be reached."
BUSY = "The service that gives out the gateway's AWS credentials is busy."
REFUSED = "The gateway was given no AWS credentials."
LATE = "The gateway's AWS credentials were not found in time."

_LONG = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
"""As long as a secret key; few other words are."""
_REGION = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)

log = logging.getLogger("deltawire")

T = TypeVar("T")


@frozen
class Found:
    keys: Keys
    seconds: float
    """For how long they serve at least."""


@define(eq=False)
class AwsTools:
    """Blocks. To be called by one thread at a time."""

    identity: AwsIdentity
    environ: Mapping[str, str] = field(factory=lambda: os.environ)
    _credentials: Any = field(default=None, init=False)

    def region(self) -> str:
        """Of the two variables Amazon's own tools heed the second only; people set the first."""
        variables = self.environ.get("AWS_REGION"), self.environ.get("AWS_DEFAULT_REGION")
        region = self.identity.region or variables[0] or variables[1]
        if not region:
            with retold(BAD_CONFIGURATION):
                region = self._session("").get_config_variable("region")
        if not region:
            raise UpstreamNotReady(NO_REGION)
        if not _REGION.fullmatch(region):
            raise UpstreamNotReady(NO_REGION, detail="the region that is set cannot be one")
        return region

    def address(self, service: str, region: str) -> str:
        """Where a service is: environment and profile may say so, and whether it is FIPS or dual stack."""
        from botocore import UNSIGNED
        from botocore.config import Config

        with retold(NO_ADDRESS):
            # Nothing is asked through this client, so nothing has to sign, and no keys are looked for.
            unsigned = Config(signature_version=UNSIGNED)
            client = self._session(region).create_client(service, region_name=region, config=unsigned)
            address: str = client.meta.endpoint_url
            client.close()
        return address

    def keys(self, region: str, anew: bool) -> Found:
        with retold(REFUSED):
            if anew or self._credentials is None:
                self._credentials = self._session(region).get_credentials()
            if self._credentials is None:
                raise UpstreamNotReady(NO_KEYS)
            held = self._credentials.get_frozen_credentials()
            keys = Keys(held.access_key, held.secret_key, held.token or "")
            return Found(keys, _certain(self._credentials))

    def _session(self, region: str) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        _hush()
        session = Session(profile=self.identity.profile or None)
        session.set_default_client_config(
            Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
        )
        if region:
            session.set_config_variable("region", region)
        return session


def _hush() -> None:
    """Keep keys out of the log: below INFO, Amazon's tools log what services answer, and in their tracebacks stands
    what a process said."""
    theirs = logging.getLogger("botocore")
    if theirs.getEffectiveLevel() < logging.INFO:
        theirs.setLevel(logging.INFO)
    logging.getLogger("botocore.credentials").addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = None
    return True


def _certain(credentials: Any) -> float:
    needs_renewal = getattr(credentials, "refresh_needed", None)
    if needs_renewal is None:
        return math.inf
    return next((float(seconds) for seconds in LASTING if not needs_renewal(seconds)), 0.0)


@contextmanager
def retold(otherwise: str) -> Iterator[None]:
    """Exceptions of Amazon's tools, told as ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError, RuntimeError, *UNREADABLE) as error:
        kind, message = _meaning(error, otherwise)
        raise kind(
            message, detail=f"{type(error).__name__}: {_LONG.sub('[secret]', clean(str(error)))}"
        ) from None


def _meaning(error: Exception, otherwise: str) -> tuple[type[GatewayError], str]:
    from botocore import exceptions as theirs

    if isinstance(error, theirs.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        busy = status >= 500 or status == 429 or "Throttl" in code
        return (UpstreamOverloaded, BUSY) if busy else (UpstreamAuthFailed, REFUSED)
    table: tuple[tuple[tuple[type[Exception], ...], type[GatewayError], str], ...] = (
        ((theirs.NoRegionError,), UpstreamNotReady, NO_REGION),
        ((theirs.HTTPClientError, theirs.ConnectionError), UpstreamUnreachable, UNREACHABLE),
        (
            (
                theirs.ProfileNotFound,
                theirs.ConfigNotFound,
                theirs.ConfigParseError,
                theirs.InvalidConfigError,
                theirs.InvalidRegionError,
                theirs.PartialCredentialsError,
                theirs.UnknownCredentialError,
                theirs.InfiniteLoopConfigError,
                theirs.MissingDependencyException,
            ),
            UpstreamNotReady,
            BAD_CONFIGURATION,
        ),
    )
    for kinds, ours, message in table:
        if isinstance(error, kinds):
            return ours, message
    return (UpstreamAuthFailed if otherwise == REFUSED else UpstreamNotReady), otherwise


@define(eq=False)
class Aside:
    """Work that blocks, in a thread of its own."""

    _thread: Executor = field(factory=lambda: ThreadPoolExecutor(1, "aws"), init=False)

    async def do(self, seconds: float, work: Callable[..., T], *arguments: Any) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except TimeoutError:
            raise UpstreamTimeout(LATE) from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


@define(eq=False)
class KeyRing:
    tools: AwsTools
    aside: Aside
    clock: Callable[[], float]
    _keys: Keys | None = field(init=False)
    _found_at: float = field(default=0.0, init=False)
    _look_at: float = field(default=math.inf, init=False)
    _serve_until: float = field(default=math.inf, init=False)
    _anew: bool = field(default=False, init=False)
    _flights: Flights = field(factory=Flights, init=False)

    @_keys.default
    def _configured(self) -> Keys | None:
        own = self.tools.identity
        return Keys(own.access_key, own.secret_key, own.session_token) if own.access_key else None

    async def keys(self, region: str) -> Keys:
        """Raises GatewayError."""
        keys, now = self._keys, self.clock()
        if keys is not None and now < self._look_at:
            return keys
        serve = keys is not None and now < self._serve_until
        try:
            return await self._flights.join(
                "keys", partial(self._look, region, IMPATIENCE if serve else PATIENCE)
            )
        except GatewayError as error:
            if keys is None or not serve:
                raise
            log.warning("The AWS credentials could not be renewed, the old ones serve on: %s", error.message)
            self._look_at = now + LOOK_AGAIN
            return keys

    def refused(self, keys: Keys) -> None:
        """A service took these keys for ended or unknown: other ones are looked for when they are next needed."""
        if keys == self._keys and keys != self._configured() and self.clock() - self._found_at >= FRESH:
            self._keys, self._anew = None, True

    async def _look(self, region: str, seconds: float) -> Keys:
        found = await self.aside.do(seconds, self.tools.keys, region, self._anew)
        now = self.clock()
        self._keys, self._anew, self._found_at = found.keys, False, now
        self._serve_until = now + found.seconds
        self._look_at = now + (found.seconds if found.seconds == math.inf else min(LOOK, found.seconds / 2))
        return found.keys
