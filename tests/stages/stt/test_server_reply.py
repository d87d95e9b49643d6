"""What counts of a transcription server's answer, whatever form it has, over HTTP."""

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Outcome
from pipeline.frames import Transcript, Word
from stages.stt._server_languages import code_of
from stages.stt._server_reply import UploadedSpeech, transcript
from stages.stt.openai import OpenAITranscriber

Hear = Callable[..., Any]
TONE = (np.sin(np.arange(48_000) / 10) * 9000).astype(np.int16)
HINTS = ("Docker", "Kubernetes", "Google Cloud")
NOISE = {"no_speech_prob": 0.93, "avg_logprob": -1.1}
SURE = {"no_speech_prob": 0.02, "avg_logprob": -0.2}
ANSWER = "I measured the cache first."


@pytest.fixture
def hear(peer: Any, bench: Any) -> Hear:
    """Has a server that gives the reply transcribe three seconds, and returns the transcripts."""

    def hear(
        reply: Any, *, hints: tuple[str, ...] = (), language: str | None = "en", audio: Any = TONE
    ) -> list[Transcript]:
        def call(stage: OpenAITranscriber) -> Any:
            recognition = stage.open(4, None, hints, language)
            recognition.feed(audio)
            return recognition.finish()

        stage = OpenAITranscriber(peer.url, f"says/{json.dumps(reply)}")
        result = bench.guarded("stt", stage, call, useful=lambda t: t.final)
        assert result.outcomes == [Outcome.SUCCESS]
        return list(result.items)

    return hear


def segment(text: str, start: float = 0.0, end: float = 3.0, **known: Any) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, **known}


def verbose(*segments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    text = "".join(each["text"] for each in segments)
    return {"text": text, "duration": 3.0, "language": "english", "segments": segments, **fields}


LOOP = "All right. " * 120


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (verbose(segment("Thank you for watching!", **NOISE)), "no speech"),
        ({"text": "Thank you for watching!"}, "subtitles"),
        (verbose(segment("We used Redis.", **NOISE)), "no speech"),
        (verbose(segment("Thank you.", avg_logprob="-1.1", no_speech_prob="0.93")), "no speech"),
        (verbose(segment("Docker.", no_speech_prob=0.4, avg_logprob=-2.5)), "improbable"),
        ({"text": "Docker, Kubernetes, Google Cloud."}, "hints"),
        ({"text": "In this interview we talk about Docker, Kubernetes, Google Cloud."}, "hints"),
        ({"text": "In this interview we talk about Docker."}, "hints"),
        (verbose(segment("Docker, Kubernetes, Google Cloud.", **SURE)), ""),
        (verbose(segment(LOOP, **SURE, compression_ratio=15.0)), "repeated"),
        (verbose(*[segment("All right. ", **SURE, compression_ratio=15.0)] * 120), "repeated"),
        (verbose(*[segment("All right. ", **SURE, seek=0)] * 120), "repeated"),
        (verbose(segment("All right.", **SURE, compression_ratio=15.0)), "repeated"),
        ({"text": LOOP}, "repeated"),
        ({"text": "[BLANK_AUDIO]"}, "no words"),
        ({"text": "(upbeat music)"}, "no words"),
        (verbose(segment("*coughs*", **SURE)), "no words"),
        (verbose(segment("[BLANK_AUDIO]"), segment("(music)", 3.0, 5.0)), "no words"),
        (verbose(segment("Thanks", **NOISE), segment(" for watching!", **NOISE)), "no speech"),
        ({"text": "", "segments": []}, "no words"),
        ({"text": None, "segments": []}, "no words"),
    ],
)
def test_what_nobody_said_is_no_answer_and_the_log_says_why(
    hear: Hear, caplog: pytest.LogCaptureFixture, reply: Any, why: str
) -> None:
    caplog.set_level(logging.DEBUG, "stages.stt")
    [final] = hear(reply, hints=HINTS)
    if why:
        assert final == Transcript(4, "", final=True, language="en")
        assert f"turn 4: no answer was heard ({why})" in caplog.messages
    else:
        assert final.text == reply["text"]


@pytest.mark.parametrize(
    ("named", "kept"), [("english", "Take two (latter)"), ("danish", "Take two")]
)
def test_the_language_that_a_server_names_tells_a_word_from_a_sound(
    hear: Hear, named: str, kept: str
) -> None:
    [final] = hear({"text": "Take two (latter)", "language": named}, language=None)
    assert final.text == kept


@pytest.mark.parametrize("text", ["Docker, Kubernetes.", "Docker, Kubernetes. " * 2])
def test_a_prompt_without_a_sentence_is_known_again(hear: Hear, text: str) -> None:
    two = HINTS[:2]
    assert [t.text for t in hear({"text": text}, hints=two, language=None)] == [""]
    assert [t.text for t in hear({"text": "Docker."}, hints=two, language=None)] == ["Docker."]


def test_a_server_that_writes_words_for_silence_is_not_believed(hear: Hear) -> None:
    silence = np.full(48_000, 3, np.int16)
    assert [t.text for t in hear({"text": ANSWER}, audio=silence)] == [""]
    assert [t.text for t in hear({"text": ANSWER})] == [ANSWER]


@pytest.mark.parametrize(
    ("segments", "kept"),
    [
        ([segment(ANSWER, 0, 2, **SURE), segment(" Thank you.", 2, 3, **NOISE)], ANSWER),
        ([segment(ANSWER, 0, 2, **SURE), segment(" Thanks for watching!", 2, 3)], ANSWER),
        ([segment("(music) ", 0, 1, **SURE), segment(ANSWER, 1, 3, **SURE)], ANSWER),
        ([segment("you ", 0, 1, seek=0, **NOISE), segment(ANSWER, 1, 3, seek=100, **SURE)], ANSWER),
        (
            [segment("The pages were", 0, 2), segment(" translated by the team.", 2, 3)],
            "The pages were translated by the team.",
        ),
        ([segment("Kuber", 0, 1, **SURE), segment("netes.", 1, 2, **SURE)], "Kubernetes."),
        (
            [segment(ANSWER, 0, 2, compression_ratio=9), segment(" So", 2, 3, compression_ratio=9)],
            f"{ANSWER} So",
        ),
        (
            [segment("One. ", 0, 1, **NOISE), segment("Two.", 1, 2), segment("Three.", 2, 3)],
            "Two. Three.",
        ),
    ],
)
def test_only_the_segments_that_were_said_are_kept(
    hear: Hear, segments: list[dict[str, Any]], kept: str
) -> None:
    reply = verbose(*segments)
    if kept == "Two. Three.":  # a server that cuts the spaces off its segments
        reply["text"] = "One. Two. Three."
    assert [t.text for t in hear(reply)] == [kept]


def test_words_and_confidence_are_those_of_the_segments_that_count(hear: Hear) -> None:
    reply = verbose(
        segment(ANSWER, 0, 2, **SURE),
        segment(" Thank you.", 2, 3, **NOISE),
        words=[
            {"word": "I", "start": 0.1, "end": 0.2},
            {"word": "Thank", "start": 2.1, "end": 2.4},
        ],
    )
    [final] = hear(reply)
    assert final.words == (Word("I", 100, 200),)
    assert final.confidence == pytest.approx(math.exp(-0.2))


@pytest.mark.parametrize(
    "untimed",
    [
        {"word": "2014,"},
        {"word": "2014,", "start": None, "end": None},
        {"word": "2014,", "start": math.nan, "end": 1},
        {"word": "2014,", "start": "soon", "end": "later"},
        {"word": "2014,", "start": [0], "end": {}},
        {"word": "2014,", "start": True, "end": True},
        {"word": "2014,", "start": 2.0, "end": 1.0},
        {"word": "2014,", "start": -1.0, "end": 1.0},
        {"word": "2014,", "start": 10**400, "end": 10**401},
        {"word": "2014,", "start": 0.2, "end": 9000},
        {"word": None, "start": 0.1, "end": 0.2},
        {"start": 0.1, "end": 0.2},
        {"word": " ", "start": 0.1, "end": 0.2},
        "2014,",
        None,
        ["2014,", 0, 1],
    ],
)
def test_a_word_without_times_is_left_out_and_the_text_stays(hear: Hear, untimed: Any) -> None:
    timed = {"word": " In ", "start": 0.1, "end": "0.25"}
    [final] = hear({"text": "In 2014, I began.", "words": [timed, untimed]})
    assert (final.text, final.words) == ("In 2014, I began.", (Word("In", 100, 250),))


def test_words_may_stand_in_the_segments_and_be_called_text(hear: Hear) -> None:
    one = segment("We ", 0, 1, words=[{"text": "We", "start": 0, "end": 1}])
    two = segment("did.", 1, 2, words=[{"word": "did.", "start": 1, "end": 2}])
    [final] = hear(verbose(one, two, words=None))
    assert final.words == (Word("We", 0, 1000), Word("did.", 1000, 2000))


WRONG = (None, "no", "", 7, -1.5, True, [], ["x"], [None], {}, {"a": 1}, [[]], math.nan, 10**400)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("field", ["segments", "words", "language", "languages", "duration"])
def test_a_field_of_the_wrong_type_costs_no_text(hear: Hear, field: str, wrong: Any) -> None:
    [final] = hear({**verbose(segment(ANSWER, **SURE)), field: wrong}, language=None)
    assert (final.text, final.words) == (ANSWER, ())


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "field",
    ["text", "start", "end", "seek", "avg_logprob", "no_speech_prob", "compression_ratio", "words"],
)
def test_a_segments_field_of_the_wrong_type_costs_no_text(
    hear: Hear, field: str, wrong: Any
) -> None:
    bad = {**segment(ANSWER, 0, 2, **SURE), field: wrong}
    also = " It was slow."
    reply = {"text": ANSWER + also, "segments": [bad, segment(also, 2, 3, **SURE)]}
    [final] = hear(reply)
    assert final.text == ANSWER + also


@pytest.mark.parametrize(
    "reply",
    [
        {"text": [ANSWER]},
        {"text": [{"type": "text", "text": ANSWER}, None]},
        {"text": None, "segments": [segment(ANSWER)]},
        {"segments": [segment(" I measured"), segment(" the cache first.")]},
        {"text": f" {ANSWER}\n", "error": None},
    ],
)
def test_the_text_may_stand_in_other_places(hear: Hear, reply: Any) -> None:
    assert [t.text for t in hear(reply)] == [ANSWER]


def test_a_lone_surrogate_costs_no_text(hear: Hear) -> None:
    [final] = hear(
        {"text": f"{ANSWER} \ud83d", "words": [{"word": "\ud83d", "start": 0, "end": 1}]}
    )
    assert (final.text, final.words) == (f"{ANSWER} ?", (Word("?", 0, 1000),))


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"language": "english"}, "en"),
        ({"language": " German "}, "de"),
        ({"language": "en-US"}, "en"),
        ({"language": "pt_BR"}, "pt"),
        ({"language": "<|fr|>"}, "fr"),
        ({"language": ["de", "en"]}, "de"),
        ({"language": {"code": "de"}}, "de"),
        ({"language": None, "languages": ["fr"]}, "fr"),
        ({"language": "", "languages": [{"code": None}, {"language": "it"}]}, "it"),
        ({"languages": "es"}, "es"),
        ({"language": "und"}, None),
        ({"language": "unknown"}, None),
        ({"language": 7, "languages": {}}, None),
        ({}, None),
    ],
)
def test_the_language_is_a_code_however_it_is_named(named: dict[str, Any], code: str) -> None:
    assert code_of(named) == code


def deltas(*texts: Any) -> list[dict[str, Any]]:
    return [{"type": "transcript.text.delta", "delta": text} for text in texts]


DONE = {"type": "transcript.text.done"}


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ([*deltas("I measured", " it."), {**DONE, "text": "I measured it."}], "I measured it."),
        ([*deltas("I measured", " it."), {**DONE, "text": None}], "I measured it."),
        ([*deltas("I measured", " it."), DONE], "I measured it."),
        ([*deltas("I measured", " it."), "[DONE]"], "I measured it."),
        ([*deltas(None, 7, ["x"], {}, "I did."), {**DONE, "text": ["I did."]}], "I did."),
        ([{"choices": [{"delta": {"content": "I did."}}]}, {"choices": []}, "[DONE]"], "I did."),
        ([{"choices": [{"delta": None}]}, {"choices": [None]}, *deltas("I did."), DONE], "I did."),
        ([{"type": ["odd"], "delta": "x"}, {}, *deltas("I did."), DONE], "I did."),
        ([*deltas("I \ud800did."), DONE], "I ?did."),
        ([*deltas("[BLANK", "_AUDIO]"), {**DONE, "text": "[BLANK_AUDIO]"}], ""),
        ([*deltas("Docker, Kubernetes, Google Cloud."), DONE], ""),
        ([*deltas("*coug", "hs*"), DONE], ""),
        ([*deltas(LOOP), DONE], ""),
    ],
)
def test_a_streamed_text_is_read_and_judged_alike(hear: Hear, events: Any, shown: str) -> None:
    *partials, final = hear(events, hints=HINTS)
    assert (final.text, final.final) == (shown, True)
    assert [t.text for t in partials][-1:] == ([shown] if shown else partials[:0])


def test_no_reply_takes_long() -> None:
    upload = UploadedSpeech(120.0, -20.0, HINTS * 20, "en")
    many = [segment("a ", **SURE)] * 9_000
    words = [{"word": "a", "start": 1, "end": 1}] * 9_000
    final, why = transcript(1, {**verbose(*many), "words": words}, upload)
    assert (final.text, why) == ("", "repeated")
