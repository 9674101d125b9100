"""What is written to the log while a test runs, as the lines an operator would read.

Everything from DEBUG on is kept, formatted by the gateway's own formatter, of every library but the clients that
tests use: a secret that only shows at DEBUG is a secret told. ``events`` is what a production log (INFO and
above) would hold.
"""

from __future__ import annotations

import logging
from typing import Any, Self

from proxy.logs import TextLine

_CLIENTS = {"openai", "httpx2", "httpcore2"}


class LogLines(logging.Handler):
    """``with LogLines() as log: … log.text, log.requests, log.tracebacks …``"""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(TextLine())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in _CLIENTS:
            self.records.append(record)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)

    @property
    def lines(self) -> list[str]:
        return [self.format(record) for record in self.records]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def events(self) -> list[logging.LogRecord]:
        return [record for record in self.records if record.levelno >= logging.INFO]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The fields of the request lines, in the order in which requests ended."""
        return [record.__dict__["fields"] for record in self.records if record.name == "deltawire.requests"]

    @property
    def tracebacks(self) -> list[str]:
        return [self.format(record) for record in self.records if record.exc_info]
