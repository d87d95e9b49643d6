"""The studio that the engine opens: its faces, when there is none, and what is said of it."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.faces import studio as module
from gateway.runtime import Runtime
from gateway.settings import Settings, SettingsError
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard
from pipeline.ladder import PictureVerdict
from pipeline.session import Stages
from pipeline.testing import run_virtual
from stages.avatar.face import FACES
from stages.fakes import FakeDetector, FakeSynthesizer, FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer
from tests.support.memory_store import MemoryStore


@asynccontextmanager
async def engine_with(**settings: Any) -> AsyncIterator[Runtime]:
    def only(slot: Any, stage: Any) -> Any:
        return Guard(slot, [Candidate(stage.provider, stage, Breaker())])

    stages = Stages(
        FakeDetector(),
        only("stt", FakeTranscriber()),
        only("llm", ScriptedInterviewer()),
        only("tts", FakeSynthesizer()),
    )
    async with Runtime(Settings(**settings), MemoryStore(time.monotonic), stages=stages) as engine:
        yield engine


def avatar(engine: Runtime) -> tuple[str, str, str, str]:
    (report,) = (report for report in engine.reports() if report.slot == "avatar")
    return report.provider, report.status, report.why, report.note


def test_every_shipped_face_can_be_shown_and_mira_is_unless_another_is_wanted() -> None:
    async def story() -> None:
        async with engine_with(avatar_threads=3) as engine:
            assert engine.studio is not None
            assert sorted(engine.studio.faces) == ["jonas", "lin", "mira"]
            assert (engine.studio.default, engine.studio.threads) == ("mira", 3)
            assert avatar(engine) == ("face", "online", "mira, drawn here", "")

    run_virtual(story())


def test_a_face_of_ones_own_goes_by_the_name_of_its_folder(tmp_path: Path) -> None:
    folder = shutil.copytree(FACES / "jonas", tmp_path / "anna")

    async def story() -> None:
        async with engine_with(face=str(folder)) as engine:
            assert engine.studio is not None
            assert sorted(engine.studio.faces) == ["anna", "jonas", "lin", "mira"]
            assert engine.studio.default == "anna"

    run_virtual(story())


def test_without_video_clients_draw_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(**settings: Any) -> None:
        async with engine_with(**settings) as engine:
            assert engine.studio is None
            assert avatar(engine) == ("visemes", "online", "drawn by the client", "")

    run_virtual(story(avatar_video="off"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # the extra is missing
    run_virtual(story())


def test_health_says_that_the_pictures_were_reduced() -> None:
    async def story() -> None:
        async with engine_with() as engine:
            assert engine.studio is not None
            engine.studio.ladder.drew(PictureVerdict(0.0, "they are late", calm=False), 1.0)
            why = "mira, drawn here"
            assert avatar(engine) == ("face", "degraded", why, "reduced to 12 fps")

    run_virtual(story())


@pytest.mark.parametrize(
    ("face", "told"),
    [
        (
            "nobody",
            "PARLEY_FACE is no face: 'nobody' is neither a folder nor one of jonas, lin, mira",
        ),
        ("", None),
        (
            "../mira",
            "PARLEY_FACE is no face: '../mira' is neither a folder nor one of jonas, lin, mira",
        ),
    ],
)
def test_a_face_that_is_not_there_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, face: str, told: str | None
) -> None:
    monkeypatch.setenv("PARLEY_FACE", face)
    if told is None:  # an empty value counts as not set
        assert Settings.load(None).face == "mira"
        return
    with pytest.raises(SettingsError) as raised:
        Settings.load(None)
    assert str(raised.value) == told


def test_a_folder_without_a_face_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARLEY_FACE", str(tmp_path))
    with pytest.raises(SettingsError, match=r"PARLEY_FACE is no face: face\.json: No such file"):
        Settings.load(None)
