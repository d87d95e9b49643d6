"""Logging to standard error, one line for each event: as text, or as JSON for machines.

Both forms name the request and the session on whose behalf the current task runs, and hide secrets:
those of the settings, wherever they occur, and text that looks like a credential.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.turn_context import current_turn

Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

QUIET = ("uvicorn", "uvicorn.error", "httpx", "httpcore", "websockets", "asyncio")
"""Libraries that log every request, some with its query string. Only their warnings are logged."""

HIDDEN = "***"

SHORTEST_SECRET = 8
"""A shorter setting is no secret ("ollama", "EMPTY") and may be a word of a message."""

LOOKS_SECRET = (
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"\b((?:api[_-]?key|token|ticket|password|secret|authorization)=)[^\s&,;\"']+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"([\"'](?:api[_-]?key|token|ticket|password|secret|authorization)[\"']\s*:\s*)"
            r"(\"[^\"]*\"|'[^']*')",
            re.IGNORECASE,
        ),
        rf'\1"{HIDDEN}"',
    ),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b((?:sk|ek|rk)[-_])[A-Za-z0-9_-]{16,}"), rf"\1{HIDDEN}"),
    # Parley's own tickets, passes, observers' tokens and resume tokens.
    (re.compile(r"\b(p[orst]_)[A-Za-z0-9_-]{16,}"), rf"\1{HIDDEN}"),
)
"""The patterns of credentials, each with the text that is logged in their place."""

CONTROLS = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}
"""Control characters, which terminals interpret."""

correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
"""The id of the request on whose behalf the current task runs."""

session_id: ContextVar[str | None] = ContextVar("session_id", default=None)
"""The session on whose behalf the current task runs."""


def upstream_headers() -> dict[str, str]:
    """Headers with which a request to another service names the request that caused it."""
    value = correlation_id.get()
    return {} if value is None else {"X-Correlation-ID": value}


class Redaction:
    """Hides `secrets`, and whatever looks like a credential, in a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        # The longest first, since one secret may be the beginning of another.
        known = sorted(long, key=lambda secret: (-len(secret), secret))
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, shown in LOOKS_SECRET:
            text = pattern.sub(shown, text)
        return text


class OneLine(logging.Formatter):
    """Formats a record as one line, so that no logged text can look like a second event.

    Line breaks become " | ". The line of a request ends in the request's id.
    """

    def __init__(self, format: str | None = None, *, redact: Redaction | None = None) -> None:
        super().__init__(format)
        self._redact = redact or Redaction()

    def format(self, record: logging.LogRecord) -> str:
        lines = (line.strip() for line in super().format(record).splitlines())
        text = " | ".join(line for line in lines if line)
        if fields := fields_of(record):
            text = f"{text} {_pairs(fields)}"
        text = self._redact(text.translate(CONTROLS))
        value = correlation_id.get()
        return text if value is None else f"{text} [{value}]"


class JsonLine(logging.Formatter):
    """Formats a record as one JSON object in one line of ASCII.

    `time` (UTC), `level`, `logger` and `message` are always there; `correlation_id`, `session` and
    `turn` if the task works for one, `exception` if one was logged, and the record's own
    fields (see `fields_of`), which come before those of the task.
    """

    def __init__(self, *, redact: Redaction | None = None) -> None:
        super().__init__()
        self._redact = redact or Redaction()

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        cause = {
            "correlation_id": correlation_id.get(),
            "session": session_id.get(),
            "turn": current_turn.get(),
        }
        told |= {name: value for name, value in cause.items() if value is not None}
        told |= fields_of(record)
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(self._shown(told), separators=(",", ":"), default=str)

    def _shown(self, value: Any) -> Any:
        # Before it is encoded: an escaped secret would not be recognised.
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {key: self._shown(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(part) for part in value]
        return value


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The fields that a record carries beside its message: `extra={"fields": {…}}`."""
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _pairs(fields: Mapping[str, Any]) -> str:
    """Fields as `name=value`, the values as JSON where they are not plain words."""
    return " ".join(f"{name}={_word(value)}" for name, value in fields.items())


def _word(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[\w.:/+-]+", value):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def configure(level: Level, form: LogFormat = "text", secrets: Iterable[str] = ()) -> None:
    """Log messages of `level` and worse in the form, with `secrets` hidden.

    Handlers of other loggers than the root stay as they are, and open.
    """
    redact = Redaction(secrets)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine(redact=redact))
    if form == "text":
        style = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        handler.setFormatter(OneLine(style, redact=redact))
    # Not by `dictConfig`, which shuts down every handler of the process: in a replica of Ray
    # Serve, the one by which Ray writes its log.
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel("ERROR" if level == "error" else "WARNING")
