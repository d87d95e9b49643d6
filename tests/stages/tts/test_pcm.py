import io
import struct
import wave
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.tts._pcm import PcmReader, WrongAudio

RATE_HZ = 24_000
SAMPLES = np.arange(-500, 500, dtype=np.int16)


def read(*chunks: bytes) -> list[int]:
    reader = PcmReader(RATE_HZ)
    parts = [reader.feed(chunk) for chunk in chunks] + [reader.finish()]
    return [int(sample) for part in parts for sample in part]


def wav(rate_hz: int = RATE_HZ, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, rate_hz, 0, "NONE", ""))
        writer.writeframes(SAMPLES.astype("<i2").tobytes())
    return file.getvalue()


def streamed_wav(size: int, *, extensible: bool = False, extra: bytes = b"") -> bytes:
    """A WAV file as servers stream it: of unknown length, perhaps with other chunks."""
    tag = 0xFFFE if extensible else 1
    fmt = struct.pack("<HHIIHH", tag, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    if extensible:
        fmt += struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    head = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + extra
    data = b"data" + struct.pack("<I", size) + SAMPLES.astype("<i2").tobytes()
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + head + data


WAVS = [
    wav(),
    streamed_wav(0),
    streamed_wav(0xFFFFFFFF),
    streamed_wav(2000, extra=b"LIST" + struct.pack("<I", 3) + b"abc\0"),
    streamed_wav(2000, extensible=True) + b"LIST" + bytes(200),
]


@pytest.mark.parametrize("file", WAVS)
def test_of_a_wav_file_only_the_samples_are_read(file: bytes) -> None:
    assert read(file) == SAMPLES.tolist()
    assert read(*(bytes([byte]) for byte in file)) == SAMPLES.tolist()


@given(st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_samples_do_not_depend_on_how_the_bytes_were_cut(data: bytes, cuts: list[int]) -> None:
    data = b"\0\0" + data
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    whole = np.frombuffer(data[: len(data) & ~1], "<i2").tolist()
    assert read(*chunks) == read(data) == whole


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<!DOCTYPE html>", "HTML"),
        (b"<html><body>", "HTML"),
        (b"<?xml version=", "XML"),
        (b'{"error": {"message":', "JSON"),
        (b'{\n  "detail": 1', "JSON"),
        (b"ID3\x04", "MP3"),
        (b"\xff\xfb\x90\x64", "MP3"),
        (b"\xff\xf3\x84\xc4", "MP3"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"OggS\0\x02", "Ogg"),
        (b"fLaC\0\0", "FLAC"),
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"\0\0\0\x1cftypM4A ", "MP4"),
    ],
)
def test_another_codec_is_named(head: bytes, kind: str) -> None:
    with pytest.raises(WrongAudio, match=f"^the server sent {kind} where pcm was asked for$"):
        read(head + bytes(20))


@pytest.mark.parametrize("first", [-1, -2, -257, -1025 - 256, 0, 1, 255, 32767])
def test_quiet_samples_are_not_taken_for_a_codec(first: int) -> None:
    samples = [first, -1, 3, -4, 0, 15, -16, 2]
    assert read(struct.pack("<8h", *samples)) == samples


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (wav(16_000), "16000 Hz where 24000 Hz were promised"),
        (wav(channels=2), "not mono 16-bit PCM (format 1, 2 channels, 16 bits)"),
        (wav(width=1), "not mono 16-bit PCM (format 1, 1 channels, 8 bits)"),
        (wav()[:30], "half a WAV header"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(8), "without a format"),
        (b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0" + bytes(8), "half a format"),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f" + bytes(8), "endless header"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f" + bytes(8), "half a format"),
    ],
)
def test_a_wav_file_of_another_kind_is_refused(file: bytes, reason: str) -> None:
    with pytest.raises(WrongAudio) as caught:
        read(file)
    assert reason in str(caught.value)
