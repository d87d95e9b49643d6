"""Mouth shapes from espeak-ng's phoneme mnemonics. Pure.

Shapes are the Oculus/OVR set (`pipeline.frames.VISEMES`). Mnemonics are espeak-ng's own, not IPA:
in IPA mode a pause and a palatalisation mark both arrive as an empty string, so pauses are lost.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from pipeline.frames import Viseme

Shapes: TypeAlias = Callable[[str], tuple[str, ...] | None]
"""Gives a phoneme's shapes; see `shapes`."""

_MARKS = str.maketrans("", "", ",'%=|")
"""Stress, syllable and word marks: no sound of their own."""

_SHAPES: dict[str, tuple[str, ...]] = {
    mnemonic: tuple(shapes.split())
    for shapes, mnemonics in {
        "PP": "p b m",
        "FF": "f v",
        "TH": "T D",
        "DD": "t d t# d# t2 *",
        "kk": "k g N x",
        "CH": "tS dZ S Z S; Z; C",
        "SS": "s z",
        "nn": "n l L",
        "RR": "r r- R 3 3:",
        "aa": "A: A a aa a# V 0",
        "E": "E E# e @ @- @2 @5 Y",
        "ih": "I I2 I# i i: j y",
        "oh": "O: O O2 o W",
        "ou": "U u u: w",
        "aa ih": "aI",
        "aa ih RR": "aI3",
        "aa ih E": "aI@",
        "aa ou": "aU",
        "aa ou E": "aU@",
        "E ih": "eI",
        "E RR": "e@",
        "ih E": "i@",
        "ih RR": "i@3",
        "oh ih": "OI",
        "oh ou": "oU",
        "oh RR": "O@ o@",
        "aa RR": "A@",
        "ou RR": "U@",
        "E nn": "@L",
    }.items()
    for mnemonic in mnemonics.split()
}

_LONGEST = max(map(len, _SHAPES))

_SHAPELESS = ("h", "?", ";", ":", "(")
"""The mouth does not change: sounds behind the lips, marks of length and palatalisation, and
changes of language, as in `(en)`."""


def shapes(mnemonic: str) -> tuple[str, ...] | None:
    """The shapes that one phoneme passes through, in order; `()` where the mouth stays as it was.

    The longest known beginning counts, without stress and marks. None if unknown.
    """
    sound = mnemonic.translate(_MARKS)
    if sound.startswith("_"):
        return ("sil",)
    for length in range(min(len(sound), _LONGEST), 0, -1):
        if found := _SHAPES.get(sound[:length]):
            return found
    return () if not sound or sound.startswith(_SHAPELESS) else None


def timeline(
    phonemes: Sequence[tuple[str, float]], end_ms: float, shapes_of: Shapes = shapes
) -> tuple[Viseme, ...]:
    """Cues without gap or overlap from 0 to `end_ms`, the last of them `sil`.

    `phonemes` are (mnemonic, start in ms) in order of time; each lasts until the next begins.
    `shapes_of` is for the phonemes of other voices than espeak-ng. The shapes of a diphthong share
    its time evenly; equal neighbours are one cue; unknown sounds leave the mouth as it was. Where
    speech runs to the very end, the last cue (`sil`) has no duration.
    """
    end = round(end_ms)
    cues: list[Viseme] = []
    shape, since = "sil", 0
    for start_ms, new_shape in _changes(phonemes, end_ms, shapes_of):
        start = min(round(start_ms), end)
        if new_shape == shape:
            continue
        if start > since:
            _append(cues, Viseme(since, start - since, shape))
        shape, since = new_shape, start
    if end > since:
        _append(cues, Viseme(since, end - since, shape))
    if not cues or cues[-1].shape != "sil":
        cues.append(Viseme(end, 0, "sil"))
    return tuple(cues)


def _changes(
    phonemes: Sequence[tuple[str, float]], end_ms: float, shapes_of: Shapes
) -> Iterator[tuple[float, str]]:
    for index, (mnemonic, start_ms) in enumerate(phonemes):
        until_ms = phonemes[index + 1][1] if index + 1 < len(phonemes) else end_ms
        parts = shapes_of(mnemonic) or ()
        for part, shape in enumerate(parts):
            yield start_ms + (until_ms - start_ms) * part / len(parts), shape


def _append(cues: list[Viseme], cue: Viseme) -> None:
    """Add a cue; it joins an equal one before it, as a shape between them may have been too
    short."""
    if cues and cues[-1].shape == cue.shape:
        last = cues.pop()
        cue = Viseme(last.at_ms, last.duration_ms + cue.duration_ms, cue.shape)
    cues.append(cue)
