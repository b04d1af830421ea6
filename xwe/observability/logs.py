"""Log lines: one JSON object a line, or plain text, with the request and the user they are about.

Only an entry point configures logging (`wsgi.py`, gunicorn's logger, a command), never an import.
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import orjson

from xwe.core.nlp.observation import request_id, user_id
from xwe.observability.redaction import Redactor
from xwe.settings import Settings

# The level that was asked for holds for our own lines; what libraries write at DEBUG and INFO
# includes whole requests, prompts and all.
OWN_LOGGER = "xwe"
FOREIGN_LEVEL = logging.WARNING


class _LineFormatter(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return self._redactor.redact(record.getMessage())
        except (TypeError, ValueError):  # the line is wrong, what it is about may still matter
            return self._redactor.redact(f"{record.msg!s} (its arguments do not fit)")

    def _exception(self, record: logging.LogRecord) -> str:
        texts = []
        if record.exc_info and record.exc_info[0] is not None:
            texts.append(self.formatException(record.exc_info))
        elif record.exc_text:
            texts.append(record.exc_text)
        if record.stack_info:
            texts.append(self.formatStack(record.stack_info))
        return self._redactor.redact("\n".join(texts))


class JsonFormatter(_LineFormatter):
    """A JSON object a line: time (UTC), level, logger, pid, message, request_id, user_id.

    And `exception`, its text, when there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": _utc(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": self._message(record),
            "request_id": request_id.get(),
            "user_id": user_id.get(),
        }
        exception = self._exception(record)
        if exception:
            line["exception"] = exception
        # A lone surrogate, which orjson refuses, must not cost the line.
        texts = {
            name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for name, value in line.items()
        }
        return orjson.dumps(texts).decode()


class TextFormatter(_LineFormatter):
    """Plain lines for people: time, pid, level, logger, request, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the exception below it."""
        time = f"{_utc(record):%Y-%m-%d %H:%M:%S}.{record.msecs:03.0f}Z"
        head = f"{time} [{record.process}] {record.levelname} {record.name}"
        if request_id.get() != "-":
            head = f"{head} ({request_id.get()})"
        exception = self._exception(record)
        return f"{head}: {self._message(record)}" + (f"\n{exception}" if exception else "")


_FORMATTERS: Mapping[str, type[_LineFormatter]] = MappingProxyType(
    {"json": JsonFormatter, "text": TextFormatter}
)


def line_formatter(settings: Settings) -> logging.Formatter:
    """The formatter that LOG_FORMAT names, with the secrets of `settings` kept out of its lines."""
    return _FORMATTERS[settings.observation.log_format](Redactor.of(settings))


def configure_logging(settings: Settings) -> None:
    """Write log lines to standard error, as LOG_FORMAT and LOG_LEVEL say.

    A root logger that somebody else has set up is left as it is.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, _StandardError) for handler in root.handlers):
        if root.handlers:
            return
        root.addHandler(_StandardError())
    formatter = line_formatter(settings)
    for handler in root.handlers:
        if isinstance(handler, _StandardError):
            handler.setFormatter(formatter)
    level = logging.getLevelNamesMapping()[settings.observation.log_level]
    root.setLevel(max(level, FOREIGN_LEVEL))
    logging.getLogger(OWN_LOGGER).setLevel(level)


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg] # generic in its stubs alone
    """Our handler: known again by its class when logging is configured a second time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
