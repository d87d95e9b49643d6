"""Rules for synthesizers."""

from typing import Any

import numpy as np

from pipeline.frames import VISEMES, Sentence, Speech
from stages.testing import _calls
from stages.testing._trial import Result, Rule, Trial

USUAL = "Tell me about a project that you are proud of."

UNUSUAL = {
    "one letter": "I",
    "digits": "In 1984, 3.14 of 1234567 were 50 % (or $20).",
    "emoji": "Well 😀 done 👩‍💻, naïve friend!",
    "half an emoji": "Well \ud83d done.",
    "punctuation only": "?! …",
    "emoji only": "😀 👍🏽",
    "control characters": "one\x00two\x1b[31m\r\n\tthree",
    "markup": "<speak>**C#** & `a < b`</speak>",
    "another script": "你好，世界。 Привет! مرحبا",
    "one very long word": "a" * 1000,
}

LONG = " ".join(["and then we went on to the next part of it,"] * 100)
"""4,400 characters without the end of a sentence."""

SLACK_MS = 20
"""Times are rounded and audio comes in frames."""


def use(stage: Any, turn: int) -> Any:
    return stage.speak(Sentence(turn, USUAL))


async def has_the_shape_of_a_synthesizer(trial: Trial) -> None:
    """A synthesizer has `provider`, `rate_hz`, `speak(sentence)` and `aclose()`."""
    _calls.shape_of_stage(trial, {"speak": 1})
    _calls.shape_of_stream(trial, trial.stage, "speak")
    rate_hz = getattr(trial.stage, "rate_hz", None)
    if not isinstance(rate_hz, int) or rate_hz <= 0:
        trial.saw(f"`rate_hz` is no number of samples per second but {rate_hz!r}")


async def speaks(trial: Trial) -> None:
    """A sentence becomes a stream of `Speech` of its turn, with audio in it."""
    pieces = await trial.used(7)
    for piece in pieces:
        if not isinstance(piece, Speech):
            trial.saw(f"it gave a {type(piece).__name__}")
        elif piece.turn != 7:
            trial.saw(f"turn 7 got something of turn {piece.turn}")
    if not any(len(getattr(piece, "pcm", ())) for piece in pieces):
        trial.saw("there was no audio in it")


async def gives_mono_int16_at_its_rate(trial: Trial) -> None:
    """Audio is a one-dimensional array of native int16, at the `rate_hz` that the stage promised
    before it spoke."""
    promised_hz = trial.stage.rate_hz
    for piece in await trial.used():
        pcm = piece.pcm
        if not isinstance(pcm, np.ndarray):
            trial.saw(f"a piece's audio is no numpy array but {type(pcm).__name__}")
        elif pcm.dtype != np.int16 or pcm.ndim != 1:
            trial.saw(f"a piece's audio is {pcm.dtype} (native: {pcm.dtype.isnative}) {pcm.shape}")
    if trial.stage.rate_hz != promised_hz:
        trial.saw(f"`rate_hz` was {promised_hz} and became {trial.stage.rate_hz}")


async def keeps_mouth_and_words_within_the_audio(trial: Trial) -> None:
    """Cues and words count from the sentence's first sample, in order and within its audio; shapes
    are names of `VISEMES`; offsets count characters of the sentence's text."""
    for what, text in {"a usual sentence": USUAL, **UNUSUAL}.items():
        result = await _spoken(trial, text, what)
        end_ms = sum(len(p.pcm) for p in result.items) * 1000 / trial.stage.rate_hz
        _check_cues(trial, result, end_ms, what)
        _check_words(trial, result, end_ms, text, what)


async def takes_unusual_text(trial: Trial) -> None:
    """Whatever the text, speech ends: with audio, without, or with a StageError."""
    for what, text in {**UNUSUAL, "a very long sentence": LONG}.items():
        await _spoken(trial, text, what)
    await trial.used(3)


async def takes_empty_text(trial: Trial) -> None:
    """Without text there is no audio: the stream ends at once, or with a StageError."""
    for what, text in {"no text": "", "blanks": " \n "}.items():
        result = await _spoken(trial, text, what)
        if audio := sum(len(piece.pcm) for piece in result.items):
            trial.saw(f"{what}: it gave {audio} samples")


async def _spoken(trial: Trial, text: str, what: str) -> Result:
    return await trial.items(lambda: trial.stage.speak(Sentence(5, text)), what)


def _check_cues(trial: Trial, result: Result, end_ms: float, what: str) -> None:
    since = 0
    for cue in (cue for piece in result.items for cue in piece.cues):
        if cue.shape not in VISEMES or not 0 <= cue.weight <= 1:
            trial.saw(f"{what}: there is no such shape or weight: {cue}")
        elif cue.at_ms < since or cue.duration_ms < 0:
            trial.saw(f"{what}: after a cue at {since} ms came {cue}")
        elif cue.at_ms + cue.duration_ms > end_ms + SLACK_MS:
            trial.saw(f"{what}: the audio ends at {end_ms:.0f} ms, before {cue}")
        since = max(since, cue.at_ms)


def _check_words(trial: Trial, result: Result, end_ms: float, text: str, what: str) -> None:
    since, offset = 0, 0
    for word in (word for piece in result.items for word in piece.words):
        if word.offset < 0 or word.length <= 0 or word.offset + word.length > len(text):
            trial.saw(f"{what}: the text has {len(text)} characters, and no {word}")
        elif word.at_ms < since or word.offset < offset:
            trial.saw(f"{what}: after a word at {since} ms (offset {offset}) came {word}")
        elif word.at_ms > end_ms + SLACK_MS:
            trial.saw(f"{what}: the audio ends at {end_ms:.0f} ms, before {word}")
        since, offset = max(since, word.at_ms), max(offset, word.offset)


RULES: tuple[Rule, ...] = (
    has_the_shape_of_a_synthesizer,
    speaks,
    gives_mono_int16_at_its_rate,
    keeps_mouth_and_words_within_the_audio,
    takes_unusual_text,
    takes_empty_text,
    _calls.keeps_calls_apart,
    _calls.may_be_left_early,
    _calls.may_be_cancelled_at_any_await,
    _calls.never_blocks_the_event_loop,
    _calls.says_whether_it_would_answer,
    _calls.ends_with_aclose,
)
