"""A recogniser that costs what the test says, and the settings that choose one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.commands.capacity import recognition as module
from gateway.commands.capacity.recognition import NotMeasured, answer, recognition, timed
from gateway.settings import Settings
from pipeline.errors import StageFailed
from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from stages.registry import Choice, NoProvider


class Utterance:
    def __init__(self, stage: "Recogniser") -> None:
        self.stage = stage
        self.fed = 0

    def feed(self, pcm: Samples) -> None:
        self.fed += len(pcm)

    async def finish(self) -> AsyncIterator[Transcript]:
        self.stage.heard.append(self.fed)
        if self.stage.fails is not None:
            raise self.stage.fails
        if self.stage.hangs:
            await asyncio.sleep(3600)
        yield Transcript(1, self.stage.text, final=True)

    def cancel(self) -> None:
        self.stage.cancelled += 1


class Recogniser:
    provider = "made-up"
    text = "I would look at the logs."
    languages: tuple[str, ...] | None = None
    fails: Exception | None = None
    hangs = False

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.asked: list[str | None] = []
        self.cancelled = self.closed = 0

    def open(
        self, turn: int, on_partial: None = None, hints: tuple[str, ...] = (), language: str = ""
    ) -> Utterance:
        self.asked.append(language)
        return Utterance(self)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    """What `parley worker stt` would start."""
    made = Recogniser()

    async def started(settings: object, slot: str) -> Recogniser:
        return made

    monkeypatch.setattr(module, "started", started)
    return made


def settings(tmp_path: Path, **given: object) -> Settings:
    return Settings(data_dir=tmp_path, stt="pocketsphinx", **given)  # type: ignore[arg-type]


def test_the_packaged_answer_is_about_ten_seconds_of_speech() -> None:
    speech = answer()
    assert 9.5 < len(speech) / INPUT_RATE_HZ < 10.5
    assert int(np.abs(speech).max()) > 3000


def test_all_of_the_answer_is_recognised_in_every_round_and_once_before() -> None:
    stage = Recogniser()
    figures, doubts = asyncio.run(timed(stage, np.ones(5 * INPUT_RATE_HZ + 7, np.int16), 3))
    assert stage.heard == [5 * INPUT_RATE_HZ + 7] * 4
    assert stage.cancelled == 4
    assert (figures.provider, figures.server) == ("made-up", False)
    assert figures.factor is not None
    assert 0 <= figures.factor < 1
    assert not any("understood nothing" in doubt for doubt in doubts)


def test_a_recogniser_that_understands_nothing_is_doubted() -> None:
    stage = Recogniser()
    stage.text = ""
    _, doubts = asyncio.run(timed(stage, answer(), 1))
    assert "recognition: made-up understood nothing of the speech" in doubts


@pytest.mark.parametrize(
    ("languages", "asked"), [(None, "en"), (("de", "en"), "en"), (("de",), "de")], ids=str
)
def test_it_is_asked_in_a_language_that_it_knows(
    languages: tuple[str, ...] | None, asked: str
) -> None:
    stage = Recogniser()
    stage.languages = languages
    asyncio.run(timed(stage, answer(), 1))
    assert set(stage.asked) == {asked}


def test_one_that_is_quicker_than_can_be_told_can_still_be_planned_with(
    stage: Recogniser, tmp_path: Path
) -> None:
    figures, _ = recognition(settings(tmp_path), quick=True)
    assert figures.factor is not None
    assert figures.factor > 0
    assert stage.closed == 1


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (StageFailed("stt", "made-up", "connect", "no weights"), "made-up: no weights"),
        (ValueError("odd"), "made-up: ValueError: odd"),
    ],
    ids=["stage", "library"],
)
def test_one_that_fails_is_not_measured_and_closed(
    stage: Recogniser, tmp_path: Path, fails: Exception, said: str
) -> None:
    stage.fails = fails
    with pytest.raises(NotMeasured) as refused:
        recognition(settings(tmp_path), quick=True)
    assert said in str(refused.value)
    assert stage.closed == 1


def test_one_that_hangs_is_given_up(
    stage: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.hangs = True
    monkeypatch.setattr(module, "ROUND_S", 0.01)
    with pytest.raises(NotMeasured, match="made-up took more than"):
        recognition(settings(tmp_path), quick=True)
    assert (stage.closed, stage.cancelled) == (1, 1)


def test_a_server_is_named_and_not_asked(stage: Recogniser, tmp_path: Path) -> None:
    at_a_server = Settings(
        data_dir=tmp_path, stt="openai", stt_url="http://127.0.0.1:9/v1", stt_model="whisper-1"
    )
    figures, doubts = recognition(at_a_server, quick=True)
    assert (figures.provider, figures.server, figures.factor) == ("openai", True, None)
    assert (stage.heard, doubts) == ([], ())


def test_workers_elsewhere_are_taken_for_machines_like_this_one(
    stage: Recogniser, tmp_path: Path
) -> None:
    figures, _ = recognition(
        Settings(data_dir=tmp_path, stt="remote", stt_worker="ws://127.0.0.1:9"), quick=True
    )
    assert (figures.provider, figures.server) == ("made-up", False)


def test_where_no_provider_works_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object) -> Choice:
        raise NoProvider("stt", (("whisper", "there are no weights"),))

    monkeypatch.setattr(module, "choose", nobody)
    with pytest.raises(NotMeasured, match=r"whisper: there are no weights.*parley doctor"):
        recognition(settings(tmp_path), quick=True)
