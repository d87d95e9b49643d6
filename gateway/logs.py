"""Where log messages go: standard error, one line for each event."""

import logging
import logging.config
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]

QUIET = ("uvicorn", "uvicorn.error", "httpx", "httpcore", "websockets", "asyncio")
"""Libraries that tell of every request, some with its query string. Their warnings are kept."""


class OneLine(logging.Formatter):
    """Nothing that is logged can look like a second event: line breaks are shown, not obeyed."""

    def format(self, record: logging.LogRecord) -> str:
        lines = (line.strip() for line in super().format(record).splitlines())
        return " | ".join(line for line in lines if line)


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
