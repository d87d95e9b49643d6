"""A recogniser that outlasts the turn's limit: the person is told, and the answer is not lost."""

import asyncio
import gc
import re
from itertools import pairwise
from typing import Any

import pytest

from pipeline.answer import LATE_FACTOR, Answer
from pipeline.breaker import Breaker, Outcome
from pipeline.budget import TurnBudget
from pipeline.canned import CANNED_LINES, CannedLines
from pipeline.errors import StageUnavailable
from pipeline.frames import (
    AvatarState,
    Degraded,
    ReplyDone,
    ReplyText,
    SpeechStopped,
    Transcript,
    TurnMetrics,
)
from pipeline.guard import Candidate, Guard, Limits
from pipeline.session import SessionPolicy
from pipeline.testing import run_virtual
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

HARD_S = 6.0
SLOW_S = 3 * HARD_S
LINES = CannedLines()
REPLY = "Well, tell me more about that."


@pytest.fixture(params=[False, True], ids=["", "speculating"])
def late(request: pytest.FixtureRequest, conversation: Any) -> Any:
    """A conversation with one recogniser, three times slower than the limit in the first answer."""
    conversation.policy = SessionPolicy(hard_s=HARD_S, speculate=request.param)
    limits = Limits(first_s=120.0, slow_first_s=20.0, total_s=150.0)
    conversation.limits = {"fake-stt": limits}
    slow = Script(first_s=SLOW_S)
    conversation.transcribers = [FakeTranscriber(slow, slow, Script(), texts=("I like tests",))]
    return conversation


def talk(conversation: Any, turns: int = 1) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in range(1, turns + 1):
            await conversation.speak()
            await conversation.until(ReplyDone, turn, within_ms=60_000)

    conversation.run(story)


def said(conversation: Any, turn: int) -> list[str]:
    return [text.text for text in conversation.all(ReplyText) if text.turn == turn]


def decided_at(conversation: Any, turn: int = 1) -> float:
    [stopped] = [frame for frame in conversation.all(SpeechStopped) if frame.turn == turn]
    at: float = conversation.at(stopped)
    return at


def test_an_answer_three_times_later_than_the_limit_is_stored_and_replied_to(late: Any) -> None:
    talk(late)
    assert said(late, 1) == [LINES.listening, LINES.still_listening, LINES.still_listening, REPLY]
    assert late.host.log[1:] == [
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", REPLY),
    ]
    assert [(d.stage, d.source, d.target) for d in late.all(Degraded)] == [
        ("stt", "fake-stt", "holding line")
    ]


def test_the_person_hears_a_line_within_the_limit_and_again_after_every_limit(late: Any) -> None:
    talk(late)
    decided = decided_at(late)
    told = [late.at(text) - decided for text in late.all(ReplyText) if text.turn == 1]
    assert told[0] <= HARD_S
    assert max(b - a for a, b in pairwise(told)) <= HARD_S


def test_the_words_are_shown_when_they_are_stored_and_before_the_reply(late: Any) -> None:
    talk(late)
    [final] = late.all(Transcript)
    kinds = [frame for _, frame in late.frames if isinstance(frame, (Transcript, ReplyText))]
    assert final == Transcript(1, "I like tests", final=True, language="en", confidence=0.9)
    assert kinds[kinds.index(final) + 1] == ReplyText(1, REPLY)


def test_the_next_turn_begins_with_a_whole_limit(late: Any) -> None:
    late.transcribers = [FakeTranscriber(Script(first_s=SLOW_S), Script(), texts=("yes",))]
    late.policy = SessionPolicy(hard_s=HARD_S, speculate=False)
    talk(late, turns=2)
    assert said(late, 2) == [REPLY]


def test_a_reply_after_a_late_answer_is_waited_for_no_longer_than_another(late: Any) -> None:
    late.responders = [FakeResponder(Script(), Script(stall=True))]
    talk(late)
    came = decided_at(late) + SLOW_S
    assert said(late, 1)[-1] == LINES.speechless
    [sorry] = [text for text in late.all(ReplyText) if text.text == LINES.speechless]
    assert late.at(sorry) - came <= HARD_S


def test_a_voice_that_stalls_after_the_holding_line_leaves_the_text(late: Any) -> None:
    voice = Script()
    late.synthesizers = [FakeSynthesizer(voice, voice, voice, voice, Script(stall=True))]
    talk(late)
    assert said(late, 1)[-1] == REPLY
    assert [d.target for d in late.all(Degraded)] == ["holding line", "text"]


def test_a_recogniser_that_fails_after_all_asks_the_person_to_repeat(late: Any) -> None:
    class Fails(FakeTranscriber):
        async def transcripts(self, turn: int) -> Any:
            await asyncio.sleep(SLOW_S)
            raise OSError("gone")
            yield

    late.transcribers = [Fails()]
    talk(late)
    assert said(late, 1)[0] == LINES.listening
    assert said(late, 1)[-1] == LINES.unheard
    assert [d.target for d in late.all(Degraded)] == ["holding line", "canned line"]
    assert late.host.log == [("commit", 0, "", REPLY), ("commit", 1, "", "")]


def test_late_silence_is_no_answer(late: Any) -> None:
    late.transcribers = [FakeTranscriber(Script(first_s=SLOW_S), texts=("",))]
    talk(late)
    assert said(late, 1)[-1] == LINES.unheard


def test_a_recogniser_that_hangs_is_given_up_at_the_second_limit(late: Any) -> None:
    late.transcribers = [FakeTranscriber(Script(stall=True))]
    talk(late)
    [sorry] = [text for text in late.all(ReplyText) if text.text == LINES.unheard]
    ended = decided_at(late) - 1.0
    assert late.at(sorry) - ended == pytest.approx(LATE_FACTOR * HARD_S, abs=2.0)
    assert late.breakers["fake-stt"].settled == [Outcome.FAILURE]


def test_the_second_limit_grows_with_what_was_said(late: Any) -> None:
    late.policy = SessionPolicy(TurnPolicy(longest_ms=60_000), hard_s=2.0, speculate=False)
    late.transcribers = [FakeTranscriber(Script(first_s=39.0), texts=("a long story",))]

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak(40_000)
        await late.until(ReplyDone, 1, within_ms=60_000)

    late.run(story)
    assert ("accept", 1, "a long story") in late.host.log


# --- what the person does meanwhile ----------------------------------------------------------


def test_speech_during_the_wait_is_recognised_as_one_answer_with_what_was_said(late: Any) -> None:
    fed: list[int] = []

    class Hears(FakeTranscriber):
        def open(self, *arguments: Any, **options: Any) -> Any:
            recognition = super().open(*arguments, **options)
            spoken = 0
            finish = recognition.finish

            def feed(pcm: Any) -> None:
                nonlocal spoken
                spoken += int((pcm != 0).sum()) // 16

            def finished() -> Any:
                fed.append(spoken)
                return finish()

            recognition.feed, recognition.finish = feed, finished
            return recognition

    late.transcribers = [Hears(Script(first_s=SLOW_S), texts=("both parts",))]

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak(1000)
        await late.until(ReplyText, 1)
        await late.pause(6000)
        await late.speak(800)
        await late.until(ReplyDone, 2, within_ms=60_000)

    late.run(story)
    assert fed[-1] == 1800
    assert [entry for entry in late.host.log if entry[0] == "accept"] == [
        ("accept", 2, "both parts")
    ]
    assert [final.text for final in late.all(Transcript)] == ["both parts"]


def test_what_was_heard_in_a_turn_that_is_carried_on_has_its_metrics(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyText, 1)
        await late.pause(600)
        await late.speak()
        await late.until(ReplyDone, 2, within_ms=60_000)

    late.run(story)
    told = [(each.turn, each.carried) for each in late.all(TurnMetrics)]
    assert told == [(0, False), (1, True), (2, False)]
    carried = late.all(TurnMetrics)[1]
    assert carried.voice_to_voice_ms is not None
    assert sum(share.ms for share in carried.shares) == pytest.approx(carried.voice_to_voice_ms)


def test_between_the_holding_lines_the_face_thinks(late: Any) -> None:
    talk(late)
    states = [frame.state for frame in late.all(AvatarState) if frame.turn == 1]
    assert states == ["listening", *["thinking", "speaking"] * 3, "idle"]


def test_nothing_is_told_of_a_holding_line_that_nobody_hears_to_its_end(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyText, 1)
        late.session.suspend()
        await late.pause(4000)
        states = [frame.state for frame in late.all(AvatarState) if frame.turn == 1]
        assert states == ["listening", "thinking", "speaking", "listening"]
        late.session.proceed()
        await late.until(ReplyDone, 1, within_ms=60_000)

    late.run(story)
    assert late.host.log[-1] == ("commit", 1, "I like tests", REPLY)


def test_a_cough_during_the_wait_changes_nothing(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyText, 1)
        await late.pause(600)
        await late.speak(300)
        await late.until(ReplyDone, 1, within_ms=60_000)

    late.run(story)
    assert ("accept", 1, "I like tests") in late.host.log
    assert said(late, 1)[-1] == REPLY


def test_typed_words_during_the_wait_follow_what_was_said(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyText, 1)
        late.session.typed("and coffee")
        await late.until(ReplyDone, 2, within_ms=60_000)

    late.run(story)
    assert ("accept", 2, "I like tests and coffee") in late.host.log


def test_a_client_that_leaves_during_the_wait_has_its_answer_stored(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyText, 1)

    late.run(story)
    assert ("accept", 1, "I like tests") in late.host.log


def test_the_error_of_a_recognition_that_is_given_up_leaves_no_complaint() -> None:
    class Fails(Answer):
        async def recognise(self, on_partial: Any) -> Transcript:
            raise StageUnavailable("stt", ())

    complaints: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        unused: Any = None
        answer = Fails(
            1,
            None,
            "",
            budget=TurnBudget(0.0),
            outputs=unused,
            transcribers=Guard("stt", [Candidate("one", FakeTranscriber(), Breaker())]),
            host=unused,
            emit=unused,
            waited=unused,
            heard=unused,
        )
        await asyncio.wait((answer.recognising(unused),))
        await answer.give_up()
        gc.collect()

    run_virtual(main())
    assert complaints == []


def test_a_turn_without_a_reply_waits_in_silence(late: Any) -> None:
    late.policy = SessionPolicy(TurnPolicy(replies=False), hard_s=HARD_S)

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(Transcript, 1, within_ms=60_000)

    late.run(story)
    assert said(late, 1) == []
    assert ("accept", 1, "I like tests") in late.host.log


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_line_is_in_the_sessions_language(late: Any, language: str) -> None:
    lines = CANNED_LINES[language]
    late.policy = SessionPolicy(hard_s=HARD_S, canned=lines)
    talk(late)
    assert said(late, 1)[:2] == [lines.listening, lines.still_listening]


def test_what_is_too_much_for_one_answer_is_not_lost_in_silence(
    conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.utterance.LONGEST_S", 2)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(5000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    [gap] = conversation.all(Degraded)
    assert (gap.stage, gap.source, gap.target) == ("stt", "fake-stt", "gap")
    found = re.fullmatch(r"the last (.+) s were not kept: 120 s are the most", gap.reason)
    assert found is not None
    assert 3 < float(found[1]) < 5
    assert conversation.host.log[1] == ("accept", 1, "I like tests")
