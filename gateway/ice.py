"""The addresses that are offered to WebRTC peers, and the STUN and TURN servers.

`PARLEY_WEBRTC_ADDRESSES` names IP addresses, separated by commas. Media is received on those of
this machine only, instead of all its interfaces (aiortc never offers the loopback address by
itself). A single address that is not of this machine is the public address of its NAT, which must
forward UDP ports unchanged: it is offered instead of the machine's own.

`PARLEY_ICE_SERVERS` names STUN and TURN servers as URLs, separated by commas; a TURN server's
account comes before its host: `turn:user:password@turn.example.org:3478?transport=udp`.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_SERVER = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)@)?"
    r"(?P<host>[A-Za-z0-9.\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?)"
    r"(?P<query>\?transport=(?:udp|tcp))?"
)
_CANDIDATE = re.compile(r"(a=candidate:\S+ \d+ \S+ \d+ )(\S+)( \d+ typ host\b)")


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server. `repr` and errors do not show the password."""

    url: str
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"IceServer({self.url!r})"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that receive media (empty: all interfaces), and the NAT's public address."""

    local: tuple[str, ...] = ()
    public: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether peers connect from the internet: then their private addresses are ignored."""
        given = (*self.local, *((self.public,) if self.public else ()))
        return any(ipaddress.ip_address(address).is_global for address in given)


def parse_addresses(text: str) -> tuple[str, ...]:
    """Parse IP addresses, separated by commas. Raises `ValueError`."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(str(ipaddress.ip_address(part)) for part in parts if part)


def parse_ice_servers(text: str) -> tuple[IceServer, ...]:
    """Parse ICE servers, separated by commas. Raises `ValueError`, which quotes no password."""
    servers = []
    for number, part in enumerate((part for part in text.split(",") if part.strip()), 1):
        match = _SERVER.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"must be URLs like turn:user:password@host:3478; number {number} is not"
            )
        stun = match["scheme"].startswith("stun")
        if stun and (match["user"] or match["query"]):
            raise ValueError(
                f"must give STUN servers no account or transport, as number {number} has"
            )
        url = f"{match['scheme']}:{match['host']}{match['query'] or ''}"
        servers.append(IceServer(url, match["user"], match["password"]))
    return tuple(servers)


def split(addresses: Iterable[str]) -> Addresses:
    """Separate this machine's addresses from the NAT's by trying to bind them.

    Raises `ValueError` if several are not of this machine.
    """
    given = tuple(addresses)
    local = tuple(address for address in given if _is_ours(address))
    foreign = [address for address in given if address not in local]
    if len(foreign) > 1:
        raise ValueError(f"of {', '.join(foreign)} none is an address of this machine")
    return Addresses(local, foreign[0] if foreign else None)


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def with_public(sdp: str, public: str | None) -> str:
    """The SDP with the NAT's address in host candidates of the same address family."""
    if public is None:
        return sdp

    def swap(match: re.Match[str]) -> str:
        same = (":" in match[2]) == (":" in public)
        return f"{match[1]}{public}{match[3]}" if same else match[0]

    return _CANDIDATE.sub(swap, sdp)


def links(servers: Iterable[IceServer]) -> list[str]:
    """The servers as values of `Link` headers (RFC 9725, section 4.6)."""
    found = []
    for server in servers:
        link = f'<{server.url}>; rel="ice-server"'
        if server.user is not None and server.password is not None:
            link += f"; username={_quoted(server.user)}; credential={_quoted(server.password)}"
            link += '; credential-type="password"'
        found.append(link)
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
