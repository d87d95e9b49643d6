"""Noise reduction in a live call: asked for by the client, or by the deployment."""

import asyncio
import wave
from typing import Any

import numpy as np
import pytest

from gateway.media import noise_reduction
from gateway.media.opus import OpusEncoder
from gateway.protocols.dialect import AudioMessage, Reconfigure, Start
from gateway.protocols.openai_realtime.session import RealtimeSession
from gateway.protocols.request import SessionRequest
from pipeline.frames import Samples
from stages.fakes import FakeDetector
from tests.support.calls import LocalCalls
from tests.support.commands import CommandDialect
from tests.support.paths import AUDIO

NOISE = (np.random.default_rng(3).standard_normal(16_000 * 3) * 300).astype(np.int16)


class Listening(FakeDetector):
    """Keeps the audio that reaches the detector."""

    def __init__(self) -> None:
        super().__init__(level=30_000)
        self.audio: list[Samples] = []

    def open(self, on_chunk: Any) -> Any:
        stream = super().open(on_chunk)
        feed = stream.feed

        def kept(pcm: Samples) -> None:
            self.audio.append(pcm)
            feed(pcm)

        stream.feed = kept  # type: ignore[method-assign]
        return stream

    def level(self) -> float:
        """The loudness of the last second."""
        heard = np.concatenate(self.audio)[-16_000:].astype(float)
        return float(np.sqrt(np.mean(heard**2)))


@pytest.fixture
def detector(local: LocalCalls) -> Listening:
    local.detector = Listening()
    return local.detector  # type: ignore[no-any-return]


def hello(**audio_in: Any) -> dict[str, Any]:
    return {"type": "hello", "version": 1, "audio_in": audio_in}


def spoken(
    local: LocalCalls, *, encoding: str = "pcm_s16le", **audio_in: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Send three seconds of noise; gives `ready` and the errors."""
    found: list[Any] = []

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello(encoding=encoding, rate=16_000, **audio_in))
            found.append(await client.until("ready"))
            frames = [NOISE[at : at + 320] for at in range(0, len(NOISE), 320)]
            if encoding == "opus":
                encoder = OpusEncoder(16_000)
                await client.send(*(encoder.encode(frame) for frame in frames))
            else:
                await client.send(*(frame.tobytes() for frame in frames))
            await asyncio.sleep(3.2)
            found.append(client.found("error"))

    local.run(story)
    return found[0], found[1]


@pytest.mark.parametrize("kind", ["near_field", "far_field"])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "opus"])
def test_the_detector_hears_less_noise(
    local: LocalCalls, detector: Listening, kind: str, encoding: str
) -> None:
    ready, errors = spoken(local, encoding=encoding, noise_reduction=kind)
    assert ready["audio_in"]["noise_reduction"] == kind
    assert errors == []
    assert detector.level() < 120


@pytest.mark.parametrize("wish", [{}, {"noise_reduction": "off"}, {"noise_reduction": None}])
def test_without_a_wish_the_audio_stays_as_it_is(
    local: LocalCalls, detector: Listening, wish: dict[str, Any]
) -> None:
    ready, _ = spoken(local, **wish)
    assert "noise_reduction" not in ready["audio_in"]
    assert np.array_equal(np.concatenate(detector.audio), NOISE)


@pytest.mark.parametrize(
    ("wish", "kind"),
    [({}, "far_field"), ({"noise_reduction": "off"}, None)],
    ids=["no wish", "off"],
)
def test_the_deployment_says_what_holds_for_clients_without_a_wish(
    local: LocalCalls, detector: Listening, wish: dict[str, Any], kind: str | None
) -> None:
    local.settings["noise_reduction"] = "far_field"
    ready, _ = spoken(local, **wish)
    assert ready["audio_in"].get("noise_reduction") == kind


def test_where_it_is_not_installed_the_call_goes_on_without(
    local: LocalCalls, detector: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_reduction, "find_spec", lambda name: None)
    ready, errors = spoken(local, noise_reduction="near_field")
    assert "noise_reduction" not in ready["audio_in"]
    [error] = errors
    assert (error["code"], error["fatal"]) == ("no_noise_reduction", False)
    assert "pip install" in error["message"]
    assert np.array_equal(np.concatenate(detector.audio), NOISE)


def test_a_default_that_cannot_hold_is_no_fault_of_the_client(
    local: LocalCalls, detector: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_reduction, "find_spec", lambda name: None)
    local.settings["noise_reduction"] = "near_field"
    _, errors = spoken(local)
    assert errors == []


def test_an_unknown_kind_is_a_bad_hello(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello(noise_reduction="loud"))
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == ("bad_hello", True)
            assert error["message"].startswith("audio_in.noise_reduction: ")

    local.run(story)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [(None, "off"), ({"type": "near_field"}, "near_field"), ({"type": "far_field"}, "far_field")],
)
def test_the_realtime_api_has_the_same_kinds_and_its_own_default(
    fields: dict[str, Any] | None, kind: str
) -> None:
    session = RealtimeSession("any", noise_reduction=fields)
    assert session.request(lambda turn: ()).noise_reduction == kind


def test_noise_reduction_begins_in_the_middle_of_a_call_with_the_audio_that_follows(
    local: LocalCalls, detector: Listening
) -> None:
    dialect = CommandDialect(Start(SessionRequest()))
    frames = [AudioMessage(NOISE[at : at + 320].tobytes()) for at in range(0, len(NOISE), 320)]

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            changed = SessionRequest(noise_reduction="near_field")
            await client.send(dialect.message(*frames, Reconfigure(changed), *frames))
            await asyncio.sleep(6.5)

    local.run(story)
    heard = np.concatenate(detector.audio)
    assert np.array_equal(heard[: len(NOISE)], NOISE)
    assert len(heard) == 2 * len(NOISE)
    assert detector.level() < 120


def test_speech_after_noise_reduction_is_the_turn_that_it_was(local: LocalCalls) -> None:
    """Silence, a voice and silence in pieces that are no whole frames of the suppressor."""
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        pcm = np.frombuffer(file.readframes(4 * 16_000), np.int16)
    audio = np.concatenate([pcm, np.zeros(16_000 * 2, np.int16)])
    found: list[Any] = []

    async def story() -> None:
        async with local.call() as client:
            await client.say(**hello(noise_reduction="near_field"))
            await client.until("reply.done", turn=0)
            await client.send(*(audio[at : at + 441].tobytes() for at in range(0, len(audio), 441)))
            await client.until("transcript", turn=1, final=True)
            found.append(client.found("speech.started"))

    local.run(story)
    [[started]] = found
    assert started["turn"] == 1
