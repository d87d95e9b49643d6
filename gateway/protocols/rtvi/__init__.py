"""RTVI 2.1, the messages of Pipecat's clients, as a dialect. Pure.

`messages` reads a client's messages, `events` makes those to it, `functions` those about functions
that the client runs, and `Rtvi` does all of it for one client over WebRTC. `FramedRtvi` puts them,
and the audio, into the binary messages of RTVI's WebSocket, which `frames` reads and writes.
`docs/rtvi.md` documents all of it.
"""

from gateway.protocols.rtvi.dialect import Rtvi
from gateway.protocols.rtvi.framed import FramedRtvi

__all__ = ["FramedRtvi", "Rtvi"]
