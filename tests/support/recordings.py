"""Recordings as people upload them, made on the spot: every format, and what is wrong with some."""

import io
import struct
import wave

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream

from pipeline.frames import Samples
from stages._containers import Container

RATE_HZ = 16_000

ENCODINGS: dict[str, tuple[Container, str, str, str, int]] = {
    "wav": ("wav", "wav", "pcm_s16le", "pcm_s16le", 44_100),
    "wav-24": ("wav", "wav", "pcm_s24le", "pcm_s24le", 48_000),
    "wav-float": ("wav", "wav", "pcm_f32le", "pcm_f32le", 48_000),
    "wav-mulaw": ("wav", "wav", "pcm_mulaw", "pcm_mulaw", 8_000),
    "flac": ("flac", "flac", "flac", "flac", 48_000),
    "mp3": ("mp3", "mp3", "libmp3lame", "mp3", 44_100),
    "mp3-low": ("mp3", "mp3", "libmp3lame", "mp3", 22_050),
    "ogg-opus": ("ogg", "ogg", "libopus", "opus", 48_000),
    "ogg-vorbis": ("ogg", "ogg", "vorbis", "vorbis", 44_100),
    "webm": ("webm", "webm", "libopus", "opus", 48_000),
    "m4a": ("mp4", "mp4", "aac", "aac", 44_100),
    "aac": ("aac", "adts", "aac", "aac", 44_100),
}
"""Name: the container as it is sniffed, FFmpeg's name of it, the encoder, the codec, the rate."""


def encoded(pcm: Samples, name: str) -> bytes:
    """16 kHz samples as a file."""
    layout = "stereo" if ENCODINGS[name][2] == "vorbis" else "mono"
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    return _encoded(frame, name, layout)


def stereo(left: Samples, right: Samples, name: str) -> bytes:
    """Two channels of 16 kHz samples as a file."""
    pcm = np.stack((left, right), axis=1).reshape(1, -1)
    return _encoded(av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo"), name, "stereo")


def _encoded(frame: av.AudioFrame, name: str, layout: str) -> bytes:
    _, container, codec, _, rate_hz = ENCODINGS[name]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout=layout, options={"strict": "-2"})
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format,
            layout=layout,
            rate=rate_hz,
            frame_size=context.frame_size or None,
        )
        frame.sample_rate = RATE_HZ
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in stream.encode(resampled):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return buffer.getvalue()


def tracks(container: str, codec: str, *sounds: Samples) -> bytes:
    """A file with a track for each of these sounds, at 48 kHz."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        streams = [file.add_stream(codec, rate=48_000, layout="mono") for _ in sounds]
        for stream, pcm in zip(streams, sounds, strict=True):
            assert isinstance(stream, AudioStream)
            context = stream.codec_context
            resampler = av.AudioResampler(
                format=context.format, layout="mono", rate=48_000, frame_size=context.frame_size
            )
            frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = RATE_HZ
            for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
                file.mux(stream.encode(resampled))
            file.mux(stream.encode(None))
    return buffer.getvalue()


def surround(pcm: Samples, layout: str) -> bytes:
    """The same sound in every channel, in AAC at 48 kHz, as a camera writes it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=48_000)
        stream.layout = layout
        channels = stream.layout.nb_channels
        sound = np.repeat(pcm.astype(np.float32)[None] / 32768, channels, axis=0)
        for start in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, start : start + 1024])
            frame = av.AudioFrame(format="fltp", layout=layout, samples=part.shape[1])
            for plane, samples in zip(frame.planes, part, strict=False):
                plane.update(samples.tobytes().ljust(plane.buffer_size, b"\0"))
            frame.sample_rate = 48_000
            frame.pts = start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def tagged(data: bytes, size: int = 300) -> bytes:
    """A file behind an ID3 tag."""
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + length + bytes(size) + data


def id3v1() -> bytes:
    """A tag for the end of a file."""
    return b"TAG" + b"A title".ljust(125, b"\0")


def ape(size: int) -> bytes:
    """A tag for the end of a file, with its header and its footer."""
    item = struct.pack("<II", size, 0) + b"Title\0" + b"x" * size
    length = len(item) + 32
    ends = [struct.pack("<IIII", 2000, length, 1, flags) for flags in (0xA0000000, 0x80000000)]
    return b"APETAGEX%b%b%bAPETAGEX%b%b" % (ends[0], bytes(8), item, ends[1], bytes(8))


def uncounted(pcm: Samples, quality: int) -> bytes:
    """MP3 of a varying bit rate that does not state its length."""
    buffer = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(buffer, "w", format="mp3", options=options) as file:
        variable = {"flags": "+qscale", "global_quality": str(118 * quality)}
        stream = file.add_stream("libmp3lame", rate=44_100, layout="mono", options=variable)
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format, layout="mono", rate=44_100, frame_size=context.frame_size
        )
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(resampled))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def lyrics() -> bytes:
    """A tag for the end of a file, which an ID3v1 follows."""
    said = b"LYRICSBEGIN" + b"IND0000200LYR00004la la"
    return said + b"%06dLYRICS200" % len(said)


def long_wav(pcm: Samples, magic: bytes) -> bytes:
    """A WAV file in the form that may be longer than 4 GB (RF64, BW64)."""
    sound = pcm.tobytes()
    sizes = struct.pack("<QQQI", len(sound) + 72, len(sound), len(pcm), 0)
    kind = struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16)
    head = [magic, b"\xff" * 4, b"WAVEds64", struct.pack("<I", len(sizes)), sizes]
    return b"".join([*head, b"fmt \x10\0\0\0", kind, b"data", b"\xff" * 4, sound])


def live_webm(pcm: Samples) -> bytes:
    """As a browser records: with no lengths, since nothing can be gone back to."""
    webm = bytearray(encoded(pcm, "webm"))
    for name in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"):
        at = -1
        while (at := webm.find(name, at + 1)) >= 0:
            extra = 8 - webm[at + 4].bit_length()
            if webm[at + 4] and at + 5 + extra <= len(webm):
                unknown = (1 << 7 * (extra + 1) + 1) - 1
                webm[at + 4 : at + 5 + extra] = unknown.to_bytes(extra + 1)
    return bytes(webm)


def fragmented_mp4(pcm: Samples) -> bytes:
    """As Safari records: a movie fragment for each second."""
    buffer = io.BytesIO()
    options = {
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
        "frag_duration": "1000000",
    }
    with av.open(buffer, "w", format="mp4", options=options) as file:
        stream = file.add_stream("aac", rate=48_000, layout="mono")
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format, layout="mono", rate=48_000, frame_size=context.frame_size
        )
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(resampled))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def wav(pcm: Samples, *, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    """A plain WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def float_wav(samples: np.ndarray) -> bytes:
    """Samples as they are, numbers or not."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.float32), RATE_HZ, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def lying_wav(*, channels: int, rate_hz: int, size: int = 10_000) -> bytes:
    """A WAV file whose header says what it is told to say."""
    block = channels * 2
    body = b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, channels, rate_hz, min(rate_hz * block, 2**32 - 1), block % 65_536, 16
    )
    body += b"data" + struct.pack("<I", size) + bytes(size)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac_of(pcm: Samples, *, rate_hz: int | None = None, frames: int | None = None) -> bytes:
    """FLAC whose STREAMINFO claims another rate or number of frames than it has."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, RATE_HZ, format="FLAC", subtype="PCM_16")
    flac = bytearray(buffer.getvalue())
    bits = int.from_bytes(flac[18:26])  # rate 20, channels 3, bits 5, frames 36
    if rate_hz is not None:
        bits = bits & ~(0xFFFFF << 44) | rate_hz << 44
    if frames is not None:
        bits = bits & ~(2**36 - 1) | frames
    flac[18:26] = bits.to_bytes(8)
    return bytes(flac)


def silent_flac(minutes: int) -> bytes:
    """Silence, which FLAC shrinks to next to nothing: a large sound in a small file."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 48_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(np.zeros(60 * 48_000, np.int16))
    return buffer.getvalue()
