"""W3C Trace Context: the trace that a client names, and that of a turn for its providers. Pure.

The ids of a turn's spans follow from a session's secret and the names of the spans. So a request to
a provider can name its stage's span while the stage runs, though spans are made when the turn is
over, and nothing is kept meanwhile. https://www.w3.org/TR/trace-context/ (level 1).
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)

SAMPLED = 0x01

client_trace: ContextVar[str] = ContextVar("client_trace", default="")
"""The `traceparent` of the request that began the current task, "" if it had none."""


@dataclass(frozen=True, slots=True)
class SpanId:
    """One span of one trace, with ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header for a request that this span causes."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(text: str) -> SpanId | None:
    """The span that a header names; None for anything that is no traceparent."""
    found = TRACEPARENT.fullmatch(text.strip())
    if found is None or (found["rest"] and text.startswith("00")):
        return None
    return SpanId(found["trace"], found["span"], bool(int(found["flags"], 16) & SAMPLED))


@dataclass(frozen=True, slots=True)
class SessionTraces:
    """The traces of one session's turns: one each, or all in the client's trace.

    `secret` are random bytes, so that no two sessions have a span in common.
    """

    secret: bytes
    parent: SpanId | None = None

    def turn(self, turn: int) -> SpanId:
        """The span of a turn."""
        sampled = self.parent is None or self.parent.sampled
        trace_id = self._id(f"{turn}", 16) if self.parent is None else self.parent.trace_id
        return SpanId(trace_id, self._id(f"{turn} turn", 8), sampled)

    def stage(self, turn: int, stage: str) -> SpanId:
        """The span of a stage in a turn; the turn's span is its parent."""
        of = self.turn(turn)
        return SpanId(of.trace_id, self._id(f"{turn} stage {stage}", 8), of.sampled)

    def _id(self, name: str, size: int) -> str:
        return blake2b(name.encode(), key=self.secret, digest_size=size).hexdigest()
