"""Raw samples from a server's bytes, after a check that they are PCM. Pure.

Servers that are asked for raw PCM sometimes send a WAV file, or the only format they know. Played
as samples, that is noise at full volume, so the first bytes are checked.
"""

import struct

import numpy as np

from pipeline.frames import Samples

_HEAD_BYTES = 12
_MAX_HEADER_BYTES = 4 << 10
_ENDLESS = 0xFFFF_0000
"""A WAV file that was streamed gives 0 or nearly 2**32 as its length."""

_PCM, _EXTENSIBLE = 1, 0xFFFE

_MAGIC = ((b"ID3", "MP3"), (b"OggS", "Ogg"), (b"fLaC", "FLAC"), (b"\x1aE\xdf\xa3", "WebM"))
_TEXTS = ((b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))
_JSON = (b'{"', b"{\n", b"{ ")

_MPEG_SYNCS = (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB)
"""Second byte of an MPEG layer III frame; the next constant is that of AAC in ADTS."""

_ADTS_SYNCS = (0xF0, 0xF1, 0xF8, 0xF9)


class WrongAudio(ValueError):
    """The bytes are not mono 16-bit PCM of the promised rate. The text says their format."""


class PcmReader:
    """One body's bytes, cut anywhere, as mono 16-bit samples of `rate_hz`."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._head: bytes | None = b""  # until the body's format is known
        self._left: int | None = None  # bytes of a WAV file's samples still to come
        self._odd = b""

    def feed(self, data: bytes) -> Samples:
        """The samples that `data` completes. Raises `WrongAudio`."""
        if self._head is not None:
            self._head += data
            if len(self._head) < _HEAD_BYTES:
                return np.zeros(0, np.int16)
            samples = self._begin(self._head)
            if samples is None:
                return np.zeros(0, np.int16)
            self._head, data = None, samples
        return self._samples(data)

    def finish(self) -> Samples:
        """End the body; returns samples that were held back. Raises `WrongAudio`. Half a sample at
        the end is dropped."""
        head, self._head = self._head, None
        if not head:
            return np.zeros(0, np.int16)
        if head.startswith(b"RIFF"):
            raise WrongAudio("the server sent half a WAV header")
        return self._samples(head)

    def _begin(self, head: bytes) -> bytes | None:
        """The samples after the header; None while the header is incomplete."""
        if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
            return self._wav(head)
        if kind := _kind(head):
            raise WrongAudio(f"the server sent {kind} where pcm was asked for")
        return head

    def _wav(self, head: bytes) -> bytes | None:
        at = _HEAD_BYTES
        format_seen = False
        while len(head) >= at + 8:
            name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8
            if name == b"data":
                if not format_seen:
                    raise WrongAudio("the server sent a WAV file without a format")
                self._left = size if 0 < size < _ENDLESS else None
                return head[at:]
            if name == b"fmt ":
                if len(head) < at + size <= _MAX_HEADER_BYTES:
                    return None
                self._check(head[at : at + size])
                format_seen = True
            at += size + size % 2
            if at > _MAX_HEADER_BYTES:
                raise WrongAudio("the server sent a WAV file with an endless header")
        return None

    def _check(self, fmt: bytes) -> None:
        if len(fmt) < 16:
            raise WrongAudio("the server sent a WAV file with half a format")
        tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
        if tag == _EXTENSIBLE and len(fmt) >= 26:
            tag = int.from_bytes(fmt[24:26], "little")
        if (tag, channels, bits) != (_PCM, 1, 16):
            detail = f"format {tag}, {channels} channels, {bits} bits"
            raise WrongAudio(f"the server sent a WAV file that is not mono 16-bit PCM ({detail})")
        check_rate(rate_hz, self._rate_hz)

    def _samples(self, data: bytes) -> Samples:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        data = self._odd + data
        whole = len(data) & ~1
        self._odd = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)


def check_rate(sent_hz: int, promised_hz: int) -> None:
    """Raises `WrongAudio` for a rate other than the promised one."""
    if sent_hz != promised_hz:
        raise WrongAudio(f"the server sent {sent_hz} Hz where {promised_hz} Hz were promised")


def _kind(head: bytes) -> str | None:
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    for magic, kind in _TEXTS:
        if head.lower().startswith(magic):
            return kind
    if head.startswith(_JSON) and head[:_HEAD_BYTES].isascii():
        return "JSON"
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[0] != 0xFF:
        return None
    # These may be samples too: only a frame header has a possible bit rate and sample rate as well.
    if head[1] in _MPEG_SYNCS and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3:
        return "MP3"
    if head[1] in _ADTS_SYNCS and head[2] >> 2 & 15 <= 12:
        return "AAC"
    return None
