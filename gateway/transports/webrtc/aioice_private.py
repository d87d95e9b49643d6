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
    """The nominated pairs while ICE restarts: none yet, but media goes over the old ones."""

    def __init__(self, old: dict[int, aioice.ice.CandidatePair]) -> None:
        super().__init__()
        self._old = dict(old)

    def get(self, component: int, default: Any = None) -> Any:
        return super().get(component) or self._old.get(component, default)


_GENERATION = (
    *("_local_username", "_local_password", "remote_username", "remote_password"),
    *("_remote_candidates", "_remote_candidates_end", "_early_checks_done"),
    *("_check_list", "_check_list_done", "_check_list_state", "_nominated", "_nominating"),
)
"""The attributes of an ICE connection that a restart sets anew."""


class IceRestart:
    """Restarts ICE of a connected transport on the same sockets (RFC 8445, section 9).

    aiortc cannot do this. From now on `ufrag` and `password` are this side's credentials. DTLS,
    SRTP and the media over the old pair of candidates go on until `connect` has found a new pair.
    Until then the peer's checks of the old pair are answered, too: the peer makes them until it has
    this side's credentials, and treats a pair that does not answer as dead (RFC 7675). `undo` gives
    up the new credentials. Raises `InvalidStateError` if ICE has not agreed on a pair yet.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        ice: Any = transport.transport
        inside: Any = ice._connection
        if ice.state != "completed":
            raise InvalidStateError("ICE has not agreed on anything yet, or has ended")
        self._ice: Any = ice
        self._connection: Any = inside
        self._old: dict[str, Any] | None = {name: getattr(inside, name) for name in _GENERATION}
        self._ended = ice.iceGatherer._remote_candidates_end
        self._stop_checks()
        inside._local_username = secrets.token_hex(4)
        inside._local_password = secrets.token_hex(12)
        inside._remote_candidates, inside._remote_candidates_end = [], False
        ice.iceGatherer._remote_candidates_end = False
        inside._check_list, inside._check_list_done = [], False
        inside._check_list_state = asyncio.Queue()
        inside._early_checks.clear()
        inside._early_checks_done = False
        inside._nominated = _Pairs(inside._nominated)
        inside._nominating = set()
        inside.request_received = self._request_received

        async def received() -> bytes:  # aioice's own wants a nominated pair
            data = await inside._queue.get()
            if data is None:
                raise ConnectionError("Connection lost while receiving data")
            return cast("bytes", data[0])

        ice._recv = received
        self.ufrag: str = inside.local_username
        self.password: str = inside.local_password

    async def connect(self, ufrag: str, password: str) -> None:
        """Agree on a pair with the peer that has these credentials. Raises `ConnectionError`. After
        an error or a cancellation, nothing is undone yet."""
        self._connection.remote_username = ufrag
        self._connection.remote_password = password
        await self._connection.connect()
        self._over()

    def undo(self) -> bool:
        """Go on with the old pair, and check it as before. False if `connect` has agreed on a new
        pair, or the transport is closed."""
        old, inside = self._old, self._connection
        if old is None or self._ice.state != "completed":
            return False
        self._stop_checks()
        inside._early_checks.clear()
        for name, value in old.items():
            setattr(inside, name, value)
        self._ice.iceGatherer._remote_candidates_end = self._ended
        self._over()
        inside._query_consent_task = asyncio.create_task(inside.query_consent())
        return True

    def _over(self) -> None:
        self._old = None
        del self._connection.request_received

    def _stop_checks(self) -> None:
        inside = self._connection
        if inside._query_consent_task is not None:
            inside._query_consent_task.cancel()
            inside._query_consent_task = None
        for pair in inside._check_list:
            if pair.task is not None:
                pair.task.cancel()

    def _request_received(self, message: Any, *about: Any) -> None:
        """Handle a check. One of the old pair is answered and changes nothing; others are of a new
        pair."""
        inside, old = self._connection, self._old
        usual = type(inside).request_received
        name = str(message.attributes.get("USERNAME", "")).partition(":")[0]
        if old is None or name != old["_local_username"]:
            usual(inside, message, *about)
            return
        swapped = ("_local_username", "_local_password", "remote_username", "_early_checks_done")
        new = {name: getattr(inside, name) for name in swapped}
        inside.check_incoming = lambda *check: None
        try:
            for name in swapped:
                setattr(inside, name, old[name])
            usual(inside, message, *about)
        finally:
            del inside.check_incoming
            for name, value in new.items():
                setattr(inside, name, value)


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
