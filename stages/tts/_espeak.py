"""The espeak-ng engine: one sentence at a time, with its phonemes and words and when they begin.

A thin ctypes binding over the library that the `espeakng-loader` package carries (espeak-ng 1.52,
GPL-3.0-or-later). The library has global state and crashes when two threads enter it, so one lock
per process guards it; it releases the GIL while it works. Constants and the event's layout are
those of espeak-ng's `speak_lib.h`.
"""

import ctypes
import os
import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pipeline.errors import PipelineError

_SYNCHRONOUS = 2  # `espeak_Synth` returns when all is done. RETRIEVAL (1) loses events.
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_UTF8, _END_PAUSE = 0x0001, 0x1000
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_WORD, _PHONEME = 1, 7

_BUFFER_MS = 2000
"""Audio per callback. Each callback needs the GIL, which a busy event loop releases slowly; but a
cancelled sentence stops only at the next callback (2 s of audio take about 1.5 ms)."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_id", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),  # a union; of phoneme events: up to 8 bytes of mnemonic
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(slots=True, eq=False)
class EspeakJob:
    """One sentence in the engine. `cancelled` is set by another thread."""

    pcm: list[bytes] = field(default_factory=list)
    phonemes: list[tuple[str, int]] = field(default_factory=list)
    words: list[tuple[int, int, int]] = field(default_factory=list)
    cancelled: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    name: str
    words_per_minute: int
    pitch: int
    pitch_range: int


class EspeakEngine:
    """The library, of which a process has one."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lock = threading.Lock()
        self._job: EspeakJob | None = None
        self._voice: EspeakVoice | None = None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        # The library keeps the pointer only: the callback object must live as long as it does.
        self._callback = _Callback(self._on_audio)
        self.rate_hz: int = self._library.espeak_Initialize(
            _SYNCHRONOUS,
            _BUFFER_MS,
            os.fsencode(espeakng_loader.get_data_path()),
            _PHONEME_EVENTS | _DONT_EXIT,
        )
        if self.rate_hz <= 0:
            raise OSError("espeak-ng cannot read its data")
        self._library.espeak_SetSynthCallback(self._callback)

    def select(self, voice: EspeakVoice) -> None:
        """Set the voice. Raises `PipelineError` if there is no such voice. Blocks for a few ms."""
        with self._lock:
            self._select(voice)

    def run(self, text: str, voice: EspeakVoice, job: EspeakJob) -> None:
        """Speak `text` into `job`. Blocks while another thread is speaking.

        Raises `OSError` when the engine or its callback failed.
        """
        data = text.encode()
        with self._lock:
            if job.cancelled:
                return
            self._select(voice)
            self._job = job
            try:
                code = self._library.espeak_Synth(
                    data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None
                )
            finally:
                self._job = None
        if job.error is not None:
            raise OSError("the engine's audio could not be taken") from job.error
        if code != 0:
            raise OSError(f"espeak_Synth returned {code}")

    def _select(self, voice: EspeakVoice) -> None:
        if voice == self._voice:
            return
        self._voice = None
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise PipelineError(f"espeak-ng has no voice {voice.name!r}")
        self._library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
        self._voice = voice

    def _on_audio(self, samples: Any, count: int, events: Any) -> int:
        """Called by the library, in the thread that runs the job; 1 stops it."""
        job = self._job
        if job is None or job.cancelled:
            return 1
        # An exception must not pass through C.
        try:
            index = 0
            while (event := events[index]).type:
                index += 1
                if event.type == _PHONEME:
                    job.phonemes.append((event.id.decode("utf-8", "replace"), event.sample))
                elif event.type == _WORD:
                    job.words.append((event.text_position - 1, event.length, event.sample))
            if samples and count > 0:
                job.pcm.append(ctypes.string_at(samples, count * 2))
        except Exception as error:
            job.error = error
            return 1
        return 0


@cache
def engine() -> EspeakEngine:
    return EspeakEngine()
