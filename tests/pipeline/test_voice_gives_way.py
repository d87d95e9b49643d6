"""A voice that breaks off or trickles, with another voice behind it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.breaker import Mode
from pipeline.frames import Degraded, ReplyDone, ReplyText, Sentence, Speech
from pipeline.stage import Brief
from stages.fakes import FakeSynthesizer, Script

LINE = "Well, tell me more about that."


class Second(FakeSynthesizer):
    """Writes down what it is asked to say."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*scripts, provider="second")
        self.asked: list[str] = []
        self.languages: tuple[str, ...] | None = None

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self.asked.append(sentence.text)
        return super().speak(sentence)


class Untimed(FakeSynthesizer):
    """Tells no words; 100 ms of sound, then nothing."""

    def __init__(self, sound_ms: int, gap_s: float = 3600.0, pieces: int = 100) -> None:
        super().__init__(provider="first")
        self._sound_ms = sound_ms
        self._gap_s = gap_s
        self._pieces = pieces  # after gaps

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        tone = self._tone(0)
        pcm = tone[: self.rate_hz // 10]
        for _ in range(self._sound_ms // 100):
            yield Speech(sentence.turn, pcm)
        for _ in range(self._pieces):
            await asyncio.sleep(self._gap_s)
            yield Speech(sentence.turn, pcm)


def opening(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)


def told(conversation: Any) -> list[tuple[str, str, str]]:
    return [(d.stage, d.source, d.target) for d in conversation.all(Degraded)]


@pytest.mark.parametrize(
    "script", [Script(after=3, stall=True), Script(after=3, error=OSError("gone"))]
)
def test_the_next_voice_says_the_rest_from_the_word_that_was_cut_off(
    conversation: Any, script: Script
) -> None:
    second = Second()
    conversation.synthesizers = [FakeSynthesizer(script, provider="first"), second]
    opening(conversation)
    assert second.asked == ["me more about that."]
    assert told(conversation) == [("tts", "first", "second")]
    assert [text.text for text in conversation.all(ReplyText)] == [LINE]
    [done] = conversation.all(ReplyDone)
    assert (done.heard, conversation.audio_ms(0)) == (LINE, 3 * 200 + 4 * 200)


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (Untimed(100), LINE),
        (Untimed(1000), "more about that."),
        (Untimed(100, gap_s=0.9), LINE),
    ],
    ids=["stalls at once", "stalls after a second", "trickles"],
)
def test_a_voice_without_times_that_stalls_or_trickles_gives_way(
    conversation: Any, first: Any, rest: str
) -> None:
    second = Second()
    conversation.synthesizers = [first, second]
    opening(conversation)
    assert second.asked == [rest]
    assert told(conversation) == [("tts", "first", "second")]
    assert conversation.all(ReplyDone)[0].heard == LINE


def test_where_every_voice_breaks_off_the_client_has_the_text(conversation: Any) -> None:
    broken = Script(after=2, error=OSError("gone"))
    conversation.synthesizers = [FakeSynthesizer(broken, provider="first"), Second(broken)]
    opening(conversation)
    assert told(conversation) == [("tts", "first", "second"), ("tts", "second", "text")]


def test_a_sentence_that_was_said_to_its_end_is_not_said_again(conversation: Any) -> None:
    second = Second()
    long = FakeSynthesizer(Script(after=6, stall=True), ms_per_word=400, provider="first")
    conversation.synthesizers = [long, second]
    opening(conversation)
    assert second.asked == []
    assert told(conversation) == [("tts", "first", "text")]


def test_a_voice_that_may_not_be_asked_is_not_blamed(conversation: Any) -> None:
    broken = Script(after=2, error=OSError("gone"))
    second = Second()
    conversation.synthesizers = [FakeSynthesizer(broken, provider="first"), second]

    def forbid() -> None:
        guard = conversation.session._stages.synthesizers
        guard.candidates[1].breaker.mode = Mode.FORCED_OPEN

    conversation.early = forbid
    opening(conversation)
    assert second.asked == []
    assert told(conversation) == [("tts", "first", "text")]


# --- who can go on ---------------------------------------------------------------------------


def test_a_voice_that_lags_is_kept_where_no_other_knows_the_language(conversation: Any) -> None:
    second = Second()
    second.languages = ("de",)
    conversation.host.wishes = Brief((), language="en")
    conversation.synthesizers = [Untimed(100, gap_s=0.3, pieces=20), second]
    opening(conversation)
    assert (second.asked, told(conversation)) == ([], [])
    assert conversation.audio_ms(0) == 21 * 100


def test_a_voice_that_lags_is_kept_where_no_other_may_be_asked(conversation: Any) -> None:
    second = Second()
    conversation.synthesizers = [Untimed(100, gap_s=0.3, pieces=20), second]

    def forbid() -> None:
        guard = conversation.session._stages.synthesizers
        guard.candidates[1].breaker.mode = Mode.FORCED_OPEN

    conversation.early = forbid
    opening(conversation)
    assert (second.asked, told(conversation)) == ([], [])


def test_a_voice_that_lags_gives_way_to_one_that_knows_the_language(conversation: Any) -> None:
    second = Second()
    second.languages = ("de", "en")
    conversation.host.wishes = Brief((), language="en")
    conversation.synthesizers = [Untimed(100, gap_s=0.3, pieces=20), second]
    opening(conversation)
    assert len(second.asked) == 1
    assert told(conversation) == [("tts", "first", "second")]


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("请告诉我更多关于这个项目的事情。", "更多关于这个项目的事情。"),
        ("我们用 Postgres 数据库做这个项目。", "Postgres 数据库做这个项目。"),
        ("もう少し詳しく教えてください。", "詳しく教えてください。"),
        ("그 프로젝트에 대해 더 말해 주세요.", "프로젝트에 대해 더 말해 주세요."),
        ("Donaudampfschifffahrt ist ein Wort.", "Donaudampfschifffahrt ist ein Wort."),
    ],
)
def test_the_rest_of_a_line_begins_where_its_script_has_a_beginning(
    conversation: Any, line: str, rest: str
) -> None:
    second = Second()
    conversation.host.say = (line,)
    conversation.synthesizers = [Untimed(900), second]
    opening(conversation)
    assert second.asked == [rest]


@pytest.mark.parametrize("line", ["好的，请继续。", "Go on."])
def test_of_a_line_that_was_said_nothing_is_said_again(conversation: Any, line: str) -> None:
    second = Second()
    conversation.host.say = (line,)
    conversation.synthesizers = [Untimed(2000), second]
    opening(conversation)
    assert second.asked == []
    assert told(conversation) == [("tts", "first", "text")]
