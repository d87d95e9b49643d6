"""Smart Turn: its handler with a network of one line, its worker process, and the real model."""

import asyncio
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageFailed
from pipeline.frames import Samples
from stages._worker_main import LoadError, WorkerPacket
from stages.turn import _smart_turn
from stages.turn._smart_turn import SmartTurn
from stages.turn.rules import Rules
from stages.turn.smart_turn import SmartTurnModel
from stages.turn.smart_turn_model import NAME
from tests.support.paths import AUDIO

MODEL = Path(os.environ.get("PARLEY_TURN_MODEL", f"var/models/smart-turn/{NAME}"))

real = pytest.mark.skipif(not MODEL.is_file(), reason="run `parley fetch smart-turn`")


class Network:
    """Says how loud the features are."""

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        features = inputs["input_features"]
        assert features.shape == (1, 80, 800)
        return [np.array([[features.max() / 10]])]


class Reply:
    def __init__(self, *, cancelled: bool = False) -> None:
        self.cancelled = cancelled
        self.said: list[tuple[str, Any, bool]] = []

    def __call__(self, kind: str, header: Any, *, last: bool) -> None:
        self.said.append((kind, header, last))


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> SmartTurn:
    monkeypatch.setattr(_smart_turn, "verify", lambda model: None)
    monkeypatch.setattr(_smart_turn, "_load", lambda model: Network())
    return _smart_turn.handler({"model": "model.onnx"})


def audio(level: int = 1000) -> bytes:
    return (level * np.sin(np.arange(16_000) / 7)).astype("<i2").tobytes()


def test_questions_are_answered_in_their_order(handler: Any) -> None:
    first, second = Reply(), Reply()
    handler.handle(1, "ask", {}, audio(), first)
    handler.handle(2, "ask", {}, audio(), second)
    assert handler.work()
    assert (len(first.said), len(second.said)) == (1, 0)
    assert handler.work()
    [(kind, header, last)] = second.said
    assert (kind, last) == ("answer", True)
    assert 0 < header["finished"] < 1
    assert not handler.work()


def test_a_cancelled_question_is_not_answered(handler: Any) -> None:
    dropped, late, kept = Reply(), Reply(cancelled=True), Reply()
    handler.handle(1, "ask", {}, audio(), dropped)
    handler.handle(2, "ask", {}, audio(), late)
    handler.handle(3, "ask", {}, audio(), kept)
    handler.cancel(1)
    while handler.work():
        pass
    assert (dropped.said, late.said, len(kept.said)) == ([], [], 1)


def test_a_question_too_many_is_refused_at_once(handler: Any) -> None:
    asked = [Reply() for _ in range(18)]
    for number, reply in enumerate(asked[:17]):
        handler.handle(number, "ask", {}, audio(), reply)
    assert asked[16].said == [("busy", {"text": "16 questions wait"}, True)]
    assert handler.work()
    handler.handle(17, "ask", {}, audio(), asked[17])
    while handler.work():
        pass
    answered = [reply.said[0][0] for reply in asked]
    assert answered == ["answer"] * 16 + ["busy", "answer"]


def test_other_messages_are_refused(handler: Any) -> None:
    with pytest.raises(ValueError, match="unknown message 'tell'"):
        handler.handle(1, "tell", {}, b"", Reply())


def test_the_report_says_what_an_answer_costs(handler: Any) -> None:
    assert handler.report["model"] == "model.onnx"
    assert handler.report["answer_ms"] >= 0


def test_a_file_that_is_no_network_is_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no network")
    with pytest.raises(LoadError, match="cannot be loaded"):
        _smart_turn._load(model)


def test_a_wrong_file_is_named_when_the_worker_starts(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"half")

    async def story() -> None:
        stage = SmartTurnModel(model)
        with pytest.raises(StageFailed, match=r"model\.onnx is not Smart Turn v3\.2: 4 bytes"):
            await stage.start()
        with pytest.raises(StageFailed):
            await stage.finished(np.zeros(160, np.int16))
        assert not stage.stats().ready
        await stage.aclose()

    asyncio.run(story())


class Job:
    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    def send(self, kind: str, header: None, payload: bytes) -> None:
        self.sent.append((kind, len(payload)))

    async def result(self) -> WorkerPacket:
        return WorkerPacket(1, "answer", {"finished": 0.25}, b"", True)

    def cancel(self) -> None:
        self.sent.append("cancel")


def test_a_question_sends_the_audio_and_gives_the_answer() -> None:
    stage: Any = SmartTurnModel(Path("model.onnx"))
    sent: list[Any] = []

    class Worker:
        def open_job(self) -> Job:
            return Job(sent)

    stage._worker = Worker()
    assert asyncio.run(stage.finished(np.zeros(160, np.int16))) == 0.25
    assert sent == [("ask", 320), "cancel"]


def test_the_rules_are_a_name() -> None:
    rules = Rules()
    asyncio.run(rules.aclose())
    assert rules.provider == "rules"


# --- the real model --------------------------------------------------------------------------


def clip(end_ms: int) -> Samples:
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        return np.frombuffer(file.readframes(end_ms * 16), np.int16)


@real
@pytest.mark.slow
def test_an_answer_sounds_finished_at_its_end_and_not_in_its_middle() -> None:
    async def story() -> None:
        stage = SmartTurnModel(MODEL)
        loaded = await stage.start()
        assert loaded["model"] == MODEL.name
        whole, part, nothing = await asyncio.gather(
            *(stage.finished(clip(end_ms)) for end_ms in (9_000, 3_000, 0))
        )
        assert whole > 0.9
        assert part < 0.5
        assert 0 <= nothing <= 1
        await stage.aclose()

    asyncio.run(story())
