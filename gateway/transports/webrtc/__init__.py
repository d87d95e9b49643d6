"""Spoken interviews over WebRTC, on aiortc: audio as RTP, the native dialect on a data channel.

`offers` reads offers, `rejected` has the sections that an answer rejects, and `link` answers one
and is a connection, over which `peer` holds a conversation and `viewer` lets somebody listen;
`peers` has all of them, and `both_voices` the sound of listeners. `transport` fills the contract;
`receiving` (with `jitter` and `opus`), `sending`, `video` (with `schedule` and `video_codecs`) and
`face` are its media; `aiortc_private` and `aioice_private` have the private names of those
libraries that are used. These but `jitter`, `offers`, `rejected` and `schedule` need the extra
`webrtc`.

::

    OfferError                    the offer cannot be answered; `reason` is for its sender
    PeerRefused                   the process is full, or the answer took too long; try again later
"""

__all__: list[str] = []
