"""The `Forwarded` header (RFC 7239), as proxies send it in place of `X-Forwarded-*`. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_HOPS = 50
"""No proxy sends a header with more."""

_TOKEN = r"[!#$%&'*+.^_`|~\w-]+"
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s";,]*'
_PAIR = re.compile(rf"[ \t]*(?:({_TOKEN})[ \t]*=[ \t]*({_VALUE})[ \t]*)?([;,]|\Z)", re.ASCII)
_NODE = re.compile(r"(\d[\d.]*|\[[\da-f:.]+\]|[\da-f.]*:[\da-f.]*:[\da-f:.]*)(?::[\w.-]+)?", re.I)
"""An address and a port. A proxy that hides one writes "unknown" or a name that begins with "_"."""

_LONGEST_NODE = 100
"""An IPv6 address with a port is half as long."""

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hop:
    """One proxy's report of the sender of a request: the address, or `UNKNOWN`, and the scheme, ""
    if it gives none."""

    address: str
    scheme: str = ""


def hops(lines: Sequence[str]) -> tuple[Hop, ...]:
    """The hops in the lines of a header, the client's first; none if the lines are no list of
    pairs, because it is unknown then who wrote what."""
    text = ",".join(lines)
    found: list[Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None or len(found) > MOST_HOPS or (pair[1] or "").lower() in pairs:
            return ()
        if pair[1]:
            pairs[pair[1].lower()] = _unquoted(pair[2])
        at = pair.end()
        if pairs and (pair[3] != ";" or at == len(text)):
            found.append(Hop(_address(pairs.get("for", "")), pairs.get("proto", "").lower()))
            pairs = {}
    return tuple(found)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _address(node: str) -> str:
    known = _NODE.fullmatch(node) if len(node) <= _LONGEST_NODE else None
    return known[1].strip("[]") if known else UNKNOWN
