"""What the person hears where a stage hangs: a filler within the budget, then the reply."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from pipeline.canned import CANNED_LINES, CannedLines
from pipeline.fillers import Fillers
from pipeline.frames import (
    Clear,
    Degraded,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    SpeechStopped,
    Spoken,
    TurnMetrics,
    Visemes,
)
from pipeline.session import SessionPolicy
from pipeline.stage import Brief
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

LINE = "Well, tell me more about that."
SPEECHLESS = "Sorry, I lost my thread for a moment. Please go on."
LINES = CannedLines()
HANGS = Script(stall=True)
BUDGET_MS = 1000.0


@pytest.fixture
def late(conversation: Any) -> Any:
    """A conversation with fillers, in which each reply comes after two seconds."""
    conversation.fillers = Fillers()
    conversation.responders = [FakeResponder(Script(first_s=1.9))]
    return conversation


def talk(conversation: Any, turns: int = 2) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in range(1, turns):
            await conversation.speak()
            await conversation.until(ReplyDone, turn)

    conversation.run(story)


def texts(conversation: Any, turn: int) -> list[str]:
    return [text.text for text in conversation.all(ReplyText) if text.turn == turn]


def voice_to_voice(conversation: Any) -> list[float]:
    return [metrics.voice_to_voice_ms or 0.0 for metrics in conversation.all(TurnMetrics)]


def told(conversation: Any) -> list[tuple[str, str, str]]:
    return [(d.stage, d.source, d.target) for d in conversation.all(Degraded)]


# --- when ------------------------------------------------------------------------------------


def test_something_is_heard_within_the_budget_in_every_turn_from_the_first_on(late: Any) -> None:
    talk(late, turns=4)
    assert voice_to_voice(late) == pytest.approx([950.0] * 4, abs=30)
    assert [texts(late, turn) for turn in range(4)] == [
        [LINES.opening, LINE],
        [LINES.fillers[0], LINE],
        [LINES.fillers[1], LINE],
        [LINES.fillers[2], LINE],
    ]
    assert [text.filler for text in late.all(ReplyText)] == [True, False] * 4


def test_the_client_is_told_who_is_waited_for(late: Any) -> None:
    talk(late)
    assert told(late) == [("llm", "fake-llm", "filler")] * 2


def test_a_reply_in_time_needs_no_filler_and_is_not_delayed(late: Any) -> None:
    late.responders = [FakeResponder()]
    talk(late)
    assert [texts(late, turn) for turn in (0, 1)] == [[LINE], [LINE]]
    assert told(late) == []
    [decided] = late.all(SpeechStopped)
    [started] = [frame for frame in late.all(ReplyStarted) if frame.turn == 1]
    assert late.at(started) == late.at(decided)


def test_the_reply_follows_at_once_at_the_end_of_the_filler(late: Any) -> None:
    late.responders = [FakeResponder(Script(first_s=1.0))]
    talk(late, turns=1)
    sent = [at for at, frame in late.frames if isinstance(frame, ReplyAudio)]
    assert max(after - before for before, after in pairwise(sent)) == pytest.approx(0.02)
    words = len(f"{LINES.opening} {LINE}".split())
    assert late.audio_ms(0) == words * 200


def test_a_filler_is_not_spoken_twice_in_a_row(late: Any) -> None:
    talk(late, turns=9)
    fillers = [texts(late, turn)[0] for turn in range(9)]
    assert all(before != after for before, after in pairwise(fillers))
    assert set(fillers) == {LINES.opening, *LINES.fillers}


@pytest.mark.parametrize(("pause_ms", "due_ms"), [(0, 950.0), (980, 1130.0), (3000, 3500.0)])
def test_a_reply_has_some_time_after_a_late_decision(
    late: Any, pause_ms: int, due_ms: float
) -> None:
    late.policy = SessionPolicy(TurnPolicy(mode="manual"), speculate=False)
    late.responders = [FakeResponder(Script(), Script(first_s=1.9))]

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.pause(pause_ms)
        late.session.commit()
        await late.until(ReplyDone, 1)

    late.run(story)
    assert voice_to_voice(late)[1] == pytest.approx(due_ms, abs=40)


def test_a_reply_that_was_prepared_is_spoken_without_a_filler(late: Any) -> None:
    late.policy = SessionPolicy()
    late.responders = [FakeResponder(Script(), Script(first_s=0.5))]
    talk(late)
    assert texts(late, 1) == [LINE]


# --- what is remembered, shown and measured --------------------------------------------------


def test_a_filler_is_heard_but_not_remembered(late: Any) -> None:
    talk(late)
    assert [done.heard for done in late.all(ReplyDone)] == [
        f"{LINES.opening} {LINE}",
        f"{LINES.fillers[0]} {LINE}",
    ]
    assert ("commit", 1, "I like tests", LINE) in late.host.log


def test_the_metrics_tell_the_filler_and_when_the_reply_began(late: Any) -> None:
    talk(late)
    *others, filler = late.all(TurnMetrics)[1].stages
    assert [span.stage for span in others] == ["endpointing", "stt", "llm", "tts"]
    assert (filler.stage, filler.provider) == ("filler", "fake-tts")
    assert filler.start == filler.first == pytest.approx(950, abs=30)
    said_ms = len(LINES.fillers[0].split()) * 200
    reply_at = max(950 + said_ms - 200, others[-1].first)  # 200 ms are sent ahead
    assert filler.end == pytest.approx(reply_at, abs=50)


def test_the_mouth_moves_with_the_filler_and_then_with_the_reply(late: Any) -> None:
    talk(late, turns=1)
    starts = [frame.start_ms for frame in late.all(Visemes)]
    assert starts == [200 * index for index in range(len(starts))]
    spoken = [speech.at_ms for _, speech in late.spoken]
    assert spoken == sorted(spoken)
    assert [speech.last for _, speech in late.spoken].count(True) == 2
    assert all(isinstance(speech, Spoken) for _, speech in late.spoken)


def test_a_canned_line_follows_a_filler_where_the_reply_fails(late: Any) -> None:
    late.responders = [FakeResponder(HANGS)]
    talk(late)
    assert texts(late, 1) == [LINES.fillers[0], SPEECHLESS]
    assert told(late) == [("llm", "fake-llm", "filler"), ("llm", "fake-llm", "canned line")] * 2


def test_the_hard_limit_still_holds_after_a_filler(late: Any) -> None:
    late.policy = SessionPolicy(hard_s=2.5, speculate=False)
    late.responders = [FakeResponder(Script(first_s=1.9))]
    talk(late, turns=1)
    [_, (at, _)] = [(at, f) for at, f in late.frames if isinstance(f, ReplyText)]
    assert texts(late, 0) == [LINES.opening, SPEECHLESS]
    assert at < 2.5


# --- a person who speaks on ------------------------------------------------------------------


def test_speech_into_a_filler_stops_it_like_any_reply(late: Any) -> None:
    late.responders = [FakeResponder(Script(), Script(first_s=1.9))]

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyStarted, 1)
        await late.speak(1500)
        await late.until(ReplyDone, 2)

    late.run(story)
    [_, first, second] = late.all(ReplyDone)
    assert (first.turn, first.interrupted) == (1, True)
    assert late.all(Clear)[-1].turn == 1
    assert texts(late, 1) == [LINES.fillers[0]]
    assert ("commit", 1, "I like tests", "") in late.host.log
    assert second.heard.endswith(LINE)


def test_a_backchannel_pauses_a_filler_and_the_reply_comes_behind_it(late: Any) -> None:
    late.responders = [FakeResponder(Script(), Script(first_s=1.5))]

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.speak()
        await late.until(ReplyStarted, 1)
        await late.speak(300)
        await late.until(ReplyDone, 1)

    late.run(story)
    assert late.all(ReplyDone)[-1].heard == f"{LINES.fillers[0]} {LINE}"
    assert ("commit", 1, "I like tests", LINE) in late.host.log


def test_a_client_that_interrupts_before_the_filler_hears_none(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        late.session.typed("I like tests")
        await asyncio.sleep(0.5)
        late.session.interrupt()
        await late.pause(3000)

    late.run(story)
    assert texts(late, 1) == []


def test_a_client_that_is_away_comes_back_to_the_reply_without_a_filler(late: Any) -> None:
    async def story() -> None:
        await late.until(ReplyDone, 0)
        late.session.suspend()
        late.session.typed("I like tests")
        await asyncio.sleep(10)
        late.session.proceed()
        await late.until(ReplyDone, 1)

    late.run(story)
    assert texts(late, 1) == [LINE]


# --- whatever hangs --------------------------------------------------------------------------

HUNG: dict[str, Callable[[Any], None]] = {
    "stt": lambda c: setattr(c, "transcribers", [FakeTranscriber(HANGS)]),
    "llm": lambda c: setattr(c, "responders", [FakeResponder(HANGS)]),
    "tts": lambda c: setattr(
        c, "synthesizers", [FakeSynthesizer(HANGS), FakeSynthesizer(provider="next")]
    ),
}


@pytest.mark.parametrize("slot", HUNG)
def test_whichever_stage_hangs_something_is_heard_in_time(late: Any, slot: str) -> None:
    late.responders = [FakeResponder()]
    HUNG[slot](late)
    talk(late, turns=4)
    heard = voice_to_voice(late)
    assert max(heard) <= 1.2 * BUDGET_MS, heard
    stages = {stage for stage, _, target in told(late) if target == "filler"}
    assert stages == {slot}


def test_a_voice_that_hangs_leaves_the_filler_to_the_next_one(late: Any) -> None:
    late.responders = [FakeResponder()]
    HUNG["tts"](late)
    talk(late, turns=1)
    [span] = [span for span in late.all(TurnMetrics)[0].stages if span.stage == "filler"]
    assert span.provider == "next"


def test_a_filler_that_comes_late_is_spoken_once_it_is_there(late: Any) -> None:
    late.synthesizers = [FakeSynthesizer(Script(first_s=0.9))]
    late.responders = [FakeResponder(Script(first_s=1.9))]
    talk(late, turns=1)
    assert voice_to_voice(late)[0] == pytest.approx(1250, abs=30)
    assert texts(late, 0) == [LINES.opening, LINE]


def test_a_filler_that_comes_after_the_reply_is_not_spoken(late: Any) -> None:
    late.synthesizers = [FakeSynthesizer(Script(first_s=0.9))]
    late.responders = [FakeResponder(Script(first_s=0.3))]
    talk(late, turns=1)
    assert texts(late, 0) == [LINE]


def test_an_attempt_that_fails_after_a_filler_is_repeated(late: Any) -> None:
    """What was prepared ahead of the decision failed: the turn's own attempt follows."""
    late.policy = SessionPolicy()
    late.responders = [
        FakeResponder(
            Script(), Script(first_s=1.5, after=1, error=OSError("gone")), Script(first_s=0.1)
        )
    ]
    talk(late)
    assert texts(late, 1) == [LINES.fillers[0], LINE]
    assert late.all(ReplyDone)[-1].heard == f"{LINES.fillers[0]} {LINE}"


# --- where there is none ---------------------------------------------------------------------


def test_a_written_reply_has_no_filler(late: Any) -> None:
    late.host.wishes = Brief((), spoken=False)
    talk(late, turns=1)
    assert texts(late, 0) == [LINE]


def test_a_session_may_do_without(late: Any) -> None:
    late.policy = replace(late.policy, fills=False)
    talk(late, turns=1)
    assert texts(late, 0) == [LINE]


def test_a_line_that_replies_to_nothing_has_no_filler(late: Any) -> None:
    late.responders = [FakeResponder()]
    late.host.prompts = ("Are you still there?",)
    late.synthesizers = [FakeSynthesizer(Script(first_s=0.1), Script(first_s=1.9))]
    late.policy = SessionPolicy(TurnPolicy(prompt_ms=1000), speculate=False)

    async def story() -> None:
        await late.until(ReplyDone, 0)
        await late.until(ReplyDone, 1)

    late.run(story)
    assert "filler" not in [target for _, _, target in told(late)]


@pytest.mark.parametrize("language", CANNED_LINES)
def test_every_language_has_fillers_and_no_two_alike(language: str) -> None:
    lines = CANNED_LINES[language]
    said = [lines.opening, *lines.fillers]
    assert len(set(said)) == len(said) >= 4


def test_a_reply_that_has_begun_needs_no_filler_however_slowly_it_goes_on(late: Any) -> None:
    late.responders = [FakeResponder(Script(gap_s=0.3), text="Well. And then what was it?")]
    late.synthesizers = [FakeSynthesizer(Script(first_s=0.01))]
    talk(late, turns=1)
    assert texts(late, 0) == ["Well.", "And then what was it?"]


def test_a_turn_that_waits_for_the_one_before_to_be_stored_has_no_filler(late: Any) -> None:
    late.responders = [FakeResponder()]
    late.host.commit_s = 2.0

    async def story() -> None:
        await late.until(ReplyDone, 0)
        late.session.typed("I like tests")
        await late.until(ReplyDone, 1)

    late.run(story)
    assert texts(late, 1) == [LINE]
