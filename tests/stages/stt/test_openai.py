import asyncio
import base64
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Outcome
from pipeline.frames import Transcript, Word
from pipeline.guard import Limits
from stages.stt.openai import LIMIT_SAMPLES, OpenAITranscriber

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
AUDIO = (np.sin(np.arange(16_000) / 10) * 9000).astype(np.int16)
FINAL = Transcript(4, "Hello there.", final=True)

Hear = Callable[..., Any]


@pytest.fixture
def hear(peer: Any, bench: Any) -> Hear:
    """Has the model transcribe one second of audio, through a guard."""

    def hear(model: str, *audio: Any, **options: Any) -> Any:
        names = {"limits", "leave_after", "then"} & options.keys()
        hints, spoken = options.pop("hints", ()), options.pop("spoken", None)
        how = {name: options.pop(name) for name in names}

        def call(stage: OpenAITranscriber) -> Any:
            recognition = stage.open(4, None, hints, spoken)
            for pcm in audio or (AUDIO[:6000], AUDIO[6000:]):
                recognition.feed(pcm)
            return recognition.finish()

        stage = OpenAITranscriber(peer.url, model, **options)
        return bench.guarded("stt", stage, call, useful=lambda t: t.final, **how)

    return hear


def test_an_utterance_becomes_text_with_all_that_the_server_knows(hear: Hear) -> None:
    result = hear("verbose")
    [transcript] = result.items
    assert (transcript.turn, transcript.text, transcript.final) == (4, "Hello there.", True)
    assert transcript.language == "en"
    assert transcript.confidence == pytest.approx(math.exp(-(0.1 * 0.5 + 0.5 * 1.5) / 2.0))
    assert transcript.words == (Word("Hello", 120, 500), Word("there.", 500, 1000))
    assert result.outcomes == [SUCCESS]


def test_the_server_is_told_the_language_of_the_utterance_if_there_is_one(
    hear: Hear, peer: Any
) -> None:
    result = hear("verbose/spoken", spoken="fr")
    [asked] = peer.requests("verbose/spoken")
    assert (asked["language"], result.items[-1].language) == ("fr", "fr")
    result = hear("verbose/found")
    [asked] = peer.requests("verbose/found")
    assert ("language" in asked, result.items[-1].language) == (False, "en")


def test_the_audio_is_uploaded_as_a_wav_file(hear: Hear, peer: Any) -> None:
    hear("verbose/upload", spoken="de", word_times=True, api_key="sk-1")
    [asked] = peer.requests("verbose/upload")
    file = asked["file"]
    assert (file["filename"], file["type"]) == ("utterance.wav", "audio/wav")
    assert file["format"] == [16_000, 1, 2]
    assert base64.b64decode(file["frames"]) == AUDIO.tobytes()
    assert asked["headers"]["authorization"] == "Bearer sk-1"
    assert asked["response_format"] == "verbose_json"
    assert asked["language"] == "de"
    assert asked["timestamp_granularities[]"] == "word"
    assert "stream" not in asked


def test_hints_are_the_prompt(hear: Hear, peer: Any) -> None:
    hear("plain/hints", hints=("Kubernetes", "gRPC"))
    hear("plain/hints", hints=("Kubernetes", "gRPC"), spoken="en")
    hear("plain/hints")
    told, english, untold = peer.requests("plain/hints")
    assert told["prompt"] == "Kubernetes, gRPC."
    assert english["prompt"] == "In this interview we talk about Kubernetes, gRPC."
    assert "prompt" not in untold


def test_no_more_than_two_minutes_are_uploaded(hear: Hear, peer: Any) -> None:
    half = np.zeros(LIMIT_SAMPLES * 2 // 3, np.int16)
    hear("plain/long", half, half)
    [asked] = peer.requests("plain/long")
    assert len(base64.b64decode(asked["file"]["frames"])) == 2 * LIMIT_SAMPLES


def test_audio_too_short_for_a_word_is_not_uploaded(hear: Hear, peer: Any) -> None:
    for audio in (AUDIO[:0], AUDIO[:1599]):
        result = hear("verbose/short", audio)
        assert result.items == [Transcript(4, "", final=True)]
        assert result.outcomes == [SUCCESS]
    assert peer.requests("verbose/short") == []


def test_what_is_fed_may_be_overwritten_afterwards(hear: Hear, peer: Any) -> None:
    async def main() -> None:
        stage = OpenAITranscriber(peer.url, "plain/reused")
        recognition = stage.open(4)
        pcm = AUDIO.copy()
        recognition.feed(pcm)
        pcm[:] = 0
        assert [t async for t in recognition.finish()] == [FINAL]
        await stage.aclose()

    asyncio.run(main())
    [asked] = peer.requests("plain/reused")
    assert base64.b64decode(asked["file"]["frames"]) == AUDIO.tobytes()


def test_silence_may_be_heard_as_nothing(hear: Hear) -> None:
    result = hear("nothing")
    assert result.items == [Transcript(4, "", final=True)]
    assert result.outcomes == [SUCCESS]


def test_a_server_without_verbose_json_is_asked_for_it_once(peer: Any, bench: Any) -> None:
    def twice(stage: OpenAITranscriber) -> Any:
        async def both() -> Any:
            for _ in range(2):
                recognition = stage.open(4)
                recognition.feed(AUDIO)
                async for transcript in recognition.finish():
                    yield transcript

        return both()

    stage = OpenAITranscriber(peer.url, "json-only/twice", word_times=True)
    result = bench.guarded("stt", stage, twice)
    assert result.items == [FINAL, FINAL]
    asked = peer.requests("json-only/twice")
    assert [a["response_format"] for a in asked] == ["verbose_json", "json", "json"]
    assert "timestamp_granularities[]" not in asked[1]


def twice(*, language: str | None = "xx", then: str | None = "xx") -> Any:
    """Two utterances of one session after the other, with hints."""

    def call(stage: OpenAITranscriber) -> Any:
        async def both() -> Any:
            for spoken in (language, then):
                recognition = stage.open(4, None, ("Redis",), spoken)
                recognition.feed(AUDIO)
                async for transcript in recognition.finish():
                    yield transcript

        return both()

    return call


@pytest.mark.parametrize("name", ["prompt", "timestamp_granularities[]", "language", "stream"])
def test_an_option_that_a_server_refuses_is_left_out_from_then_on(
    peer: Any, bench: Any, name: str
) -> None:
    model = f"refuses/{name}"
    stage = OpenAITranscriber(peer.url, model, word_times=True, stream=name == "stream")
    result = bench.guarded("stt", stage, twice())
    assert [t.text for t in result.items] == ["Hello there."] * 2
    first, *others = peer.requests(model)
    assert name in first
    assert [name in asked for asked in others] == [False, False]
    assert others[0].keys() == first.keys() - {name}
    assert stage.learned() == (f"no {name} xx" if name == "language" else f"no {name}",)


def test_a_language_that_a_server_refuses_says_nothing_of_others(peer: Any, bench: Any) -> None:
    stage = OpenAITranscriber(peer.url, "refuses/language")
    before = len(peer.requests("refuses/language"))
    result = bench.guarded("stt", stage, twice(then="de"))
    assert [t.language for t in result.items] == ["en", "de"]  # the server's, and the one asked for
    asked = peer.requests("refuses/language")[before:]
    assert [each.get("language") for each in asked] == ["xx", None, "de"]


def test_a_refusal_of_the_audio_itself_changes_no_format(peer: Any, hear: Hear) -> None:
    result = hear("bad-audio")
    assert result.failure == ("HttpRefused", "connect")
    assert result.error.detail == "HTTP 400: response_format must be json"
    assert result.outcomes == [NEUTRAL]


def test_a_refusal_that_is_not_about_the_request_is_not_tried_again(peer: Any, hear: Hear) -> None:
    assert hear("missing/stt").outcomes == [NEUTRAL]
    assert len(peer.requests("missing/stt")) == 1


def test_a_streamed_answer_has_partial_transcripts(hear: Hear, peer: Any) -> None:
    result = hear("sse", stream=True)
    assert result.items == [
        Transcript(4, "Hello", final=False),
        Transcript(4, "Hello there.", final=False),
        Transcript(4, "Hello there.", final=True, language="en"),
    ]
    assert result.outcomes == [SUCCESS]
    [asked] = peer.requests("sse")
    assert (asked["stream"], asked["response_format"]) == ("true", "json")


def test_a_stream_may_end_with_done_alone(hear: Hear) -> None:
    assert hear("sse-done", stream=True).items[-1] == FINAL


def test_a_server_that_cannot_stream_may_answer_as_usual(hear: Hear) -> None:
    [transcript] = hear("whisper", stream=True).items
    assert transcript.text == "Hello there."


@pytest.mark.parametrize(
    ("model", "failure", "detail"),
    [
        ("list", ("StageFailed", "protocol"), "what should be a JSON object is not"),
        ("no-text", ("StageFailed", "protocol"), "no transcription"),
        ("long", ("StageFailed", "protocol"), "a body of more than 1048576 bytes"),
        ("wild", ("StageFailed", "protocol"), "a text of more than 20000 characters"),
        ("sse-wild", ("StageFailed", "protocol"), "a transcript without end"),
        ("error", ("StageFailed", "stream"), "the server says: the model is gone"),
        ("sse-eof", ("StageFailed", "stream"), "it ended before the transcript did"),
        ("broken", ("StageFailed", "connect"), "HTTP 500"),
        ("busy", ("StageBusy", "connect"), "HTTP 429: slow down"),
    ],
)
def test_an_answer_that_is_none_fails(
    hear: Hear, model: str, failure: tuple[str, str], detail: str
) -> None:
    result = hear(model)
    assert [t for t in result.items if t.final] == []
    assert result.failure == failure
    assert detail in result.error.detail
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize("model", ["silent/stt", "sse-stall/stt"])
def test_a_server_that_keeps_us_waiting_is_left_and_sees_it(
    hear: Hear, peer: Any, model: str
) -> None:
    limits = Limits(first_s=0.1)
    result = hear(model, limits=limits, then=lambda: peer.disconnected(model))
    assert result.failure == ("StageTimeout", "first")
    assert result.outcomes == [FAILURE]


def test_a_cancelled_utterance_is_forgotten(peer: Any) -> None:
    async def main() -> list[Transcript]:
        stage = OpenAITranscriber(peer.url, "plain/cancelled")
        recognition = stage.open(4)
        recognition.feed(AUDIO)
        recognition.cancel()
        recognition.cancel()
        recognition.feed(AUDIO)
        transcripts = [t async for t in recognition.finish()]
        await stage.aclose()
        return transcripts

    assert asyncio.run(main()) == [Transcript(4, "", final=True)]
    assert peer.requests("plain/cancelled") == []
