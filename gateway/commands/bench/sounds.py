"""The sounds that the load generator sends: speech as turns of 20 ms frames, and a quiet room."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from pipeline.frames import INPUT_RATE_HZ, Samples

FRAME_MS = 20
FRAME_SAMPLES = INPUT_RATE_HZ * FRAME_MS // 1000

LONGEST_MS = 3_000
"""A turn is cut off after this time: an answer of ordinary length, and many turns a minute."""

SHORTEST_MS = 1_000

ROOM_LEVEL = 10 ** (-60 / 20)
"""The level of what a microphone sends while nobody speaks: -60 dBFS. Assumed. Digital silence
would flatter a server that leaves it out."""

ROOM_S = 2

CHUNK = 512
"""The samples that the network judges at once."""
SPEECH = 0.5
"""The probability from which on a chunk is speech."""
PIECE = INPUT_RATE_HZ // 2
JUDGED_S = 30.0
"""The time limit for judging, enough for any machine; beyond it, something is broken."""
ONSET_MS = 1_000
"""How much of a clip is searched for its onset."""

_LOUD = 0.1
"""A clip's speech begins and ends at this share of the loudest frame's level (-20 dB)."""
_PAUSE_FRAMES = 15
"""A pause of 300 ms separates two turns in a clip without notes of where it is spoken."""


def turns(folder: Path) -> list[Samples]:
    """The speech in each audio file of a folder, one turn a file, in order of name.

    If a JSON file beside it has `segments`, the longest one is used; otherwise the longest stretch
    without a pause. Quiet beginnings and ends are cut off. Raises `FileNotFoundError` if there is
    no speech.
    """
    found = []
    for path in sorted([*folder.glob("*.wav"), *folder.glob("*.flac")]):
        pcm, rate_hz = soundfile.read(path, dtype="int16")
        if rate_hz != INPUT_RATE_HZ or pcm.ndim != 1:
            continue
        said = trimmed(_spoken(path, pcm))
        if len(said) * 1000 >= SHORTEST_MS * INPUT_RATE_HZ:
            found.append(said)
    if not found:
        raise FileNotFoundError(f"no speech of {INPUT_RATE_HZ} Hz in {folder}")
    return found


def _spoken(path: Path, pcm: Samples) -> Samples:
    notes = path.with_suffix(".json")
    if not notes.exists():
        return longest_stretch(pcm)
    segments = json.loads(notes.read_text(encoding="utf-8"))["segments"]
    longest = max(segments, key=lambda span: span["end_ms"] - span["start_ms"])
    return pcm[
        longest["start_ms"] * INPUT_RATE_HZ // 1000 : longest["end_ms"] * INPUT_RATE_HZ // 1000
    ]


def levels(pcm: Samples) -> np.ndarray:
    """The level of each whole frame, 0 to 1 (root mean square)."""
    whole = pcm[: len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    level: np.ndarray = np.sqrt(np.mean((whole / 32768.0) ** 2, axis=1))
    return level


def trimmed(pcm: Samples) -> Samples:
    """The samples without the quiet parts at their beginning and end."""
    level = levels(pcm)
    if not len(level):
        return pcm[:0]
    loud = np.flatnonzero(level >= level.max() * _LOUD)
    return pcm[loud[0] * FRAME_SAMPLES : (loud[-1] + 1) * FRAME_SAMPLES]


def longest_stretch(pcm: Samples) -> Samples:
    """The longest part that no pause interrupts."""
    level = levels(pcm)
    if not len(level):
        return pcm[:0]
    loud = np.flatnonzero(level >= level.max() * _LOUD)
    breaks = np.flatnonzero(np.diff(loud) > _PAUSE_FRAMES)
    starts = loud[np.concatenate(([0], breaks + 1))]
    ends = loud[np.concatenate((breaks, [len(loud) - 1]))] + 1
    best = int(np.argmax(ends - starts))
    return pcm[starts[best] * FRAME_SAMPLES : ends[best] * FRAME_SAMPLES]


async def from_onset(turns: Sequence[Samples]) -> list[Samples]:
    """Each turn from the first chunk that Silero's network takes for speech, at most `LONGEST_MS`.

    A breath or an unvoiced sound at the beginning of a clip is not yet speech for a detector. So
    that a delay from a person's first frame on measures the server and not the clip, the clips
    begin where the network, which all servers under test share, first hears somebody. Needs what
    `SileroDetector` needs.
    """
    from stages.vad.silero import SileroDetector

    lead = room()[:INPUT_RATE_HZ]
    detector = SileroDetector(max_sessions=len(turns))
    heard: list[list[float]] = [[] for _ in turns]
    try:
        for turn, probabilities in zip(turns, heard, strict=True):
            head = np.concatenate((lead, turn[: INPUT_RATE_HZ * ONSET_MS // 1000]))
            judged = asyncio.Event()

            def hear(
                position: int,
                probability: float,
                into: list[float] = probabilities,
                judged: asyncio.Event = judged,
            ) -> None:
                into.append(probability)
                judged.set()

            stream = detector.open(hear)
            # Piece by piece, as the detector's ring holds little more than a second.
            for at in range(0, len(head), PIECE):
                stream.feed(head[at : at + PIECE])
                fed = min(len(head), at + PIECE)
                async with asyncio.timeout(JUDGED_S):
                    while len(probabilities) < fed // CHUNK:
                        judged.clear()
                        await judged.wait()
            stream.close()
    finally:
        await detector.aclose()
    longest = LONGEST_MS * INPUT_RATE_HZ // 1000
    starts = [onset(probabilities, len(lead)) for probabilities in heard]
    return [turn[start : start + longest] for turn, start in zip(turns, starts, strict=True)]


def onset(probabilities: Sequence[float], lead: int) -> int:
    """The sample at which the first chunk of speech begins, counted without `lead` samples."""
    first = next((n for n, probability in enumerate(probabilities) if probability >= SPEECH), 0)
    return max(0, first * CHUNK - lead)


def room() -> Samples:
    """Two seconds of a quiet room, always the same."""
    noise = np.random.default_rng(14).standard_normal(INPUT_RATE_HZ * ROOM_S)
    return (noise * ROOM_LEVEL * 32768).astype(np.int16)


def frames(pcm: Samples) -> Sequence[bytes]:
    """20 ms frames as little-endian bytes; what is left over is dropped."""
    data = pcm.astype("<i2").tobytes()
    size = FRAME_SAMPLES * 2
    return [data[start : start + size] for start in range(0, len(data) - size + 1, size)]
