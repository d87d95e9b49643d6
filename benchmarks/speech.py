"""Speech to play to the server: the fixture clips, and the recordings beside the project."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soundfile

from pipeline.frames import INPUT_RATE_HZ, Samples

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures" / "audio"
RECORDINGS = ROOT.parent / "shared" / "audio"
"""Recordings of people that lie beside the project on some machines; not part of it."""

FRAME_MS = 20
FRAME_BYTES = INPUT_RATE_HZ * 2 * FRAME_MS // 1000
MARGIN_MS = 120
"""Left round a segment when it is cut out, so that soft first and last sounds stay in."""

_TABLE_ROW = re.compile(r"^\| (?P<file>[\w.-]+\.(?:wav|flac)) \|[^|]*\| (?P<text>[^|]+) \|$", re.M)


@dataclass(frozen=True, slots=True)
class Clip:
    """A spoken text; `segments` are `(start_ms, end_ms)` of speech where they are known."""

    name: str
    text: str
    pcm: Samples
    segments: tuple[tuple[int, int], ...] = ()
    features: frozenset[str] = field(default_factory=frozenset)

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) * 1000 // INPUT_RATE_HZ

    def segment(self, longest_ms: int | None = None) -> Samples:
        """The longest segment, which is one turn; cut after `longest_ms` if that is given."""
        return self._cut(*max(self.segments, key=lambda span: span[1] - span[0]), longest_ms)

    def opening(self) -> Samples:
        """The first segment."""
        return self._cut(*self.segments[0])

    def _cut(self, start_ms: int, end_ms: int, longest_ms: int | None = None) -> Samples:
        start_ms = max(0, start_ms - MARGIN_MS)
        end_ms += MARGIN_MS
        if longest_ms is not None:
            end_ms = min(end_ms, start_ms + longest_ms)
        return self.pcm[start_ms * INPUT_RATE_HZ // 1000 : end_ms * INPUT_RATE_HZ // 1000]


def answers() -> tuple[Clip, ...]:
    """The fixture clips in order of name. Raises `FileNotFoundError` where there are none."""
    clips = tuple(_answer(path) for path in sorted(FIXTURES.glob("*.json")))
    if not clips:
        raise FileNotFoundError(f"no clips in {FIXTURES}: run fixtures/audio/make.py")
    return clips


def turns(longest_ms: int | None = None, shortest_ms: int = 0) -> list[Samples]:
    """What callers say: the longest segment of each clip, cut after `longest_ms`.

    With `shortest_ms` those that are long enough, and the same behind a phrase from another clip
    ("That is a good question"), so that they are of more lengths: from 8 s on, ten of 8 to 12 s.
    """
    clips = answers()
    spoken = [clip.segment(longest_ms) for clip in clips]
    if not shortest_ms:
        return spoken
    long = [pcm for pcm in spoken if len(pcm) * 1000 >= shortest_ms * INPUT_RATE_HZ]
    phrase = next(clip.opening() for clip in clips if len(clip.segments) > 1)
    return [turn for pcm in long for turn in (pcm, np.concatenate([phrase, pcm]))]


def _answer(path: Path) -> Clip:
    facts = json.loads(path.read_text(encoding="utf-8"))
    pcm, rate_hz = soundfile.read(path.with_suffix(".wav"), dtype="int16")
    if rate_hz != INPUT_RATE_HZ:
        raise ValueError(f"{path.stem}: {rate_hz} Hz, not {INPUT_RATE_HZ}")
    segments = tuple((s["start_ms"], s["end_ms"]) for s in facts["segments"])
    return Clip(path.stem, facts["text"], pcm, segments, frozenset(facts["features"]))


def recordings(folder: Path = RECORDINGS) -> tuple[Clip, ...]:
    """The recordings that the table in the folder's README names; none where it is missing."""
    table = folder / "README.md"
    if not table.exists():
        return ()
    rows = _TABLE_ROW.finditer(table.read_text(encoding="utf-8"))
    return tuple(
        Clip(Path(row["file"]).stem, row["text"].strip(), _decode(folder / row["file"]))
        for row in rows
        if (folder / row["file"]).exists()
    )


def _decode(path: Path) -> Samples:
    """Any audio file as 16 kHz mono. Trusted files only: it is decoded whole."""
    with av.open(str(path)) as container:
        return _resampled(container.decode(audio=0))


def at_input_rate(pcm: Samples, rate_hz: int) -> Samples:
    """Mono speech at the rate of input audio."""
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate_hz
    return _resampled([frame])


def _resampled(sound: Iterable[av.AudioFrame]) -> Samples:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_RATE_HZ)
    frames = [out for frame in sound for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


def frames(pcm: Samples) -> Iterator[bytes]:
    """20 ms frames as little-endian bytes, the last one filled up with silence."""
    data = pcm.astype("<i2").tobytes()
    for start in range(0, len(data), FRAME_BYTES):
        yield data[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
