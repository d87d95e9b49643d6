"""Which process of a gateway a request belongs to. Pure.

Most requests belong to none: what they need is in the store.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qs
from zlib import crc32

from gateway.workers.board import ACCEPTING

Kind = Literal["here", "all", "begin", "held", "offer", "trickle", "worker"]

MARK: Final = re.compile(r"(?:rtc_)?w(\d{1,2})-")

EVERYWHERE: Final = re.compile(
    r"/(?:health|health/ready|ready|metrics|admin/(?!drain\Z|services/[^/]+/health\Z|webhooks).*)"
)
PEER: Final = re.compile(r"/(?:webrtc|whip|whep)/[^/]+/([^/]+)|/v1/realtime/calls/([^/]+)/hangup")
WHIP: Final = re.compile(r"/(?:webrtc|whip)/([^/]+)")
WHEP: Final = re.compile(r"/whep/([^/]+)")
EVENTS: Final = re.compile(r"/api/sessions/([^/]+)/events")
WEBSOCKET: Final = re.compile(r"/(?:ws(?!/notifications\Z)|ws-client|twilio)/([^/]+)")
RTVI_OFFER: Final = re.compile(r"/sessions/([^/]+)/api/offer")

OFFER, CALLS, REALTIME = "/api/offer", "/v1/realtime/calls", "/v1/realtime"
LIVE = "/v1/live/sessions"
RTVI, PHONE = "/ws-client", "/twilio/voice"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes.

    "here": to whichever process it came to. "all": each process answers for itself. "begin": it
    begins a session, `session_id` where the client has named one. "held": it is about a session
    that is live, in the process that has it. "offer": so it does, and its body
    names the connection that it replaces, if any, and the session where `session_id` does not.
    "trickle": its body names the connection that it is about. "worker": it is about what the
    process `worker` has.
    """

    kind: Kind
    session_id: str | None = None
    worker: int | None = None


HERE: Final = Way("here")


def mark_of(worker: int) -> str:
    """The beginning of the ids of what lives in a process."""
    return f"w{worker}-"


def marked(name: str) -> int | None:
    """The process that made such an id."""
    found = MARK.match(name)
    return None if found is None else int(found[1])


def way_of(method: str, path: str, query: str, workers: int) -> Way:
    """Where an HTTP request goes."""
    if EVERYWHERE.fullmatch(path) and method in ("GET", "POST", "PUT", "DELETE"):
        return Way("all")
    if (found := PEER.fullmatch(path)) is not None:
        return Way("worker", worker=marked(found[1] or found[2]))
    rtvi = RTVI_OFFER.fullmatch(path)
    if method == "PATCH" and (rtvi is not None or path == OFFER):
        return Way("trickle")
    if method == "POST":
        if rtvi is not None or path == OFFER:
            return Way("offer", None if rtvi is None else rtvi[1])
        if path == PHONE:  # no call goes to a full process while another has places
            return Way("begin")
        if path == CALLS:
            return Way("begin", _parameter(query, "session_id"))
        if (found := WHIP.fullmatch(path)) is not None:
            return Way("begin", found[1])
        if (found := WHEP.fullmatch(path)) is not None:
            return Way("held", found[1])
    if method == "GET" and (found := EVENTS.fullmatch(path)) is not None:
        # The ids of events are those of one process, so the same one has all watchers.
        return Way("worker", worker=crc32(found[1].encode()) % workers)
    return HERE


def websocket_way(path: str, query: str) -> Way:
    """Where a WebSocket goes, with or without a slash behind its path."""
    path = path.removesuffix("/")
    if (found := WEBSOCKET.fullmatch(path)) is not None:
        return Way("begin", found[1])
    if path == RTVI:
        return Way("begin")
    if path == REALTIME and (call_id := _parameter(query, "call_id")) is not None:
        return Way("worker", worker=marked(call_id))
    return Way("begin", _parameter(query, "session_id")) if path in (REALTIME, LIVE) else HERE


def way_by_body(way: Way, body: bytes) -> Way:
    """Where an offer or a candidate goes whose body has come: a connection that it names is in one
    process, which has its session, too."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # it is refused where it is
        return HERE
    if not isinstance(value, dict):
        return HERE
    pc_id, session_id = value.get("pc_id"), way.session_id or value.get("session_id")
    if isinstance(pc_id, str) and (worker := marked(pc_id)) is not None:
        return Way("worker", worker=worker)
    if way.kind == "trickle":
        return HERE
    return Way("begin", session_id if isinstance(session_id, str) else None)


def least(states: Sequence[int], loads: Sequence[int], here: int) -> int:
    """The process for a new session: of those that accept one, that with the fewest. `here`, to
    which its client has come, if it is one of these, or if none accepts any."""
    accepting = [worker for worker, state in enumerate(states) if state == ACCEPTING]
    return min(accepting, key=lambda worker: (loads[worker], worker != here), default=here)


def _parameter(query: str, name: str) -> str | None:
    return parse_qs(query).get(name, [None])[0]
