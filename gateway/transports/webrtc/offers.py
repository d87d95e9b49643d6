"""Screening of a client's SDP before aiortc parses it. Pure.

An offer makes this machine send packets to addresses that the client chooses. So its size and shape
are bounded, and candidates that no honest client has are removed: transports other than UDP, low
ports, host names, and private addresses if this server is on the internet.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["call", "ingest", "playback"]
"""The use of a connection: sound both ways, only from the client (WHIP), or only to it (WHEP)."""

MAX_BYTES = 16 * 1024
MOST_LINES = 600
LONGEST_LINE = 1_000
MOST_SECTIONS = 4
MOST_OF_KIND = {"audio": 1, "video": 2, "application": 1}
"""The most sections of each kind. A second one of video is allowed, and rejected by itself:
Pipecat's clients offer one for the screen."""
MOST_CANDIDATES = 16
LOWEST_PORT = 1024

PLACEHOLDER = "a=candidate:0 1 udp 1 192.0.2.1 1024 typ host"
"""Keeps ICE waiting if an offer has no usable candidate: for candidates that trickle in, and for
checks from the peer, which knows the server's addresses. 192.0.2.0/24 is reserved (RFC 5737)."""

_CANDIDATE = re.compile(
    r"a=candidate:[\x21-\x7e]{1,64} [12] (?P<transport>\w{1,8}) \d{1,10} "
    r"(?P<host>[0-9A-Za-z.:\-]{1,255}) (?P<port>\d{1,5}) typ \w{1,16}(?: [\x21-\x7e]+)*"
)
_SECTION = re.compile(r"m=(?P<kind>[a-z]{1,20}) \d{1,5} [A-Z/]{1,30} [\x20-\x7e]{1,400}")
_OPUS = re.compile(r"a=rtpmap:\d{1,3} opus/48000/2", re.IGNORECASE)
_CREDENTIALS = {
    "a=ice-ufrag:": re.compile(r"[A-Za-z0-9+/]{4,256}"),
    "a=ice-pwd:": re.compile(r"[A-Za-z0-9+/]{22,256}"),
    "a=fingerprint:": re.compile(r"[A-Za-z0-9\-]{1,20} [0-9A-Fa-f:]{2,200}"),
    "a=setup:": re.compile(r"actpass|active|passive"),
    "a=mid:": re.compile(r"[\x21-\x7e]{1,64}"),
}
_DIRECTIONS = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")
_IMPOSSIBLE = {
    "call": {"a=inactive": "the audio is inactive"},
    "ingest": {
        "a=inactive": "the audio is inactive",
        "a=recvonly": "audio is taken here, and not sent; offer sendonly",
    },
    "playback": {
        "a=inactive": "the audio is inactive",
        "a=sendonly": "audio is sent from here, and not taken; offer recvonly",
    },
}
"""Directions of the audio that cannot be answered for a purpose, and why."""
_NEEDED = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")


class OfferError(Exception):
    """The offer cannot be answered. `unusable`: it is well formed, but asks for the unsupported."""

    def __init__(self, reason: str, *, unusable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unusable = unusable


@dataclass(frozen=True, slots=True)
class Offer:
    """A screened offer. `mid` names the section that carries the transport."""

    sdp: str
    mid: str
    ufrag: str
    has_channel: bool


def screen(sdp: str, *, public: bool, purpose: Purpose = "call") -> Offer:
    """The offer with usable candidates only. Raises `OfferError`.

    `public` says that this server is on the internet: then private addresses are not usable.
    """
    lines = _lines(sdp)
    if not lines or lines[0] != "v=0":
        raise OfferError("an SDP begins with v=0")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        raise OfferError("the offer has no media")
    if len(starts) > MOST_SECTIONS:
        raise OfferError(f"at most {MOST_SECTIONS} media sections are answered", unusable=True)
    head = lines[: starts[0]]
    sections = [
        lines[begin:end] for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]
    kinds = [_kind(section[0]) for section in sections]
    for kind, most in MOST_OF_KIND.items():
        if kinds.count(kind) > most:
            raise OfferError(f"at most {most} {kind} sections are answered", unusable=True)
    if "audio" not in kinds:
        raise OfferError("the offer has no audio", unusable=True)
    audio = sections[kinds.index("audio")]
    if not any(_OPUS.fullmatch(line) for line in audio):
        raise OfferError("the audio must be Opus", unusable=True)
    directed = audio if any(line in _DIRECTIONS for line in audio) else head
    for direction, why in _IMPOSSIBLE[purpose].items():
        if direction in directed:
            raise OfferError(why, unusable=True)
    mids = [_values("a=mid:", section) for section in sections]
    if any(len(of_section) != 1 for of_section in mids) or len({m[0] for m in mids}) < len(mids):
        raise OfferError("each media section needs a mid of its own")
    ufrag = ""
    for section in sections:
        for name in _NEEDED:
            values = _values(name, section) or _values(name, head)
            if not values:
                raise OfferError(f"a media section has no {name[2:-1]}")
            if name == "a=ice-ufrag:":
                ufrag = ufrag or values[0]
    kept = _screened([head, *sections], public)
    first = _primary(head, [m[0] for m in mids])
    return Offer("\r\n".join([*kept, ""]), first, ufrag, "application" in kinds)


def _lines(text: str) -> list[str]:
    if len(text) > MAX_BYTES:
        raise OfferError(f"the SDP is longer than {MAX_BYTES} bytes")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > MOST_LINES:
        raise OfferError(f"the SDP has more than {MOST_LINES} lines")
    for line in lines:
        if len(line) > LONGEST_LINE or not line.isprintable() or line[1:2] != "=":
            raise OfferError("a line of the SDP is not one")
    return lines


def _kind(line: str) -> str:
    match = _SECTION.fullmatch(line)
    if match is None or match["kind"] not in ("audio", "video", "application"):
        raise OfferError("a media section is neither audio, video nor data")
    return match["kind"]


def _values(name: str, lines: list[str]) -> list[str]:
    values = [line[len(name) :].strip() for line in lines if line.startswith(name)]
    if not all(_CREDENTIALS[name].fullmatch(value) for value in values):
        raise OfferError(f"{name[2:-1]} has an impossible value")
    return values


def _primary(head: list[str], mids: list[str]) -> str:
    """The mid whose transport is shared. Raises `OfferError` if a bundle names unknown mids."""
    bundles = [line.split()[1:] for line in head if line.startswith("a=group:BUNDLE")]
    if len(bundles) > 1 or any(mid not in mids for bundle in bundles for mid in bundle):
        raise OfferError("the bundle names what is not in the offer")
    return bundles[0][0] if bundles and bundles[0] else mids[0]


def _screened(parts: list[list[str]], public: bool) -> list[str]:
    """All lines with the usable candidates; `PLACEHOLDER` in a section that has none."""
    head, *sections = parts
    kept = [line for line in head if not line.startswith("a=candidate:")]
    left = MOST_CANDIDATES
    for section in sections:
        candidates = [line for line in section if line.startswith("a=candidate:")]
        usable = [line for line in candidates if is_usable(line, public=public)][:left]
        left -= len(usable)
        ended = "a=end-of-candidates" in section and bool(usable)
        kept += [
            line
            for line in section
            if not line.startswith("a=candidate:") and line != "a=end-of-candidates"
        ]
        kept += usable or [PLACEHOLDER]
        if ended:
            kept.append("a=end-of-candidates")
    return kept


def is_usable(line: str, *, public: bool) -> bool:
    """Whether packets may be sent to a candidate."""
    match = _CANDIDATE.fullmatch(line)
    if match is None or match["transport"].lower() != "udp":
        return False
    if not LOWEST_PORT <= int(match["port"]) <= 65535:
        return False
    try:
        address = ipaddress.ip_address(match["host"])
    except ValueError:
        return False  # a name, as mDNS has them; such a client can reach the server instead
    reserved = address.is_multicast or address.is_unspecified or address.is_link_local
    if reserved or str(address) == "255.255.255.255":
        return False
    return address.is_global or not public


def credentials_of(fragment: str) -> tuple[str, str] | None:
    """The ICE credentials in a fragment; None if it has none, or several. Raises `OfferError`."""
    lines = _lines(fragment)
    names, passwords = _values("a=ice-ufrag:", lines), _values("a=ice-pwd:", lines)
    if len({*names}) != 1 or len({*passwords}) != 1:
        return None
    return names[0], passwords[0]


def restart_of(fragment: str, *, ufrag: str) -> tuple[str, str] | None:
    """The credentials in a `trickle-ice-sdpfrag` whose sender wants to restart ICE; None if they
    are the sender's present ones. Raises `OfferError`."""
    if all(name == ufrag for name in _values("a=ice-ufrag:", _lines(fragment))):
        return None
    wanted = credentials_of(fragment)
    if wanted is None:
        raise OfferError("a restart of ICE needs one ice-ufrag and one ice-pwd")
    return wanted


def trickled(fragment: str, *, ufrag: str, public: bool) -> list[str]:
    """The usable candidates of a `trickle-ice-sdpfrag` (RFC 8840), without `a=candidate:`.

    Raises `OfferError`; it is `unusable` if the credentials differ, which would restart ICE.
    """
    lines = _lines(fragment)
    if any(value != ufrag for value in _values("a=ice-ufrag:", lines)):
        raise OfferError("ICE cannot be restarted; make a new connection", unusable=True)
    found = [line for line in lines if line.startswith("a=candidate:")]
    usable = [line for line in found if is_usable(line, public=public)]
    return [line.removeprefix("a=candidate:") for line in usable[:MOST_CANDIDATES]]
