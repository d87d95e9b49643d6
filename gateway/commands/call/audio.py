"""The caller's audio: files, read within limits, and microphone frames."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from gateway.media.codecs import encode
from gateway.media.format import AudioFormat
from gateway.media.resampling import converter
from pipeline.frames import INPUT_RATE_HZ, Samples

FRAME_MS = 20
LONGEST_FILE_S = 600
LOWEST_FILE_RATE_HZ = 8_000
HIGHEST_FILE_RATE_HZ = 192_000
MOST_CHANNELS = 2
CHUNK_S = 1


class UnusableAudio(Exception):
    """The file cannot be played. `reason` is a phrase for a person."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


# --- files -----------------------------------------------------------------------------------


def read(path: Path) -> Samples:
    """A WAV, FLAC, OGG or MP3 file as mono samples at 16 kHz. Raises `UnusableAudio`.

    It is decoded a second at a time and its header is not trusted: `LONGEST_FILE_S` bounds memory
    and time, whatever the header says.
    """
    try:
        if not path.is_file():
            raise UnusableAudio(path, "there is no such file")
        # By file number: soundfile would take the file's name for its format.
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            _check(path, sound)
            parts = list(_mono(path, sound))
    except OSError as error:
        raise UnusableAudio(path, f"cannot be read: {error.strerror}") from None
    except soundfile.LibsndfileError as error:
        raise UnusableAudio(path, f"is not playable audio: {error.error_string}") from None
    pcm = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    if not len(pcm):
        raise UnusableAudio(path, "holds no audio")
    return pcm


def _check(path: Path, sound: soundfile.SoundFile) -> None:
    if not 1 <= sound.channels <= MOST_CHANNELS:
        raise UnusableAudio(path, f"has {sound.channels} channels; 1 or 2 are possible")
    if not LOWEST_FILE_RATE_HZ <= sound.samplerate <= HIGHEST_FILE_RATE_HZ:
        raise UnusableAudio(
            path,
            f"has a sample rate of {sound.samplerate} Hz;"
            f" {LOWEST_FILE_RATE_HZ} to {HIGHEST_FILE_RATE_HZ} are possible",
        )
    if sound.frames > LONGEST_FILE_S * sound.samplerate:
        _refuse_length(path)


def _mono(path: Path, sound: soundfile.SoundFile) -> Iterator[Samples]:
    resampler = converter(sound.samplerate, INPUT_RATE_HZ)
    left = LONGEST_FILE_S * sound.samplerate
    while len(chunk := sound.read(CHUNK_S * sound.samplerate, dtype="float32", always_2d=True)):
        left -= len(chunk)
        if left < 0:
            _refuse_length(path)
        mono = chunk.mean(axis=1)
        if not np.isfinite(mono).all():
            raise UnusableAudio(path, "holds samples that are no numbers (NaN or infinity)")
        yield resampler.push((mono.clip(-1, 32767 / 32768) * 32768).round().astype(np.int16))
    yield resampler.flush()


def _refuse_length(path: Path) -> None:
    raise UnusableAudio(path, f"is longer than {LONGEST_FILE_S // 60} minutes")


# --- the microphone --------------------------------------------------------------------------


def frames(pcm: Samples, audio: AudioFormat) -> Iterator[bytes]:
    """16 kHz samples as encoded frames of `FRAME_MS`, the last one filled up with silence."""
    resampler = converter(INPUT_RATE_HZ, audio.rate_hz)
    wire = np.concatenate((resampler.push(pcm), resampler.flush()))
    size = audio.rate_hz * FRAME_MS // 1000
    for start in range(0, len(wire), size):
        frame = wire[start : start + size]
        yield encode(np.pad(frame, (0, size - len(frame))), audio)


class Microphone:
    """An endless source of frames, one for each 20 ms since `start`: speech, or else silence. Pure.

    Frames are due at fixed times: a late frame does not delay those after it.
    """

    def __init__(self, audio: AudioFormat, start: float) -> None:
        self._silence = encode(np.zeros(audio.rate_hz * FRAME_MS // 1000, np.int16), audio)
        self._start = start
        self._taken = 0
        self._speech: deque[bytes] = deque()  # bounded by the longest file that `read` gives

    @property
    def due(self) -> float:
        """When the next frame is to be sent."""
        return self._start + self._taken * FRAME_MS / 1000

    @property
    def speaking(self) -> bool:
        return bool(self._speech)

    def say(self, speech: Iterator[bytes]) -> None:
        """Speak from the next frame on."""
        self._speech.extend(speech)

    def take(self) -> bytes:
        """The frame that is due."""
        self._taken += 1
        return self._speech.popleft() if self._speech else self._silence
