"""Spoken interviews over WebRTC, on aiortc: audio as RTP, the native dialect on a data channel.

`peer`, `peers`, `receiving` and `sending` need the extra `webrtc`.

::

    OfferError                    the offer cannot be answered; `reason` is for its sender
    Refused                       there is no place, or no time; try again later
"""
