"""Logging to standard error, one line for each event."""

import logging
import logging.config
from contextvars import ContextVar
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]

QUIET = ("uvicorn", "uvicorn.error", "httpx", "httpcore", "websockets", "asyncio")
"""Libraries that log every request, some with its query string. Only their warnings are logged."""


correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
"""The id of the request on whose behalf the current task runs."""


def upstream_headers() -> dict[str, str]:
    """Headers with which a request to another service names the request that caused it."""
    value = correlation_id.get()
    return {} if value is None else {"X-Correlation-ID": value}


class OneLine(logging.Formatter):
    """Formats a record as one line, so that no logged text can look like a second event.

    Line breaks become " | ". The line of a request ends in the request's id.
    """

    def format(self, record: logging.LogRecord) -> str:
        lines = (line.strip() for line in super().format(record).splitlines())
        text = " | ".join(line for line in lines if line)
        value = correlation_id.get()
        return text if value is None else f"{text} [{value}]"


def configure(level: Level) -> None:
    """Log messages of `level` and worse."""
    quiet = "ERROR" if level == "error" else "WARNING"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": OneLine,
                    "format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
                }
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "line",
                    "stream": "ext://sys.stderr",
                }
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {name: {"level": quiet} for name in QUIET},
        }
    )
