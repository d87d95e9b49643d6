from typing import Any

from gateway.commands.call.dialogue import Dialogue


def message(kind: str, turn: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "turn": turn, **fields}


def done(turn: int, *, interrupted: bool = False) -> dict[str, Any]:
    return message("reply.done", turn, interrupted=interrupted)


def opened() -> Dialogue:
    """A call whose opening has been heard at 5 s."""
    dialogue = Dialogue()
    dialogue.end(0.0)
    dialogue.note(message("reply.started", 0), 0.1)
    dialogue.note(done(0), 5.0)
    return dialogue


def test_the_caller_waits_for_the_opening_and_takes_a_breath() -> None:
    dialogue = Dialogue()
    dialogue.end(0.0)
    dialogue.note(message("reply.started", 0), 0.1)
    assert not dialogue.answered(4.9)
    dialogue.note(done(0), 5.0)
    assert [dialogue.answered(now) for now in (5.0, 5.2, 5.4)] == [False, False, True]
    assert dialogue.answers == 0


def test_what_was_said_is_answered_when_the_reply_is_done() -> None:
    dialogue = opened()
    dialogue.begin()
    assert not dialogue.answered(6.0)
    dialogue.end(8.0)
    assert not dialogue.answered(9.0)
    dialogue.note(message("speech.started", 1), 9.0)
    dialogue.note(message("reply.started", 1), 9.5)
    assert not dialogue.answered(11.0)
    dialogue.note(done(1), 12.0)
    assert dialogue.answered(12.5)
    assert dialogue.answers == 1


def test_a_reply_in_the_middle_of_a_clip_does_not_answer_it() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.note(message("speech.started", 1), 6.0)
    dialogue.note(message("reply.started", 1), 7.0)
    dialogue.note(done(1, interrupted=True), 8.0)
    dialogue.note(message("speech.started", 2), 8.0)
    dialogue.end(10.0)
    assert not dialogue.answered(11.0)
    dialogue.note(message("reply.started", 2), 11.0)
    dialogue.note(done(2), 12.0)
    assert dialogue.answered(13.0)
    assert dialogue.answers == 1


def test_a_reply_that_was_heard_out_before_the_clip_went_on_does_not_answer_it() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.note(message("speech.started", 1), 6.0)
    dialogue.note(done(1), 8.0)
    dialogue.end(10.0)
    dialogue.note(message("speech.started", 2), 10.1)
    assert not dialogue.answered(11.0)


def test_the_last_word_may_still_be_noticed() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.note(message("speech.started", 1), 6.0)
    dialogue.note(done(1), 8.0)
    dialogue.end(10.0)
    assert [dialogue.answered(now) for now in (10.4, 10.6)] == [False, True]


def test_an_interrupted_reply_answers_nothing() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.end(6.0)
    dialogue.note(message("reply.started", 1), 7.0)
    dialogue.note(done(1, interrupted=True), 8.0)
    assert not dialogue.answered(20.0)


def test_an_answer_is_overdue_after_the_timeout() -> None:
    dialogue = opened()
    dialogue.begin()
    assert not dialogue.overdue(100.0, 30)
    dialogue.end(100.0)
    assert [dialogue.overdue(now, 30) for now in (129.0, 131.0)] == [False, True]


def test_a_long_reply_is_not_overdue_while_it_is_heard() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.end(100.0)
    dialogue.note(message("reply.started", 1), 125.0)
    assert not dialogue.overdue(131.0, 30)
    dialogue.hear(150.0)
    assert [dialogue.overdue(now, 30) for now in (179.0, 181.0)] == [False, True]


def test_a_paused_reply_is_not_over_and_what_is_said_into_it_needs_no_answer() -> None:
    dialogue = Dialogue()
    dialogue.end(0.0)
    dialogue.note(message("reply.started", 0), 0.1)
    dialogue.note(message("clear", 0, at_ms=2000), 2.1)
    dialogue.note(message("reply.paused", 0, at_ms=2000), 2.1)
    assert not dialogue.answered(4.0)
    dialogue.note(message("reply.resumed", 0, at_ms=2000), 4.0)
    assert not dialogue.answered(8.0)
    dialogue.note(done(0), 9.0)
    assert dialogue.answered(9.5)
    assert (dialogue.resumptions, dialogue.interruptions, dialogue.answers) == (1, 0, 0)


def test_a_paused_reply_that_is_given_up_answers_nothing() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.end(6.0)
    dialogue.note(message("reply.started", 1), 7.0)
    dialogue.begin()
    dialogue.note(message("reply.paused", 1, at_ms=700), 8.0)
    dialogue.note(done(1, interrupted=True), 8.3)
    dialogue.note(message("speech.started", 2), 8.3)
    dialogue.end(9.0)
    assert not dialogue.answered(10.0)
    dialogue.note(message("reply.started", 2), 10.0)
    dialogue.note(done(2), 12.0)
    assert dialogue.answered(12.5)
    assert (dialogue.resumptions, dialogue.interruptions, dialogue.answers) == (0, 1, 1)


def test_a_pause_is_not_overdue_before_the_timeout() -> None:
    dialogue = opened()
    dialogue.begin()
    dialogue.end(100.0)
    dialogue.note(message("reply.started", 1), 101.0)
    dialogue.hear(110.0)
    dialogue.note(message("reply.paused", 1, at_ms=9000), 115.0)
    assert [dialogue.overdue(now, 30) for now in (144.0, 146.0)] == [False, True]
    dialogue.note(message("reply.resumed", 1, at_ms=9000), 116.0)
    assert not dialogue.overdue(145.5, 30)


def test_how_long_the_interviewer_has_been_heard_counts_from_the_first_audio_and_from_a_pause() -> (
    None
):
    dialogue = Dialogue()
    dialogue.hear(0.5)  # of no reply that is known
    assert dialogue.heard_s(0.6) == 0.0
    dialogue.note(message("reply.started", 0), 1.0)
    assert dialogue.heard_s(1.5) == 0.0
    dialogue.hear(2.0)
    dialogue.hear(2.02)
    assert dialogue.heard_s(3.5) == 1.5
    dialogue.note(message("reply.paused", 0, at_ms=1500), 3.5)
    assert dialogue.heard_s(4.0) == 0.0
    dialogue.note(message("reply.resumed", 0, at_ms=1500), 4.5)
    dialogue.hear(5.0)
    assert dialogue.heard_s(6.0) == 1.0
    dialogue.note(done(0), 7.0)
    assert dialogue.heard_s(8.0) == 0.0
