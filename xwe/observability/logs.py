"""Log lines as JSON objects or plain text, with the request and the user they belong to.

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

# LOG_LEVEL applies to our own lines. At DEBUG and INFO, libraries log whole requests, including
# prompts.
OWN_LOGGER = "xwe"
FOREIGN_LEVEL = logging.WARNING


class _LineFormatter(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return self._redactor.redact(record.getMessage())
        except (
            TypeError,
            ValueError,
        ):  # a broken log call may still be about something that matters
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
    """One JSON object per line: time (UTC), level, logger, pid, message, request_id, user_id.

    With an exception, its text is in `exception`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a newline."""
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
        # orjson refuses a lone surrogate, which must not lose the line.
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
    """The formatter for LOG_FORMAT, which redacts the secrets of `settings`."""
    return _FORMATTERS[settings.observation.log_format](Redactor.of(settings))


def configure_logging(settings: Settings) -> None:
    """Write log lines to standard error, according to LOG_FORMAT and LOG_LEVEL.

    A root logger that is configured already is left alone.
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
    """Our handler, recognised by its class when logging is configured a second time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
