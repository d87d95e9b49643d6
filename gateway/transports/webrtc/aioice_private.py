"""All uses of aioice, and of its private names, as functions and classes named by what they do.

Written for aioice 0.10 to 0.13 under aiortc 1.15 and 1.16; the names are listed with those of
`aiortc_private`.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import aioice.ice
from aiortc import RTCDtlsTransport
from aiortc.exceptions import InvalidStateError


class _Pairs(dict[int, aioice.ice.CandidatePair]):
    """The nominated pairs of ICE that was restarted: none yet, but media goes over the old ones."""

    def __init__(self, old: dict[int, aioice.ice.CandidatePair]) -> None:
        super().__init__()
        self._old = dict(old)

    def get(self, component: int, default: Any = None) -> Any:
        return super().get(component) or self._old.get(component, default)


class IceRestart:
    """ICE of a connected transport, begun anew on the same sockets (RFC 8445, section 9).

    aiortc has no such thing. From here on `ufrag` and `password` are this side's, and old checks of
    the peer are refused; DTLS, SRTP and the media over the old pair of candidates go on until
    `connect` has found a new one. Raises `InvalidStateError` where ICE has not agreed yet.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        ice: Any = transport.transport
        inside: Any = ice._connection
        if ice.state != "completed":
            raise InvalidStateError("ICE has not agreed on anything yet, or has ended")
        self._connection: Any = inside
        if inside._query_consent_task is not None:
            inside._query_consent_task.cancel()
            inside._query_consent_task = None
        for pair in inside._check_list:
            if pair.task is not None:
                pair.task.cancel()
        inside._local_username = secrets.token_hex(4)
        inside._local_password = secrets.token_hex(12)
        inside._remote_candidates, inside._remote_candidates_end = [], False
        ice.iceGatherer._remote_candidates_end = False
        inside._check_list, inside._check_list_done = [], False
        inside._check_list_state = asyncio.Queue()
        inside._early_checks.clear()
        inside._early_checks_done = False
        inside._nominated = _Pairs(inside._nominated)
        inside._nominating.clear()

        async def received() -> bytes:  # aioice's own wants a nominated pair
            data = await inside._queue.get()
            if data is None:
                raise ConnectionError("Connection lost while receiving data")
            return cast("bytes", data[0])

        ice._recv = received
        self.ufrag: str = inside.local_username
        self.password: str = inside.local_password

    async def connect(self, ufrag: str, password: str) -> None:
        """Agree with the peer, whose credentials these are. Raises `ConnectionError`."""
        self._connection.remote_username = ufrag
        self._connection.remote_password = password
        await self._connection.connect()


def selected_pair(transport: RTCDtlsTransport) -> aioice.ice.CandidatePair | None:
    """The ICE candidates in use; None before ICE has agreed on a pair."""
    inside: Any = transport.transport
    return cast("aioice.ice.CandidatePair | None", inside._connection._nominated.get(1))


@contextmanager
def use_addresses(*addresses: str, only: bool) -> Iterator[None]:
    """Offer these local addresses as candidates: `only` them, or besides those aioice finds.

    aioice itself leaves the loopback address out. Holds for all connections of the process while
    the block lasts.
    """
    module: Any = aioice.ice
    found = module.get_host_addresses

    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        own = [a for a in addresses if (use_ipv6 if ":" in a else use_ipv4)]
        return own if only else [*dict.fromkeys([*found(use_ipv4, use_ipv6), *own])]

    module.get_host_addresses = host_addresses
    try:
        yield
    finally:
        module.get_host_addresses = found
