"""What can be configured: one frozen class for each noun.

The docstring under a field is its help text. The field itself names the environment variables that set it,
strongest first, and the command line flag where it has one; nothing else in the project lists them again.
Values are checked while they are read (``values``), so these classes can be built freely in tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from typed_settings.constants import METADATA_KEY

from proxy.config.values import (
    Attempts,
    BlobsUrl,
    Bytes,
    BytesOrZero,
    Count,
    CountOrZero,
    Folder,
    Headers,
    Host,
    Level,
    Methods,
    ModelIds,
    Origins,
    Port,
    Seconds,
    SecondsOrZero,
    Secret,
    Url,
)

PREFIX = "DELTAWIRE_"


def _named(own: str = "", *, bare: str = "", flag: str = "") -> dict[str, Any]:
    """Set by ``DELTAWIRE_<own>``, or by ``DELTAWIRE_<bare>`` and, weaker, by ``<bare>`` itself."""
    names = (PREFIX + bare, bare) if bare else (PREFIX + own,)
    return {METADATA_KEY: {"env": names, "flag": flag}}


def _masked(headers: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name!r}: ***" for name in headers) + "}"


@frozen
class Server:
    host: Host = field(default="127.0.0.1", metadata=_named(bare="HOST", flag="--host"))
    """Address to listen on."""
    port: Port = field(default=3000, metadata=_named(bare="PORT", flag="--port"))
    """Port to listen on; 0 takes a free one."""
    loop: Literal["auto", "uvloop", "asyncio"] = field(default="auto", metadata=_named("LOOP", flag="--loop"))
    """Event loop; auto takes uvloop where it is installed."""
    drain: SecondsOrZero = field(default=30.0, metadata=_named("DRAIN", flag="--drain"))
    """How long running answers may go on after SIGTERM."""
    backlog: Count = field(default=1024, metadata=_named("BACKLOG"))
    """Connections the kernel holds until they are accepted."""


@frozen
class Auth:
    api_keys: tuple[Secret, ...] = field(default=(), metadata=_named(bare="API_KEYS"))
    """Keys that clients may use, between commas, or a file with one a line; with none, anyone may call."""


@frozen
class Cors:
    enabled: bool = field(default=True, metadata=_named(bare="ENABLE_CORS"))
    """Whether browsers on other origins may call."""
    origins: Origins = field(default=("*",), metadata=_named(bare="ALLOWED_ORIGINS"))
    """Origins that may call."""
    methods: Methods = field(
        default=("GET", "POST", "DELETE", "OPTIONS"), metadata=_named(bare="ALLOWED_METHODS")
    )
    """Methods they may use."""


@frozen
class Log:
    level: Level = field(default="INFO", metadata=_named(bare="LOG_LEVEL", flag="--log-level"))
    """Least severity that is logged: debug, info, warning, error or critical."""
    requests: bool = field(default=True, metadata=_named(bare="ENABLE_LOGGING"))
    """Whether each request gets a line."""
    format: Literal["text", "json"] = field(
        default="text", metadata=_named(bare="LOG_FORMAT", flag="--log-format")
    )
    """Shape of a log line."""


@frozen
class Limits:
    connect_timeout: Seconds = field(default=5.0, metadata=_named("CONNECT_TIMEOUT"))
    """Time to reach an upstream."""
    first_byte_timeout: Seconds = field(default=120.0, metadata=_named("FIRST_BYTE_TIMEOUT"))
    """Time until an upstream begins to answer."""
    idle_timeout: Seconds = field(default=60.0, metadata=_named("IDLE_TIMEOUT"))
    """Silence an upstream may keep in the middle of an answer."""
    write_timeout: Seconds = field(default=30.0, metadata=_named("WRITE_TIMEOUT"))
    """Time a client may refuse to take what waits for it."""
    keepalive: Seconds = field(default=15.0, metadata=_named("KEEPALIVE"))
    """Silence after which a stream gets a comment line."""
    commit_after: SecondsOrZero = field(default=5.0, metadata=_named("COMMIT_AFTER"))
    """Time to wait for the first token before the status is sent without it."""
    body_timeout: Seconds = field(default=30.0, metadata=_named("BODY_TIMEOUT"))
    """Time a client may take to send its request."""
    max_body: Bytes = field(default=10 * 1024 * 1024, metadata=_named("MAX_BODY"))
    """Largest request body."""
    connection_timeout: Seconds = field(default=15.0, metadata=_named("CONNECTION_TIMEOUT"))
    """Time for an idle connection, and for the head of a request."""
    relay: Literal["tap", "loop"] = field(default="tap", metadata=_named("RELAY", flag="--relay"))
    """How bytes get from socket to socket."""


@frozen
class Storage:
    data: Folder = field(default="./data", metadata=_named("DATA", flag="--data"))
    """Directory for what is kept; made when something is."""
    database_url: Secret | None = field(default=None, metadata=_named(bare="DATABASE_URL"))
    """PostgreSQL that keeps documents instead of a file in that directory."""
    blobs_url: BlobsUrl = field(default="", metadata=_named(bare="BLOBS_URL"))
    """Where file bytes are kept instead: s3://bucket/prefix."""
    max_file: Bytes = field(default=512 * 1024 * 1024, metadata=_named("MAX_FILE"))
    """Largest file that may be uploaded."""
    quota: BytesOrZero = field(default=10 * 1024**3, metadata=_named("QUOTA"))
    """Bytes of files that one key may keep; 0 for any number."""
    affinity: bool = field(default=False, metadata=_named("AFFINITY"))
    """Whether what is remembered of conversations is kept there, too: across restarts, and shared by workers."""


@frozen
class Upstream:
    """One platform account or server that answers."""

    name: str
    kind: str
    base_url: Url = ""
    api_key: Secret | None = None
    models: ModelIds = ()
    connect_timeout: Seconds = 5.0
    first_byte_timeout: Seconds = 120.0
    idle_timeout: Seconds = 60.0
    max_concurrency: Count = 1000
    max_queue: CountOrZero = 1000
    retries: Attempts = 2
    headers: Headers = field(factory=dict, repr=_masked)
    options: Any = None
    """The kind's own settings object."""


@frozen
class Alias:
    """A model name of the operator's own."""

    upstream: str
    model: str | None = None
    options: Any = None
    """The settings of the upstream, with this alias's own changes."""


@frozen
class Config:
    server: Server = Server()
    auth: Auth = Auth()
    cors: Cors = Cors()
    log: Log = Log()
    limits: Limits = Limits()
    storage: Storage = Storage()
    upstreams: Mapping[str, Upstream] = field(factory=dict)
    models: Mapping[str, Alias] = field(factory=dict)
    default_upstream: str | None = field(default=None, metadata=_named("DEFAULT_UPSTREAM"))
    """Upstream that answers for model names nobody lists."""
    extensions: bool = field(default=False, metadata=_named("EXTENSIONS"))
    """Whether answers carry what the platform says beyond the OpenAI dialect."""
