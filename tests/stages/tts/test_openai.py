from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

import numpy as np
import pytest

from pipeline.breaker import Outcome
from pipeline.frames import Sentence, Speech
from pipeline.guard import Limits
from stages.tts.openai import OpenAISynthesizer

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
TONE = (np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000) * 9000).round().astype(np.int16)
TONE[12_000:] = 0

Say = Callable[..., Any]


@pytest.fixture
def say(peer: Any, bench: Any) -> Say:
    """Has the model say a sentence, through a guard."""

    def say(model: str, *texts: str, voice: str | None = None, **options: Any) -> Any:
        names = {"limits", "leave_after", "then"} & options.keys()
        how = {name: options.pop(name) for name in names}

        async def speak(stage: OpenAISynthesizer) -> AsyncGenerator[Speech, None]:
            for text in texts or ("Tell me more.",):
                pieces = cast("AsyncGenerator[Speech, None]", stage.speak(Sentence(4, text, voice)))
                async with aclosing(pieces):
                    async for piece in pieces:
                        yield piece

        return bench.guarded(
            "tts",
            OpenAISynthesizer(peer.url, model, "alloy", **options),
            speak,
            useful=lambda speech: len(speech.pcm) > 0,
            **how,
        )

    return say


def heard(result: Any) -> Any:
    pieces = [piece.pcm for piece in result.items]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


@pytest.mark.parametrize("model", ["tone", "odd", "wav"])
def test_a_sentence_becomes_its_audio_as_it_comes(say: Say, model: str) -> None:
    result = say(model)
    assert heard(result).tolist() == TONE.tolist()
    assert len(result.items) > 5
    assert {piece.turn for piece in result.items} == {4}
    assert result.error is None
    assert result.outcomes == [SUCCESS]


def test_half_a_sample_at_the_end_is_dropped(say: Say) -> None:
    assert heard(say("half")).tolist() == TONE[:4800].tolist()


def test_the_server_is_asked_for_raw_audio(say: Say, peer: Any) -> None:
    say("tone/asked", "Tell me more.", speed=1.2, api_key="sk-1")
    [asked] = peer.requests("tone/asked")
    assert asked["path"] == "/v1/audio/speech"
    assert asked["headers"]["authorization"] == "Bearer sk-1"
    assert (asked["voice"], asked["input"]) == ("alloy", "Tell me more.")
    assert (asked["response_format"], asked["speed"]) == ("pcm", 1.2)


def voices(peer: Any, model: str) -> list[str]:
    return [asked["voice"] for asked in peer.requests(model)]


def test_a_sentence_may_wish_for_a_voice_of_the_server(say: Say, peer: Any) -> None:
    say("tone/wished", voice="marin")
    assert voices(peer, "tone/wished") == ["marin"]


def test_a_voice_that_the_server_lacks_is_asked_for_once(say: Say, peer: Any) -> None:
    result = say("picky/lacks", "Tell me more.", "And then?", voice="marin")
    assert len(heard(result)) == 2 * len(TONE)
    assert (result.error, result.outcomes) == (None, [SUCCESS])
    assert voices(peer, "picky/lacks") == ["marin", "alloy", "alloy"]


def test_a_refusal_that_is_not_about_the_voice_is_raised(say: Say, peer: Any) -> None:
    assert say("bad/voice", voice="marin").failure == ("HttpRefused", "connect")
    assert voices(peer, "bad/voice") == ["marin", "alloy"]
    assert say("unauthorized/voice", voice="marin").failure == ("HttpRefused", "connect")
    assert voices(peer, "unauthorized/voice") == ["marin"]


def test_a_sentence_is_cut_to_what_the_endpoint_takes(say: Say, peer: Any) -> None:
    say("tone/long", "word " * 1000)
    [asked] = peer.requests("tone/long")
    assert len(asked["input"]) == 4096


@pytest.mark.parametrize(
    ("model", "failure", "detail"),
    [
        ("json", "protocol", "the server sent application/json where audio was asked for: no such"),
        ("html", "protocol", "the server sent text/html where audio was asked for"),
        ("mp3", "protocol", "the server sent MP3 where pcm was asked for"),
        ("mp3-tagged", "protocol", "the server sent MP3 where pcm was asked for"),
        ("wav-16k", "protocol", "the server sent 16000 Hz where 24000 Hz were promised"),
        ("wav-stereo", "protocol", "a WAV file that is not mono 16-bit PCM"),
        ("wav-head", "protocol", "half a WAV header"),
        ("rate", "protocol", "the server sent 16000 Hz where 24000 Hz were promised"),
        ("empty", "empty", ""),
        ("broken", "connect", "HTTP 500"),
    ],
)
def test_what_is_not_the_promised_audio_is_never_heard(
    say: Say, model: str, failure: str, detail: str
) -> None:
    result = say(model)
    assert result.items == []
    assert result.failure == ("StageFailed", failure)
    assert detail in result.error.detail
    assert result.outcomes == [FAILURE]


def test_nothing_is_asked_for_a_sentence_without_words(say: Say, peer: Any) -> None:
    result = say("tone/silent", " … ")
    assert result.failure == ("CallerError", "empty")
    assert result.outcomes == [NEUTRAL]
    assert peer.requests("tone/silent") == []


def test_a_server_at_capacity_is_busy_and_our_faults_are_ours(say: Say) -> None:
    assert say("busy").failure == ("StageBusy", "connect")
    assert say("missing").outcomes == [NEUTRAL]


def test_audio_that_breaks_off_fails_after_what_was_heard(say: Say) -> None:
    result = say("reset")
    assert result.failure == ("StageFailed", "stream")
    assert result.error.partial
    assert 0 < len(heard(result)) <= len(TONE)
    assert result.outcomes == [FAILURE]


def test_a_server_that_stalls_is_left_and_sees_it(say: Say, peer: Any) -> None:
    limits = Limits(first_s=10, slow_first_s=10, stall_s=0.1)
    result = say("stall/tts", limits=limits, then=lambda: peer.disconnected("stall/tts"))
    assert result.failure == ("StageTimeout", "stall")
    assert result.outcomes == [FAILURE]


def test_a_consumer_that_leaves_stops_the_server(say: Say, peer: Any) -> None:
    result = say("endless/left", leave_after=1, then=lambda: peer.disconnected("endless/left"))
    assert len(result.items) == 1
    assert result.outcomes == [SUCCESS]


def test_audio_without_end_is_stopped(say: Say, peer: Any) -> None:
    result = say("endless/tts", then=lambda: peer.disconnected("endless/tts"))
    assert result.failure == ("StageFailed", "protocol")
    assert result.error.detail == "the server sent more than 60 s for one sentence"
    assert 60 <= len(heard(result)) / 24_000 <= 63
    assert result.outcomes == [FAILURE]
