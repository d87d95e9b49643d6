"""Readers and writers of PCM16, mu-law, A-law and Opus, to and from the engine's samples."""

import json
import sys

import numpy as np

from gateway.media.format import LONGEST_MESSAGE_MS, AudioFormat
from gateway.media.g711 import CODES, EXPANSIONS
from gateway.media.opus import OpusDecoder, OpusEncoder
from gateway.media.opus_packets import LOST, PACKET_MS, NotOpus, check, duration_ms
from gateway.media.resampling import converter
from pipeline.downmix import Downmix
from pipeline.frames import INPUT_RATE_HZ, ReplyAudio, Samples

LONGEST_JSON_BYTES = 64 * 1024
"""Longer messages are refused by their length, unread."""

LITTLE = sys.byteorder == "little"


def decode(data: bytes, audio: AudioFormat) -> Samples:
    """Bytes of `audio` (a whole number of samples, no Opus) as mono samples at its rate."""
    pcm = _expanded(data, audio)
    return pcm if audio.channels == 1 else Downmix(audio.rate_hz).push(pcm.reshape(-1, 2))


def _expanded(data: bytes, audio: AudioFormat) -> Samples:
    if audio.encoding == "pcm_s16le":
        return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
    return EXPANSIONS[audio.encoding][np.frombuffer(data, np.uint8)]


def encode(pcm: Samples, audio: AudioFormat) -> bytes:
    """Mono samples at the rate of `audio` as bytes; not for Opus."""
    if audio.encoding == "pcm_s16le":
        return pcm.astype("<i2", copy=False).tobytes()
    return CODES[audio.encoding][pcm.astype(np.int32) + 32768].tobytes()


class RefusedAudio(ValueError):
    """A message's audio cannot be read. `code` is the error's code in the dialects.

    `lost_ms` is the length of the silence or noise to put in its place, 0 for none.
    """

    def __init__(self, code: str, message: str, *, lost_ms: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.lost_ms = lost_ms


class SampleReader:
    """Reads PCM16, mu-law or A-law messages, in order, as samples at 16 kHz. Keeps state."""

    lost = b""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._sample_bytes = audio.sample_bytes
        self._longest = LONGEST_MESSAGE_MS * audio.sample_bytes * audio.rate_hz // 1000
        self._ms_per_byte = 1000 / (audio.sample_bytes * audio.rate_hz)
        self._plain = audio.encoding == "pcm_s16le" and audio.channels == 1
        self._unchanged = audio.rate_hz == INPUT_RATE_HZ
        self._rate = converter(audio.rate_hz, INPUT_RATE_HZ)
        self._mix = None if audio.channels == 1 else Downmix(audio.rate_hz)

    def duration_ms(self, data: bytes) -> float:
        """How long a message's audio lasts; 0 for an empty one. Raises `RefusedAudio`."""
        if data[:1] == b"{":
            _refuse_json(data)
        if len(data) % self._sample_bytes:
            raise RefusedAudio(
                "odd_audio",
                f"{len(data)} bytes are not a whole number of {self._sample_bytes}-byte samples",
            )
        if len(data) > self._longest:
            raise _too_long(len(data) * self._ms_per_byte)
        return len(data) * self._ms_per_byte

    def read(self, data: bytes) -> Samples:
        """The samples of a message."""
        if self._plain and LITTLE:
            pcm = np.frombuffer(data, np.int16)
        else:
            pcm = _expanded(data, self._audio)
        if self._mix is not None:
            pcm = self._mix.push(pcm.reshape(-1, 2))
        return pcm if self._unchanged else self._rate.push(pcm)


class OpusReader:
    """Reads Opus packets, one a message and in order, as samples at 16 kHz. Keeps state."""

    lost = LOST

    def __init__(self, channels: int = 1) -> None:
        self._decoder = OpusDecoder(channels)

    def duration_ms(self, data: bytes) -> float:
        """How long a packet's audio lasts; 0 for an empty message. Raises `RefusedAudio`."""
        if not data:
            return 0.0
        if data[:1] == b"{":
            _refuse_json(data)
        try:
            check(data)
        except NotOpus as error:
            raise RefusedAudio("bad_packet", str(error), lost_ms=PACKET_MS) from None
        duration = duration_ms(data)
        if duration > LONGEST_MESSAGE_MS:
            raise _too_long(duration)
        return duration

    def read(self, data: bytes) -> Samples:
        """The samples of a checked packet; one that libopus still refuses is concealed as lost."""
        try:
            return self._decoder.decode(data)
        except NotOpus:
            return self._decoder.decode(LOST)


def _refuse_json(data: bytes) -> None:
    """Raises `RefusedAudio` for a message that is a JSON object from its first byte to its last."""
    if len(data) > LONGEST_JSON_BYTES or not data.rstrip().endswith(b"}"):
        return
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        return
    if not found:  # {} is a sample
        return
    raise RefusedAudio(
        "json_in_binary", "this is JSON in a binary message; send it as a text message"
    )


def reader_of(audio: AudioFormat) -> SampleReader | OpusReader:
    """The reader of one client's audio, chosen once for its format."""
    return OpusReader(audio.channels) if audio.encoding == "opus" else SampleReader(audio)


def _too_long(duration_ms: float) -> RefusedAudio:
    return RefusedAudio(
        "audio_too_long",
        f"{duration_ms:.0f} ms of audio in one message;"
        f" at most {LONGEST_MESSAGE_MS} ms are allowed",
    )


class AudioWriter:
    """Writes one client's reply audio as messages, one per frame."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus: OpusEncoder | None = None

    def write(self, frame: ReplyAudio) -> bytes:
        """The message for a frame of at most 20 ms, at the rate of the client's format."""
        if self._audio.encoding != "opus":
            return encode(frame.pcm, self._audio)
        if self._opus is None or frame.at_ms == 0:
            self._opus = OpusEncoder(self._audio.rate_hz)
        return self._opus.encode(frame.pcm)

    def clear(self) -> None:
        """Reset the encoder, so that the next frame carries no sound of the last ones."""
        self._opus = None
