"""Spoken interviews over WebRTC, on aiortc: audio as RTP, the native dialect on a data channel.

All modules but `jitter`, `offers`, `opus` and `schedule` need the extra `webrtc`.

::

    OfferError                    the offer cannot be answered; `reason` is for its sender
    PeerRefused                   the process is full, or the answer took too long; try again later
"""
