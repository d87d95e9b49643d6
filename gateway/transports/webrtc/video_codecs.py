"""Chooses the video codec for an answer, and splits its encoded pictures into RTP payloads."""

import secrets
from collections.abc import Sequence

from aiortc import RTCRtpCodecParameters
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import SessionDescription

from gateway.transports.webrtc.aiortc_private import h264_payloads, vp8_payloads
from stages.avatar.encoding import Codec
from stages.avatar.encoding import codecs as encodable

PICTURE_IDS = 1 << 15


def choose(codecs: Sequence[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    """The codec to answer with, and its retransmission if that is offered; empty if none is usable.

    H.264 of constrained baseline is preferred, then baseline, which contains it, then VP8.
    """
    possible = encodable()
    for codec, profile in (("h264", "42e01f"), ("h264", "42001f"), ("vp8", None)):
        for base in codecs if codec in possible else ():
            offered = str(base.parameters.get("profile-level-id", "42e01f")).lower()
            if base.mimeType.lower() == f"video/{codec}" and profile in (None, offered):
                again = (c for c in codecs if c.parameters.get("apt") == base.payloadType)
                return [base, *again]
    return []


def unknown_video(offer: str) -> list[str]:
    """The mids of the video sections of which aiortc knows no codec.

    It refuses AV1, H.265, VP9, H.264 of other profiles and of packetization mode 0, and sections
    that do not multiplex RTCP.
    """
    return [
        section.rtp.muxId
        for section in SessionDescription.parse(offer).media
        if section.kind == "video"
        and not (section.rtcp_mux and find_common_codecs(CODECS["video"], section.rtp.codecs))
    ]


def codec_of(parameters: RTCRtpCodecParameters) -> Codec:
    """The encoder's name of a codec that `choose` returned."""
    return "h264" if parameters.mimeType.lower() == "video/h264" else "vp8"


class Packetizer:
    """Splits the encoded pictures of one track into RTP payloads."""

    def __init__(self) -> None:
        self._picture_id = secrets.randbits(15)  # VP8 numbers its pictures

    def payloads(self, codec: Codec, unit: bytes) -> list[bytes]:
        """The payloads of one encoded picture, in order."""
        if codec == "h264":
            return h264_payloads(unit)
        payloads = vp8_payloads(unit, self._picture_id)
        self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        return payloads
