"""Shortcuts through aiortc for what happens a hundred times a second in every session.

aiortc passes each packet that comes through a queue to a task, and sends through coroutines that a
task has to run. The event loop turns once more for each of them, which costs as much as the work
itself. None of these coroutines ever waits, so plain calls do.

Private names of aiortc 1.15 and 1.16 and of aioice 0.10 to 0.13; the tests of a whole conversation
stand guard.
"""

from collections.abc import Coroutine
from typing import Any

import pylibsrtp
from aiortc import RTCDtlsTransport, clock
from aiortc.rtcdtlstransport import State
from aiortc.rtp import is_rtcp

LONGEST = 1500
"""Bytes of a datagram, as many as libsrtp's buffer and an Ethernet packet hold. Longer ones raise
what ends aiortc's transport, and anybody can send them."""

MOST_SSRCS = 16
"""aiortc keeps statistics of each for ever, and cannot report on more than 255."""


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that does not wait. Raises what it raises, `RuntimeError` where it waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"{coroutine} waits")


def receive_at_once(transport: RTCDtlsTransport) -> None:
    """Let RTP that comes be handled as it comes, while the transport is connected.

    RTP that comes before or after is dropped, as are datagrams of a size that aiortc does not
    bear and more sources than `MOST_SSRCS`; all else goes the usual way. Decryption, counting,
    parsing and routing remain aiortc's. Idempotent; best before the handshake.
    """
    dtls: Any = transport
    connection = dtls.transport._connection
    if getattr(connection, "_at_once", False):
        return
    connection._at_once = True
    usual = connection.data_received
    ssrcs: set[bytes] = set()

    def came(data: bytes, component: int) -> None:
        if not 0 < len(data) <= LONGEST:
            return
        if not 127 < data[0] < 192 or is_rtcp(data):  # RFC 7983
            usual(data, component)
            return
        if dtls._state is not State.CONNECTED:
            return
        dtls._RTCDtlsTransport__rx_bytes += len(data)
        dtls._RTCDtlsTransport__rx_packets += 1
        try:
            packet = dtls._rx_srtp.unprotect(data)
        except pylibsrtp.Error:
            return  # forged, or a repetition
        ssrc = packet[8:12]
        if ssrc not in ssrcs:
            if len(ssrcs) >= MOST_SSRCS:
                return
            ssrcs.add(ssrc)
        at_once(dtls._handle_rtp_data(packet, arrival_time_ms=clock.current_ms()))

    connection.data_received = came
