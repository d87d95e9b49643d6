"""Mouth shapes from the phoneme symbols of misaki, which the Kokoro voices and hibari use. Pure.

A symbol is one character: IPA, with capitals for diphthongs (A as in "day", I "my", O "go",
W "how", Y "boy"; misaki's EN_PHONES.md). Shapes are the Oculus/OVR set (`pipeline.frames.VISEMES`).
"""

SILENCE = "_"
"""Stands for what the voice puts before and after its phonemes."""

_SHAPES: dict[str, tuple[str, ...]] = {
    symbol: tuple(shapes.split())
    for shapes, symbols in {
        "PP": "pbm",
        "FF": "fv",
        "TH": "θð",
        "DD": "tdT",
        "kk": "kɡŋ",
        "CH": "ʃʒʧʤ",
        "SS": "sz",
        "nn": "nl",
        "RR": "ɹɜɚ",
        "aa": "ɑaʌæɐ",
        "E": "ɛeəᵊ",
        "ih": "iɪjᵻ",
        "oh": "ɔɒo",
        "ou": "uʊw",
        "E ih": "A",
        "aa ih": "I",
        "oh ou": "O",
        "E ou": "Q",
        "aa ou": "W",
        "oh ih": "Y",
        "sil": SILENCE + ".,!?;:—…",
    }.items()
    for symbol in symbols
}

_SHAPELESS = frozenset(' ˈˌːhʔ"()“”')
"""The mouth does not change: marks, sounds behind the lips, and the step from word to word."""


def shapes(symbol: str) -> tuple[str, ...] | None:
    """The shapes that one symbol passes through, in order; `()` where the mouth stays as it was.

    None if the symbol is unknown.
    """
    return () if symbol in _SHAPELESS else _SHAPES.get(symbol)
