"""Piper, with a stand-in for its package: no voice may be downloaded here.

So these tests prove the worker, the checks and the cutting into pieces, and not that Piper speaks.
The last one runs the real package with a voice of a few bytes, where it is installed.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from pipeline.errors import CallerError, PipelineError, StageBusy, StageError, StageFailed
from pipeline.frames import Sentence, Speech
from stages.tts import piper
from stages.tts.loudness import TARGET_LUFS, loudness_lufs
from stages.tts.piper import PiperSynthesizer, check
from tests.support.onnx_bytes import FLOAT, INT64, field, model, node, tensor, value

HERE = Path(__file__).parent
T = TypeVar("T")

Voice = Callable[..., Path]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE / "stand_in")


@pytest.fixture
def voice(tmp_path: Path) -> Voice:
    """Writes a voice's two files."""

    def write(model: bytes = b"", description: Any = None) -> Path:
        path = tmp_path / "voice.onnx"
        path.write_bytes(model)
        text = json.dumps(description or {"audio": {"sample_rate": 16_000}})
        Path(f"{path}.json").write_text(text)
        return path

    return write


def run(coro: Coroutine[Any, Any, T]) -> T:
    """The voice lives in a real process, so time is real here."""

    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await coro

    return asyncio.run(bounded())


async def say(tts: PiperSynthesizer, text: str) -> list[Speech]:
    return [piece async for piece in tts.speak(Sentence(3, text))]


def spoken(voice: Path, *texts: str, **options: Any) -> list[list[Speech] | StageError]:
    """What is said for each text, one after the other, by one process."""

    async def main() -> list[list[Speech] | StageError]:
        tts = PiperSynthesizer(voice, **options)
        said: list[list[Speech] | StageError] = []
        try:
            for text in texts:
                try:
                    said.append(await say(tts, text))
                except StageError as error:
                    said.append(error)
        finally:
            await tts.aclose()
        return said

    return run(main())


def pcm(pieces: Any) -> Any:
    return np.concatenate([piece.pcm for piece in pieces])


def test_a_sentence_becomes_audio_a_part_at_a_time(stand_in: None, voice: Voice) -> None:
    [pieces] = spoken(voice(), "Hello! Please tell me more about that.")
    assert not isinstance(pieces, StageError)
    assert len(pcm(pieces)) == len("Hello! Please tell me more about that.") * 160
    assert len(pieces) == 2
    assert {piece.turn for piece in pieces} == {3}


def test_the_speaker_is_the_voices_own_business(stand_in: None, voice: Voice) -> None:
    [one] = spoken(voice(), "Hello.", speaker=2)
    assert len(pcm(one)) == 2 * len("Hello.") * 160


def test_a_sentence_that_fails_leaves_the_next_one_alone(stand_in: None, voice: Voice) -> None:
    failed, said = spoken(voice(), "Good. Please raise.", "Good.")
    assert isinstance(failed, StageFailed)
    assert (failed.phase, failed.detail) == ("stream", "ValueError: no such phoneme")
    assert len(pcm(said)) == len("Good.") * 160


def test_a_process_that_dies_fails_its_sentence(stand_in: None, voice: Voice) -> None:
    [failed] = spoken(voice(), "Please die.")
    assert isinstance(failed, StageFailed)
    assert failed.phase == "stream"


def test_a_voice_that_does_not_load_says_why(stand_in: None, voice: Voice) -> None:
    [failed] = spoken(voice(b"broken"), "Hello.")
    assert isinstance(failed, StageFailed)
    assert (failed.phase, failed.detail) == ("connect", "RuntimeError: Protobuf parsing failed")


def test_nothing_to_say_starts_no_process(stand_in: None, voice: Voice) -> None:
    async def main() -> None:
        tts = PiperSynthesizer(voice())
        with pytest.raises(CallerError, match="nothing to say"):
            await say(tts, "…")
        assert tts.stats().starts == 0
        await tts.aclose()

    run(main())


def test_words_that_the_voice_does_not_know_are_refused(stand_in: None, voice: Voice) -> None:
    [refused] = spoken(voice(), "unknown")
    assert isinstance(refused, CallerError)
    assert refused.detail == "the voice knows none of the words"


def test_a_cancelled_sentence_frees_its_place(
    stand_in: None, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piper, "MAX_WAITING", 1)

    async def main() -> None:
        tts = PiperSynthesizer(voice())
        text = "One sentence. And then please wait."
        first = cast("AsyncGenerator[Speech, None]", tts.speak(Sentence(3, text)))
        await anext(first)
        with pytest.raises(StageBusy):
            await say(tts, "Two.")
        await first.aclose()
        assert tts.stats().jobs == 0
        await tts.aclose()

    run(main())


def test_the_process_tells_what_it_loaded(stand_in: None, voice: Voice) -> None:
    async def main() -> Any:
        tts = PiperSynthesizer(voice())
        try:
            return await tts.start()
        finally:
            await tts.aclose()

    assert run(main())["rate_hz"] == 16_000


def test_a_check_says_what_is_missing(stand_in: None, voice: Voice, tmp_path: Path) -> None:
    path = voice()
    assert check(path) is None
    description = Path(f"{path}.json")
    for text in ("{", "[]", '{"audio": {}}', '{"audio": {"sample_rate": 7}}', "[" * 100_000):
        description.write_text(text)
        assert check(path) == f"{path}.json is no description of a Piper voice"
    description.unlink()
    assert check(path) == (
        f"the Piper voice {path} lacks its description: put {path}.json beside it"
    )
    path.unlink()
    missing = f"there is no Piper voice at {path}: name a local .onnx file"
    assert check(path) == missing
    with pytest.raises(PipelineError, match="there is no Piper voice"):
        PiperSynthesizer(path)


def test_without_the_package_the_check_says_how_to_get_it(
    voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piper, "find_spec", lambda name: None)
    assert check(voice()) == "Piper is not installed: pip install 'parley-gateway[piper]'"


# --- the real package ------------------------------------------------------------------------


def tiny_model() -> bytes:
    """A voice that plays 256 samples of a tone for each phoneme: an ONNX model of five nodes."""
    tone = np.resize(np.array([0.5, -0.5], np.float32), 256)
    to_float = field(5, field(1, "to") + field(3, FLOAT) + field(20, 2))
    graph = (
        node("Cast", "input", "ids", to_float)
        + node("Sign", "ids", "ones")
        + node("Reshape", "ones column", "rows")
        + node("Mul", "rows tone", "table")
        + node("Reshape", "table row", "output")
        + field(2, "tiny")
        + tensor("tone", FLOAT, (1, 256), tone.tobytes())
        + tensor("column", INT64, (2,), np.array([-1, 1], np.int64).tobytes())
        + tensor("row", INT64, (3,), np.array([1, 1, -1], np.int64).tobytes())
        + value(11, "input", INT64, "batch", "phonemes")
        + value(11, "input_lengths", INT64, "batch")
        + value(11, "scales", FLOAT, 3)
        + value(12, "output", FLOAT, "batch", 1, "time")
    )
    return model(graph)


@pytest.mark.skipif(find_spec("piper") is None, reason="piper-tts is not installed")
def test_the_real_package_speaks_with_a_local_voice(voice: Voice) -> None:
    phonemes = {chr(code): [code] for code in range(32, 127)}
    description = {
        "audio": {"sample_rate": 22_050},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "text",
        "phoneme_id_map": {**phonemes, "_": [1], "^": [2], "$": [3]},
        "num_symbols": 256,
        "num_speakers": 1,
    }
    [pieces] = spoken(voice(tiny_model(), description), "Hello there.")
    assert not isinstance(pieces, StageError)
    ids = 2 * len("Hello there.") + 3  # each is followed by a pad, all lie between two marks
    assert len(pcm(pieces)) == ids * 256
    assert loudness_lufs(pcm(pieces) / 32768, 22_050) == pytest.approx(TARGET_LUFS, abs=1)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("language", "expected"),
    [({"code": "de_DE", "family": "de"}, ("de",)), ({}, None), (None, None), ("de", None)],
)
def test_a_voice_speaks_the_language_of_its_description(
    voice: Voice, language: Any, expected: tuple[str] | None
) -> None:
    path = voice(description={"audio": {"sample_rate": 16_000}, "language": language})
    assert PiperSynthesizer(path).languages == expected
