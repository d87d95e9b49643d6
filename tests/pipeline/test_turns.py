"""Turn-taking as tables: the person's actions, and the decisions that follow."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decisions import (
    Action,
    AskTurnModel,
    Cancel,
    Chunk,
    Close,
    Commit,
    Discard,
    DropHeld,
    EndTurn,
    Event,
    Hold,
    Interrupt,
    Judged,
    PolicyChanged,
    Prompt,
    Refuse,
    ReplyBegan,
    ReplyEnded,
    RespondNow,
    Resume,
    Speculate,
    StartTurn,
    TimeUp,
    Typed,
    Understood,
)
from pipeline.input_speech import CHUNK_MS
from pipeline.turn_policy import MOST_HOLDS
from pipeline.turns import TurnPolicy, TurnState, TurnTaking

NEVER = 1_000_000


class Talk:
    """Feeds turn-taking with 32 ms chunks in real time and keeps its actions."""

    def __init__(self, policy: TurnPolicy | None = None, *, opened: bool = True) -> None:
        self.turns = TurnTaking(policy or TurnPolicy(speculate_ms=NEVER))
        self.now = 0.0
        self.at_ms = 0.0
        self.actions: list[Action] = []
        if opened:
            self.turns.open(0.0)
            self.turns.handle(ReplyEnded(0), 0.0)

    def chunks(self, count: int, probability: float) -> list[Action]:
        before = len(self.actions)
        for _ in range(count):
            self.at_ms += CHUNK_MS
            self.now += CHUNK_MS / 1000
            self.actions += self.turns.handle(Chunk(self.at_ms, probability), self.now)
        return self.actions[before:]

    def speech(self, ms: int) -> list[Action]:
        return self.chunks(ms // CHUNK_MS, 0.95)

    def silence(self, ms: int) -> list[Action]:
        return self.chunks(ms // CHUNK_MS, 0.02)

    def does(self, event: Event) -> list[Action]:
        return self.turns.handle(event, self.now)


def test_the_interviewer_speaks_first_in_turn_0() -> None:
    turns = TurnTaking()
    assert turns.open(5.0) == [EndTurn(0, 0, 5.0, spoken=False)]
    assert turns.state is TurnState.THINKING


def test_speech_of_200_ms_starts_a_turn_with_the_audio_from_500_ms_before_it() -> None:
    talk = Talk()
    talk.silence(1024)
    assert talk.speech(192) == []
    assert talk.speech(32) == [StartTurn(turn=1, at_ms=1024, from_ms=524)]
    assert talk.turns.state is TurnState.LISTENING


def test_the_prefix_does_not_reach_before_the_first_sample() -> None:
    talk = Talk()
    assert talk.speech(224) == [StartTurn(turn=1, at_ms=0, from_ms=0)]


def test_a_click_does_not_start_a_turn() -> None:
    talk = Talk()
    for _ in range(20):
        assert talk.speech(160) == []
        assert talk.silence(128) == []


def test_a_gap_of_one_chunk_does_not_forget_speech() -> None:
    talk = Talk()
    talk.speech(160)
    talk.silence(32)
    assert talk.speech(64) == [StartTurn(turn=1, at_ms=0, from_ms=0)]


def test_800_ms_of_silence_end_the_turn_where_the_speech_ended() -> None:
    talk = Talk()
    talk.speech(960)
    assert talk.silence(768) == []
    (answer,) = talk.silence(32)
    assert answer == EndTurn(1, 960, talk.now - 0.8, spoken=True)
    assert talk.turns.state is TurnState.THINKING


def test_speech_within_the_silence_goes_on_with_the_same_turn() -> None:
    talk = Talk()
    talk.speech(960)
    talk.silence(704)
    assert talk.speech(320) == []
    assert talk.silence(768) == []
    (answer,) = talk.silence(32)
    assert isinstance(answer, EndTurn)
    assert (answer.turn, answer.at_ms) == (1, 960 + 704 + 320)


def test_a_probability_between_the_thresholds_keeps_speech_alive_but_starts_none() -> None:
    talk = Talk()
    assert talk.chunks(20, 0.4) == []
    talk.speech(320)
    talk.chunks(40, 0.4)
    assert talk.turns.state is TurnState.LISTENING
    assert talk.chunks(24, 0.34) == []
    assert len(talk.chunks(1, 0.34)) == 1


def test_lost_audio_counts_as_silence() -> None:
    talk = Talk()
    talk.speech(320)
    talk.at_ms += 800
    (answer,) = talk.chunks(1, 0.02)
    assert isinstance(answer, EndTurn)
    assert answer.at_ms == 320


def test_audio_that_stops_coming_ends_the_turn_after_silence_and_grace() -> None:
    talk = Talk()
    talk.speech(320)
    talk.silence(320)
    deadline = talk.turns.deadline
    assert deadline is not None
    assert round(deadline - talk.now, 6) == 0.48 + 0.25
    assert talk.turns.expire(deadline - 0.001) == []
    (answer,) = talk.turns.expire(deadline)
    assert isinstance(answer, EndTurn)
    assert (answer.at_ms, round(answer.ended, 6)) == (320, 0.32)
    assert talk.turns.deadline is None


def test_the_longest_wait_caps_the_silence() -> None:
    talk = Talk(TurnPolicy(silence_ms=2000, max_wait_ms=400, speculate_ms=NEVER))
    talk.speech(320)
    assert talk.silence(384) == []
    assert len(talk.silence(32)) == 1


def test_a_monologue_is_answered_after_a_minute() -> None:
    talk = Talk()
    talk.speech(59_968)
    assert talk.turns.state is TurnState.LISTENING
    (answer,) = talk.speech(32)
    assert isinstance(answer, EndTurn)
    assert answer.spoken


# --- speculation -----------------------------------------------------------------------------


def test_after_200_ms_of_silence_the_answer_may_be_prepared() -> None:
    talk = Talk(TurnPolicy())
    talk.speech(960)
    assert talk.silence(192) == []
    (speculate,) = talk.silence(32)
    assert speculate == Speculate(1, 960, talk.now - 0.224)
    assert talk.silence(544) == []
    (answer,) = talk.silence(32)
    assert isinstance(answer, EndTurn)
    assert (answer.turn, answer.at_ms) == (speculate.turn, speculate.at_ms)
    assert answer.ended == pytest.approx(speculate.ended)


def test_going_on_voids_what_was_prepared_once() -> None:
    talk = Talk(TurnPolicy())
    talk.speech(960)
    talk.silence(320)
    assert talk.speech(320) == [Discard(1)]


def test_at_most_two_answers_are_prepared_a_turn() -> None:
    talk = Talk(TurnPolicy())
    prepared = []
    for _ in range(4):
        talk.speech(320)
        prepared += [action for action in talk.silence(320) if isinstance(action, Speculate)]
    assert len(prepared) == 2
    talk.silence(800)
    talk.does(ReplyEnded(1))
    talk.speech(320)
    assert [type(action) for action in talk.silence(320)] == [Speculate]


def test_in_manual_mode_nothing_is_prepared() -> None:
    talk = Talk(TurnPolicy(mode="manual"))
    talk.speech(320)
    assert talk.silence(1600) == []


# --- adaptive endpointing --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "silence_ms"),
    [
        ("i fixed it that was it", 480),
        ("i looked at the logs", 800),
        ("i looked at the logs and", 1216),
        ("let me think", 5024),
    ],
)
def test_patience_follows_what_was_said(text: str, silence_ms: int) -> None:
    talk = Talk()
    talk.speech(640)
    talk.does(Understood(1, text))
    assert talk.silence(silence_ms - 32) == []
    assert len(talk.silence(32)) == 1


def test_without_adaptive_endpointing_every_silence_is_the_same() -> None:
    talk = Talk(TurnPolicy(adaptive=False, speculate_ms=NEVER))
    talk.speech(640)
    talk.does(Understood(1, "let me think"))
    assert talk.silence(768) == []
    assert len(talk.silence(32)) == 1


def test_news_of_another_turn_or_of_a_finished_one_changes_nothing() -> None:
    talk = Talk()
    talk.does(Understood(0, "let me think"))
    talk.speech(640)
    talk.does(Understood(7, "let me think"))
    assert talk.silence(768) == []
    assert len(talk.silence(32)) == 1


def test_going_on_makes_the_ending_unclear_again() -> None:
    talk = Talk(TurnPolicy())
    talk.speech(640)
    talk.silence(320)
    talk.does(Understood(1, "let me think"))
    talk.silence(1600)
    talk.speech(640)
    talk.silence(768)
    (answer,) = talk.silence(32)
    assert isinstance(answer, EndTurn)


# --- barge-in --------------------------------------------------------------------------------


def speaking(policy: TurnPolicy | None = None) -> Talk:
    talk = Talk(policy)
    talk.speech(320)
    talk.silence(800)
    talk.does(ReplyBegan(1))
    assert talk.turns.state is TurnState.SPEAKING
    return talk


def test_speech_holds_a_reply_after_200_ms_and_stops_it_after_500_ms() -> None:
    talk = speaking()
    began_ms = int(talk.at_ms)
    assert talk.speech(192) == []
    assert talk.speech(32) == [Hold(1, began_ms, began_ms - 500)]
    assert talk.speech(256) == []
    assert talk.speech(32) == [Cancel(1), StartTurn(2, began_ms, began_ms - 500)]
    assert talk.turns.state is TurnState.LISTENING


def test_after_a_cough_and_500_ms_of_silence_the_reply_goes_on() -> None:
    talk = speaking()
    talk.speech(320)
    assert talk.silence(480) == []
    assert talk.silence(32) == [DropHeld(1), Resume(1)]
    assert talk.turns.state is TurnState.SPEAKING
    assert talk.speech(192) == []
    assert [type(action) for action in talk.speech(32)] == [Hold]


def test_a_reply_that_comes_back_into_the_microphone_is_held_four_times_and_no_more() -> None:
    talk = speaking()
    for _ in range(MOST_HOLDS):
        assert [type(action) for action in talk.speech(320)] == [Hold]
        assert [type(action) for action in talk.silence(512)] == [DropHeld, Resume]
    assert talk.speech(5_024) == []
    assert talk.turns.deadline is None
    assert talk.turns.state is TurnState.SPEAKING
    assert talk.does(ReplyEnded(1)) == []
    assert talk.speech(192) == []  # the last of it
    assert talk.silence(800) == []
    assert MOST_HOLDS == 4


def test_after_a_reply_that_came_back_the_person_is_heard_and_may_interrupt_the_next() -> None:
    talk = speaking()
    for _ in range(MOST_HOLDS):
        talk.speech(320)
        talk.silence(512)
    assert talk.does(Interrupt()) == [Cancel(1)]
    assert [type(action) for action in talk.speech(320)] == [StartTurn]
    talk.silence(800)
    talk.does(ReplyBegan(2))
    assert [type(action) for action in talk.speech(640)] == [Hold, Cancel, StartTurn]


def test_typing_stops_a_reply_that_came_back() -> None:
    talk = speaking()
    for _ in range(MOST_HOLDS):
        talk.speech(320)
        talk.silence(512)
    assert [type(action) for action in talk.does(Typed("stop"))] == [Cancel, EndTurn]
    talk.does(ReplyBegan(2))
    assert [type(action) for action in talk.speech(320)] == [Hold]


def test_a_click_does_not_hold_a_reply() -> None:
    talk = speaking()
    for _ in range(10):
        assert talk.speech(160) == []
        assert talk.silence(128) == []


def test_speech_in_two_pieces_while_the_reply_is_held_is_one_barge_in() -> None:
    talk = speaking()
    talk.speech(320)
    talk.silence(320)
    assert [type(action) for action in talk.speech(192)] == [Cancel, StartTurn]


def test_a_sign_of_listening_is_no_barge_in_however_slowly_it_is_said() -> None:
    talk = speaking()
    talk.speech(320)
    assert talk.does(Understood(2, "Mm-hm, okay.")) == []
    assert talk.speech(640) == []
    assert talk.silence(512) == [DropHeld(1), Resume(1)]


def test_a_sign_of_listening_that_becomes_a_sentence_is_a_barge_in() -> None:
    talk = speaking()
    talk.speech(320)
    talk.does(Understood(2, "okay"))
    talk.speech(320)
    assert [type(action) for action in talk.does(Understood(2, "okay but I"))] == [
        Cancel,
        StartTurn,
    ]


def test_humming_for_more_than_1500_ms_is_a_barge_in() -> None:
    talk = speaking()
    talk.speech(320)
    talk.does(Understood(2, "mm"))
    assert talk.speech(1152) == []
    assert [type(action) for action in talk.speech(32)] == [Cancel, StartTurn]


def test_humming_is_never_a_barge_in_sooner_than_words_are() -> None:
    talk = speaking(TurnPolicy(speculate_ms=NEVER, barge_in_ms=3000))
    talk.speech(224)
    talk.does(Understood(2, "mm-hm"))
    assert talk.speech(2752) == []
    assert [type(action) for action in talk.speech(32)] == [Cancel, StartTurn]


def test_the_words_before_the_barge_in_set_the_endpointing_delay() -> None:
    talk = speaking()
    talk.speech(224)
    talk.does(Understood(2, "let me think"))
    talk.speech(288)
    assert talk.turns.state is TurnState.LISTENING
    assert talk.turns.deadline == pytest.approx(talk.now + 5.0 + 0.25)


def test_so_many_words_as_the_policy_wants_are_a_barge_in_before_500_ms() -> None:
    talk = speaking(TurnPolicy(speculate_ms=NEVER, barge_in_words=2))
    talk.speech(256)
    assert talk.does(Understood(2, "wait")) == []
    assert [type(action) for action in talk.does(Understood(2, "wait please"))] == [
        Cancel,
        StartTurn,
    ]


def test_words_of_another_turn_hold_nothing_up() -> None:
    talk = speaking(TurnPolicy(speculate_ms=NEVER, barge_in_words=1))
    talk.speech(256)
    assert talk.does(Understood(1, "one two three")) == []
    assert talk.turns.state is TurnState.SPEAKING


def test_audio_that_stops_coming_while_the_reply_is_held_lets_it_go_on() -> None:
    talk = speaking()
    talk.speech(320)
    deadline = talk.turns.deadline
    assert deadline is not None
    assert round(deadline - talk.now, 6) == 0.5 + 0.25
    assert talk.turns.expire(deadline - 0.01) == []
    assert talk.turns.expire(deadline) == [DropHeld(1), Resume(1)]
    assert talk.turns.deadline is None


def test_an_interrupt_ends_a_held_reply() -> None:
    talk = speaking()
    talk.speech(320)
    assert talk.does(Interrupt()) == [DropHeld(1), Cancel(1)]
    assert talk.turns.deadline is None


def test_what_is_typed_into_a_held_reply_ends_it() -> None:
    talk = speaking()
    talk.speech(320)
    at_ms = int(talk.at_ms)
    assert talk.does(Typed("Next question, please.")) == [
        DropHeld(1),
        Cancel(1),
        EndTurn(2, at_ms, talk.now, spoken=False, typed="Next question, please."),
    ]
    assert talk.turns.deadline is None


def test_a_reply_that_ends_while_it_is_held_leaves_the_floor_to_who_speaks() -> None:
    talk = speaking()
    talk.speech(320)
    assert talk.does(ReplyEnded(1)) == [DropHeld(1)]
    assert [type(action) for action in talk.speech(32)] == [StartTurn]


# --- silence ---------------------------------------------------------------------------------


def test_a_silent_person_is_prompted_twice_and_no_more() -> None:
    talk = Talk()
    assert talk.silence(14_976) == []
    assert talk.silence(32) == [Prompt(1, 1)]
    talk.does(ReplyBegan(1))
    assert talk.silence(20_000) == []
    talk.does(ReplyEnded(1))
    assert talk.silence(15_008) == [Prompt(2, 2)]
    talk.does(ReplyEnded(2))
    assert talk.silence(60_000) == []


def test_after_an_answer_prompts_begin_anew() -> None:
    talk = Talk()
    talk.silence(15_008)
    talk.does(ReplyEnded(1))
    talk.speech(320)
    talk.silence(800)
    talk.does(ReplyEnded(2))
    assert talk.silence(15_008) == [Prompt(3, 1)]


def test_typing_is_no_silence() -> None:
    talk = Talk()
    talk.silence(14_976)
    talk.does(Typed("An answer."))
    talk.does(ReplyEnded(1))
    assert talk.silence(14_976) == []


def test_lost_audio_is_not_taken_for_a_long_silence() -> None:
    talk = Talk()
    talk.at_ms += 60_000
    assert talk.silence(320) == []


def test_silence_is_replied_to_where_the_host_has_no_lines_for_it() -> None:
    talk = Talk(TurnPolicy(prompt_ms=5_000, replies_to_silence=True))
    [answer] = talk.silence(5_024)
    assert isinstance(answer, EndTurn)
    assert (answer.turn, answer.spoken, answer.typed, answer.replies) == (1, False, "", True)
    assert talk.turns.state is TurnState.THINKING


@pytest.mark.parametrize("policy", [TurnPolicy(prompt_ms=0), TurnPolicy(mode="manual")])
def test_no_prompt_comes_where_prompts_are_off_or_in_push_to_talk(policy: TurnPolicy) -> None:
    assert Talk(policy).silence(60_000) == []


def test_when_time_is_up_an_idle_conversation_closes_at_once() -> None:
    talk = Talk()
    assert talk.does(TimeUp()) == [Close(1)]
    assert talk.turns.state is TurnState.THINKING


def test_when_time_is_up_a_reply_is_heard_out() -> None:
    talk = speaking()
    assert talk.does(TimeUp()) == []
    assert talk.does(ReplyEnded(1)) == [Close(2)]
    assert talk.does(ReplyEnded(2)) == []


def test_when_time_is_up_an_interrupted_reply_is_the_last() -> None:
    talk = speaking()
    talk.does(TimeUp())
    assert talk.does(Interrupt()) == [Cancel(1), Close(2)]


def test_speech_into_the_farewell_is_answered_and_followed_by_another_farewell() -> None:
    talk = Talk()
    talk.does(TimeUp())
    talk.does(ReplyBegan(1))
    talk.speech(512)
    talk.silence(800)
    assert talk.does(ReplyEnded(2)) == [Close(3)]


# --- before the reply ------------------------------------------------------------------------


def test_going_on_before_the_reply_is_heard_takes_200_ms() -> None:
    talk = Talk()
    talk.speech(320)
    talk.silence(800)
    began_ms = int(talk.at_ms)
    assert talk.speech(192) == []
    assert talk.speech(32) == [Cancel(1), StartTurn(2, began_ms, began_ms - 500)]


def test_an_interrupt_stops_the_reply_and_waits() -> None:
    talk = speaking()
    assert talk.does(Interrupt()) == [Cancel(1)]
    assert talk.turns.state is TurnState.IDLE
    assert talk.does(Interrupt()) == []


def test_an_interrupt_while_the_person_speaks_changes_nothing() -> None:
    talk = Talk()
    talk.speech(320)
    assert talk.does(Interrupt()) == []
    assert talk.turns.state is TurnState.LISTENING


# --- typed turns and push to talk ------------------------------------------------------------


def test_typed_text_is_a_turn_without_speech() -> None:
    talk = Talk()
    talk.silence(320)
    assert talk.does(Typed("hello")) == [EndTurn(1, 320, talk.now, spoken=False, typed="hello")]


def test_typed_text_stops_the_reply() -> None:
    talk = speaking()
    at_ms = int(talk.at_ms)
    assert talk.does(Typed("wait")) == [
        Cancel(1),
        EndTurn(2, at_ms, talk.now, spoken=False, typed="wait"),
    ]


def test_typed_text_while_speaking_ends_the_spoken_turn_and_joins_it() -> None:
    talk = Talk()
    talk.speech(320)
    assert talk.does(Typed("as I typed")) == [
        EndTurn(1, 320, talk.now, spoken=True, typed="as I typed")
    ]


def test_commit_ends_the_turn_at_once() -> None:
    talk = Talk()
    talk.speech(320)
    assert talk.does(Commit()) == [EndTurn(1, 320, talk.now, spoken=True)]


def test_commit_after_a_short_word_is_a_turn() -> None:
    talk = Talk()
    talk.silence(640)
    talk.speech(128)
    listen, answer = talk.does(Commit())
    assert listen == StartTurn(1, 640, 140)
    assert answer == EndTurn(1, 768, talk.now, spoken=True)


def test_push_to_talk_interrupts_with_200_ms_of_speech() -> None:
    talk = speaking(TurnPolicy(mode="auto", speculate_ms=NEVER))
    talk.turns.policy = TurnPolicy(mode="manual")
    assert [type(action) for action in talk.speech(224)] == [Cancel, StartTurn]


def test_commit_without_speech_is_refused() -> None:
    assert Talk().does(Commit()) == [Refuse(0, "nothing_to_commit")]


def test_in_manual_mode_only_commit_ends_a_turn() -> None:
    talk = Talk(TurnPolicy(mode="manual"))
    talk.speech(320)
    assert talk.silence(5024) == []
    assert talk.turns.deadline is None
    assert talk.turns.expire(1e9) == []
    assert len(talk.does(Commit())) == 1


# --- the reply's life ------------------------------------------------------------------------


def test_news_of_an_older_reply_changes_nothing() -> None:
    talk = speaking()
    talk.speech(512)
    assert talk.turns.turn == 2
    talk.does(ReplyEnded(1))
    talk.does(ReplyBegan(1))
    assert talk.turns.state is TurnState.LISTENING


def test_a_second_beginning_of_the_same_reply_changes_nothing() -> None:
    talk = speaking()
    talk.does(ReplyBegan(1))
    assert talk.turns.state is TurnState.SPEAKING


def test_after_the_reply_the_floor_is_free() -> None:
    talk = speaking()
    talk.does(ReplyEnded(1))
    assert talk.turns.state is TurnState.IDLE
    assert talk.speech(224) == [StartTurn(2, 1120, 620)]


# --- what the client wants -------------------------------------------------------------------


def idle() -> Talk:
    return Talk()


def listening() -> Talk:
    talk = Talk()
    talk.speech(320)
    return talk


def preparing() -> Talk:
    talk = Talk(TurnPolicy())
    talk.speech(320)
    talk.silence(224)
    return talk


def thinking() -> Talk:
    talk = Talk()
    talk.does(Typed("hello"))
    return talk


def holding() -> Talk:
    talk = speaking()
    talk.speech(320)
    return talk


def prompting() -> Talk:
    talk = Talk()
    talk.silence(15_008)
    return talk


STATES = [idle, listening, preparing, thinking, speaking, holding, prompting]


@pytest.mark.parametrize("state", [listening, preparing])
def test_no_reply_is_made_on_request_while_the_person_speaks(state: Callable[[], Talk]) -> None:
    assert state().does(RespondNow()) == [Refuse(1, "person_speaks")]


@pytest.mark.parametrize("state", [thinking, speaking, holding, prompting])
def test_no_second_reply_is_made_on_request(state: Callable[[], Talk]) -> None:
    talk = state()
    before = (talk.turns.state, talk.turns.deadline)
    assert talk.does(RespondNow()) == [Refuse(1, "reply_under_way")]
    assert (talk.turns.state, talk.turns.deadline) == before


@pytest.mark.parametrize("state", [thinking, speaking, prompting])
def test_a_reply_on_request_that_waits_follows_the_reply_under_way(
    state: Callable[[], Talk],
) -> None:
    talk = state()
    turn = talk.turns.turn
    assert talk.does(RespondNow(waits=True)) == []
    assert talk.does(ReplyEnded(turn)) == [EndTurn(turn + 1, 0, talk.now, spoken=False)]


def test_a_reply_on_request_that_waits_is_dropped_by_an_interruption() -> None:
    talk = speaking()
    talk.does(RespondNow(waits=True))
    assert talk.does(Interrupt()) == [Cancel(talk.turns.turn)]
    assert talk.turns.state is TurnState.IDLE


@pytest.mark.parametrize("replies", [True, False])
def test_a_reply_on_request_is_a_turn_without_words(replies: bool) -> None:
    talk = Talk(TurnPolicy(replies=replies))
    talk.silence(640)
    assert talk.does(RespondNow()) == [EndTurn(1, 0, talk.now, spoken=False)]
    assert talk.turns.state is TurnState.THINKING
    assert talk.does(RespondNow()) == [Refuse(1, "reply_under_way")]
    talk.does(ReplyBegan(1))
    talk.does(ReplyEnded(1))
    assert talk.turns.state is TurnState.IDLE


def test_speech_that_begins_when_a_reply_is_requested_becomes_a_turn() -> None:
    talk = Talk()
    talk.speech(160)
    talk.does(RespondNow())
    assert talk.speech(64) == [Cancel(1), StartTurn(2, 0, 0)]


SILENT = TurnPolicy(speculate_ms=NEVER, replies=False)


def test_without_replies_turns_end_and_say_so() -> None:
    talk = Talk(SILENT)
    talk.speech(320)
    (answer,) = talk.silence(800)
    assert answer == EndTurn(1, 320, talk.now - 0.8, spoken=True, replies=False)
    assert talk.does(ReplyEnded(1)) == []
    at_ms = int(talk.at_ms)
    assert talk.does(Typed("x")) == [
        EndTurn(2, at_ms, talk.now, spoken=False, typed="x", replies=False)
    ]
    talk.does(ReplyEnded(2))
    talk.speech(320)
    assert [type(action) for action in talk.does(Commit())] == [EndTurn]


def test_without_replies_nothing_is_prepared() -> None:
    talk = Talk(TurnPolicy(replies=False))
    talk.speech(320)
    assert talk.silence(768) == []


def test_without_replies_the_conversation_is_opened_all_the_same() -> None:
    assert TurnTaking(SILENT).open(5.0) == [EndTurn(0, 0, 5.0, spoken=False)]


def test_a_reply_requested_while_the_answer_is_recognised_follows_it() -> None:
    talk = Talk(SILENT)
    talk.speech(320)
    talk.does(Commit())
    assert talk.does(RespondNow()) == []
    assert talk.does(ReplyEnded(1)) == [EndTurn(2, 0, talk.now, spoken=False)]
    assert talk.does(ReplyEnded(2)) == []


@pytest.mark.parametrize("event", [Interrupt(), Typed("wait")])
def test_a_requested_reply_does_not_follow_a_turn_that_is_cut_off(event: Event) -> None:
    talk = Talk(SILENT)
    talk.speech(320)
    talk.does(Commit())
    talk.does(RespondNow())
    talk.does(event)
    assert talk.does(ReplyEnded(talk.turns.turn)) == []


def test_a_requested_reply_does_not_follow_where_the_person_goes_on() -> None:
    talk = Talk(SILENT)
    talk.speech(320)
    talk.does(Commit())
    talk.does(RespondNow())
    assert [type(action) for action in talk.speech(224)] == [Cancel, StartTurn]
    talk.does(Commit())
    assert talk.does(ReplyEnded(2)) == []


def test_a_conversation_whose_time_is_up_closes_after_a_requested_reply() -> None:
    talk = Talk(SILENT)
    talk.speech(320)
    talk.does(Commit())
    talk.does(RespondNow())
    talk.does(TimeUp())
    talk.does(ReplyEnded(1))
    assert talk.does(ReplyEnded(2)) == [Close(3)]


FIRM = TurnPolicy(speculate_ms=NEVER, interruptible=False)


def test_speech_into_a_reply_that_is_not_interruptible_changes_nothing() -> None:
    talk = speaking(FIRM)
    assert talk.speech(2016) == []
    assert talk.silence(800) == []
    assert talk.turns.deadline is None
    assert talk.does(ReplyEnded(1)) == []
    assert talk.silence(800) == []


def test_going_on_before_a_reply_that_is_not_interruptible_changes_nothing() -> None:
    talk = Talk(FIRM)
    talk.speech(320)
    talk.silence(800)
    assert talk.speech(2016) == []
    assert talk.turns.state is TurnState.THINKING


def test_in_manual_mode_too_speech_does_not_cancel_a_reply_that_is_not_interruptible() -> None:
    talk = speaking(FIRM)
    talk.does(PolicyChanged(TurnPolicy(mode="manual", interruptible=False)))
    assert talk.speech(2016) == []


def test_speech_that_goes_on_after_such_a_reply_becomes_a_turn() -> None:
    talk = speaking(FIRM)
    began_ms = int(talk.at_ms)
    talk.speech(640)
    assert talk.does(ReplyEnded(1)) == []
    assert talk.speech(32) == [StartTurn(2, began_ms, began_ms - 500)]


def test_a_reply_that_is_not_interruptible_ends_by_an_interrupt() -> None:
    assert speaking(FIRM).does(Interrupt()) == [Cancel(1)]


def test_where_no_reply_comes_the_person_may_go_on_whatever_the_policy() -> None:
    talk = Talk(TurnPolicy(replies=False, interruptible=False))
    talk.speech(320)
    talk.silence(800)
    assert [type(action) for action in talk.speech(224)] == [Cancel, StartTurn]


def test_without_an_opening_the_first_turn_is_the_persons() -> None:
    talk = Talk(TurnPolicy(opens=False, speculate_ms=NEVER), opened=False)
    assert talk.turns.open(0.0) == []
    assert talk.turns.state is TurnState.IDLE
    assert talk.speech(224) == [StartTurn(1, 0, 0)]


@pytest.mark.parametrize("state", STATES)
def test_a_policy_that_changes_nothing_else_takes_no_action(state: Callable[[], Talk]) -> None:
    talk = state()
    before = (talk.turns.state, talk.turns.turn)
    policy = TurnPolicy(silence_ms=500, opens=False)
    assert talk.does(PolicyChanged(policy)) == []
    assert (talk.turns.state, talk.turns.turn) == before
    assert talk.turns.policy == policy


def test_a_new_policy_holds_from_the_next_chunk_on() -> None:
    talk = listening()
    talk.silence(480)
    talk.does(PolicyChanged(TurnPolicy(silence_ms=500)))
    (answer,) = talk.silence(32)
    assert answer == EndTurn(1, 320, talk.now - 0.512, spoken=True)


@pytest.mark.parametrize("state", STATES)
def test_without_replies_from_here_on_what_is_prepared_is_void(state: Callable[[], Talk]) -> None:
    talk = state()
    expected = [Discard(1)] if state is preparing else []
    assert talk.does(PolicyChanged(SILENT)) == expected
    assert talk.does(PolicyChanged(SILENT)) == []


@pytest.mark.parametrize("state", STATES)
def test_what_may_not_be_interrupted_any_more_goes_on(state: Callable[[], Talk]) -> None:
    talk = state()
    expected = [DropHeld(1), Resume(1)] if state is holding else []
    assert talk.does(PolicyChanged(FIRM)) == expected
    assert talk.does(PolicyChanged(FIRM)) == []


def test_a_turn_that_was_ended_with_a_reply_keeps_it() -> None:
    talk = thinking()
    talk.does(PolicyChanged(SILENT))
    assert talk.does(RespondNow()) == [Refuse(1, "reply_under_way")]


POLICIES = (
    TurnPolicy(),
    TurnPolicy(mode="manual"),
    TurnPolicy(replies=False),
    TurnPolicy(interruptible=False),
)
EVENTS = st.one_of(
    st.tuples(st.just("policy"), st.integers(0, len(POLICIES) - 1)),
    st.tuples(st.just("speech"), st.integers(1, 40)),
    st.tuples(st.just("silence"), st.integers(1, 40)),
    st.sampled_from(
        [
            *[(word, 0) for word in ("typed", "interrupt", "commit", "began", "ended", "expire")],
            *[("understood", 0), ("understood", 1), ("time up", 0), ("respond", 0)],
        ]
    ),
)


@given(st.lists(EVENTS, max_size=60))
def test_turns_only_grow_and_every_utterance_is_answered_before_the_next(
    script: list[tuple[str, int]],
) -> None:
    talk = Talk(TurnPolicy())
    actions: list[Action] = []
    for kind, count in script:
        turn = talk.turns.turn
        match kind:
            case "speech" | "silence":
                actions += talk.chunks(count, 0.9 if kind == "speech" else 0.1)
            case "typed":
                actions += talk.does(Typed("x"))
            case "interrupt":
                actions += talk.does(Interrupt())
            case "commit":
                actions += talk.does(Commit())
            case "began":
                actions += talk.does(ReplyBegan(turn))
            case "ended":
                actions += talk.does(ReplyEnded(turn))
            case "understood":
                actions += talk.does(Understood(turn + count, "okay"))
            case "respond":
                actions += talk.does(RespondNow())
            case "policy":
                actions += talk.does(PolicyChanged(POLICIES[count]))
            case "time up":
                actions += talk.does(TimeUp())
            case _:
                actions += talk.turns.expire(talk.now)
    listening: int | None = None
    answering: int | None = None
    preparing: int | None = None
    held: int | None = None
    newest = 0
    for action in actions:
        match action:
            case Speculate(turn):
                assert listening == turn
                assert preparing is None
                preparing = turn
            case Discard(turn):
                assert preparing == turn
                preparing = None
            case StartTurn(turn):
                assert listening is None
                assert turn > newest
                newest = listening = turn
                held = None
            case EndTurn(turn, spoken=spoken):
                assert (listening == turn) is spoken
                assert turn >= newest
                assert preparing in (None, turn)
                assert held is None
                newest = answering = turn
                listening = preparing = None
            case Hold(turn):
                assert held is None
                assert turn == answering
                held = turn
            case DropHeld(turn):
                assert turn == held
                held = None
            case Resume(turn):
                assert held is None
                assert turn == answering
            case Prompt(turn) | Close(turn):
                assert listening is None
                assert turn > newest
                assert held is None
                newest = answering = turn
            case Cancel(turn):
                assert turn == answering
                answering = None
            case Refuse(code="person_speaks"):
                assert listening is not None
            case Refuse():
                assert listening is None


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 1)), max_size=200))
def test_the_same_input_gives_the_same_decisions(chunks: list[tuple[int, float]]) -> None:
    def run() -> list[Action]:
        turns = TurnTaking()
        turns.open(0.0)
        turns.handle(ReplyEnded(0), 0.0)
        actions: list[Action] = []
        at_ms = 0
        for step_ms, probability in chunks:
            at_ms += step_ms
            actions += turns.handle(Chunk(at_ms, probability), at_ms / 1000)
        return actions

    assert run() == run()


# --- turn models -----------------------------------------------------------------------------

ASKING = TurnPolicy(judged=True, speculate_ms=200)


def asked(talk: Talk) -> AskTurnModel:
    """Speak, pause, and give the question."""
    talk.speech(320)
    (question,) = (action for action in talk.silence(224) if isinstance(action, AskTurnModel))
    return question


def test_a_turn_model_is_asked_once_in_a_pause_of_200_ms() -> None:
    talk = Talk(ASKING)
    assert asked(talk) == AskTurnModel(1, 544)
    assert [action for action in talk.silence(400) if isinstance(action, AskTurnModel)] == []
    talk.speech(64)
    assert [action for action in talk.silence(256) if isinstance(action, AskTurnModel)] == [
        AskTurnModel(1, 1216)
    ]


@pytest.mark.parametrize(
    ("probability", "silence_ms"),
    [(1.0, 480), (0.9, 480), (0.89, 800), (0.31, 800), (0.3, 1_216), (0.0, 1_216)],
)
def test_the_answer_is_a_factor_of_the_delay(probability: float, silence_ms: int) -> None:
    talk = Talk(ASKING)
    question = asked(talk)
    assert talk.does(Judged(question.turn, question.at_ms, probability)) == []
    quiet_ms = 224
    while not any(isinstance(action, EndTurn) for action in talk.silence(CHUNK_MS)):
        quiet_ms += CHUNK_MS
    assert quiet_ms + CHUNK_MS == silence_ms


def test_words_and_answer_count_together_up_to_the_longest_wait() -> None:
    talk = Talk(ASKING)
    question = asked(talk)
    talk.does(Understood(1, "let me think"))
    talk.does(Judged(question.turn, question.at_ms, 0.95))
    assert talk.silence(4_736) == []
    assert isinstance(talk.silence(64)[-1], EndTurn)


@pytest.mark.parametrize("late", [Judged(1, 512, 0.95), Judged(2, 544, 0.95)])
def test_an_answer_to_another_question_changes_nothing(late: Judged) -> None:
    talk = Talk(ASKING)
    asked(talk)
    talk.does(late)
    assert talk.silence(544) == []
    assert isinstance(talk.silence(32)[-1], EndTurn)


def test_an_answer_is_forgotten_when_the_person_goes_on() -> None:
    talk = Talk(ASKING)
    question = asked(talk)
    talk.does(Judged(question.turn, question.at_ms, 0.95))
    talk.speech(32)
    actions = talk.silence(768)
    assert not any(isinstance(action, EndTurn) for action in actions)
    assert isinstance(talk.silence(32)[-1], EndTurn)


@pytest.mark.parametrize(
    "policy",
    [
        TurnPolicy(),
        TurnPolicy(judged=True, adaptive=False),
        TurnPolicy(judged=True, mode="manual"),
    ],
)
def test_no_model_is_asked_where_its_answer_would_not_count(policy: TurnPolicy) -> None:
    talk = Talk(policy)
    talk.speech(320)
    assert not any(isinstance(action, AskTurnModel) for action in talk.silence(640))
