"""Log lines: one event, one line, whatever a client put into it.

Text for people, JSON for machines. Control characters are escaped, so nobody can forge a line, and values that
belong to a request follow its message as ``name=value``.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from proxy.config import Log
from translators import wirejson


class _Line(logging.Formatter):
    _second: tuple[int, str] = (-1, "")
    """The last one that a line was written in, and what its time begins with."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = getattr(record, "fields", {})
        return fields

    def time(self, record: logging.LogRecord) -> str:
        second, thousandths = divmod(int(record.created * 1000), 1000)
        if second != self._second[0]:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{thousandths:03d}+00:00"


class TextLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        words = [self.time(record), record.levelname, _one_line(record.getMessage())]
        words += [f"{name}={_value(value)}" for name, value in self.fields(record).items()]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": self.time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.fields(record),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return wirejson.dumps(document).decode()


def _value(value: Any) -> str:
    text = _one_line(value if type(value) is str else str(value))
    return f'"{text}"' if " " in text else text


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def set_up(config: Log) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if config.format == "json" else TextLine())
    logging.basicConfig(level=config.level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # No line tells these, and to find them out is half of what a line costs.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
