"""Spoken interviews over WebRTC, on aiortc: audio as RTP, the native dialect on a data channel.

`offers` screens offers, and `rejected` has the sections that an answer rejects. `link` answers an
offer and is one connection: `peer` holds a conversation over it, and `viewer` lets somebody listen.
`peers` has all connections, and `both_voices` makes the sound for listeners. `transport` implements
the contract; `receiving` (with `jitter` and `opus`), `sending`, `video` (with `schedule` and
`video_codecs`) and `face` are its media; `aiortc_private` and `aioice_private` contain all uses of
private names of those libraries. All modules but `jitter`, `offers`, `rejected` and `schedule` need
the extra `webrtc`.

::

    OfferError                    the offer cannot be answered; `reason` is for its sender
    PeerRefused                   the process is full, or the answer took too long; try again later
"""

__all__: list[str] = []
