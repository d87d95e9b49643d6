"""Playout: no frame early, none twice, and the text that was heard."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import Samples, SpokenWord
from pipeline.playout import Playout

RATE = 16_000
FRAME = 320


def tone(ms: int) -> Samples:
    return np.arange(ms * RATE // 1000, dtype=np.int16)


def playout(ms: int = 1000, text: str = "one two three", **options: int) -> Playout:
    reply = Playout(RATE, **options)
    reply.begin(1)
    reply.say(text)
    if ms:
        reply.push(tone(ms))
        reply.said()
    return reply


def taken(reply: Playout, now: float) -> list[int]:
    frames = []
    while (frame := reply.take(now)) is not None:
        frames.append(frame.at_ms)
    return frames


def play(reply: Playout, until: float) -> None:
    """Pump every 20 ms, as the pacer does."""
    play_from(reply, 0.0, until)


def play_from(reply: Playout, start: float, seconds: float) -> None:
    for tick in range(round(seconds * 50) + 1):
        taken(reply, start + tick / 50)


def test_the_first_200_ms_leave_at_once_and_then_a_frame_every_20_ms() -> None:
    reply = playout()
    assert taken(reply, 10.0) == list(range(0, 200, 20))
    assert taken(reply, 10.019) == []
    assert taken(reply, 10.0201) == [200]
    assert reply.due is not None
    assert round(reply.due, 6) == 10.04


def test_a_late_pump_sends_what_was_missed_and_keeps_the_timeline() -> None:
    reply = playout()
    taken(reply, 0.0)
    assert taken(reply, 0.1001) == [200, 220, 240, 260, 280]
    assert reply.due is not None
    assert round(reply.due, 6) == 0.12


def test_after_running_dry_the_rest_is_heard_later() -> None:
    reply = playout(ms=200)
    taken(reply, 0.0)
    assert reply.due is None
    reply.push(tone(180))
    assert taken(reply, 1.0) == list(range(200, 380, 20))
    assert reply.played_ms(1.0) == 200
    assert reply.played_ms(1.1) == 300


def test_a_short_last_frame_waits_until_the_reply_is_complete() -> None:
    reply = playout(ms=30)
    assert taken(reply, 0.0) == [0]
    reply.finish()
    last = reply.take(0.0)
    assert last is not None
    assert (last.at_ms, len(last.pcm)) == (20, 160)
    assert reply.over_at == 0.03


def test_a_reply_without_audio_is_over_at_once() -> None:
    reply = playout(ms=0)
    reply.finish()
    assert reply.over_at == float("-inf")
    assert reply.take(0.0) is None


def test_a_reply_is_over_when_its_last_sample_has_been_heard() -> None:
    reply = playout(ms=1000)
    taken(reply, 0.0)
    assert reply.over_at is None
    reply.finish()
    assert reply.over_at == 1.0


def test_the_end_of_a_reply_is_unknown_before_it_has_begun_and_moves_when_frames_are_late() -> None:
    reply = playout(ms=1000)
    reply.finish()
    assert reply.over_at is None
    taken(reply, 0.0)
    assert reply.over_at == 1.0
    taken(reply, 0.7)
    assert reply.over_at == 1.5


def test_frames_are_cut_across_pieces_without_loss() -> None:
    reply = playout(ms=0)
    audio = tone(100)
    for start in range(0, len(audio), 70):
        reply.push(audio[start : start + 70])
    reply.finish()
    frames = []
    while (frame := reply.take(0.0)) is not None:
        frames.append(frame.pcm)
    assert [len(frame) for frame in frames] == [FRAME] * 5
    assert np.array_equal(np.concatenate(frames), audio)


def test_the_look_ahead_is_bounded_by_room() -> None:
    reply = playout(ms=0, look_ahead_ms=1000)
    assert reply.room_ms == 1000
    reply.push(tone(1500))
    assert reply.room_ms == -500
    taken(reply, 0.0)
    assert reply.room_ms == -300
    assert (reply.pushed_ms, reply.sent_ms) == (1500, 200)


# --- what was heard --------------------------------------------------------------------------


def test_words_count_as_heard_when_the_next_has_begun() -> None:
    reply = playout(ms=0)
    words = (SpokenWord(0, 3, 0), SpokenWord(4, 3, 300), SpokenWord(8, 5, 600))
    reply.push(tone(900), words)
    reply.said()
    reply.finish()
    play(reply, 0.9)
    assert reply.heard(0.1) == ""
    assert reply.heard(0.31) == "one"
    assert reply.heard(0.61) == "one two"
    assert reply.heard(0.91) == "one two three"


def voiced(*pieces: tuple[int, bool]) -> Samples:
    """Audio of so many milliseconds each, with a voice or silent but for a synthesizer's noise."""
    return np.concatenate(
        [np.full(ms * RATE // 1000, 5000 if loud else 30, np.int16) for ms, loud in pieces]
    )


def test_a_word_is_heard_when_its_sound_ends_whatever_silence_follows() -> None:
    reply = playout(ms=0, text="one two why?")
    words = (SpokenWord(0, 3, 0), SpokenWord(4, 3, 500), SpokenWord(8, 4, 900))
    sound = voiced((300, True), (200, False), (400, True), (300, True), (332, False))
    for start in range(0, len(sound), 1000):  # as it comes
        reply.push(sound[start : start + 1000], words if start == 0 else ())
    reply.said()
    play(reply, 1.6)
    assert reply.heard(0.29) == ""
    assert reply.heard(0.31) == "one", "in the pause before the next word"
    assert reply.heard(0.91) == "one two"
    assert reply.heard(1.19) == "one two"
    assert reply.heard(1.21) == "one two why?"


def test_without_word_times_too_the_text_is_heard_when_its_sound_ends() -> None:
    reply = playout(ms=0, text="aaaa bbbb")
    reply.push(voiced((600, True), (400, False)))
    reply.said()
    play(reply, 1.0)
    assert reply.heard(0.59) == "aaaa"
    assert reply.heard(0.61) == "aaaa bbbb"


def test_silence_within_a_word_does_not_end_it() -> None:
    reply = playout(ms=0, text="attic")
    reply.push(voiced((100, True), (70, False), (200, True)), (SpokenWord(0, 5, 0),))
    reply.said()
    reply.finish()
    play(reply, 0.4)
    assert reply.heard(0.13) == ""
    assert reply.heard(0.38) == "attic"


def test_a_reply_of_which_only_silence_is_left_has_been_told() -> None:
    reply = playout(ms=0, text="First.")
    reply.push(voiced((300, True), (300, False)))
    reply.said()
    play(reply, 0.4)
    assert not reply.told(0.4), "more may come"
    reply.finish()
    assert not reply.told(0.2)
    assert reply.told(0.31)


def test_after_a_pause_in_silence_no_word_is_said_again() -> None:
    reply = playout(ms=0, text="one two")
    words = (SpokenWord(0, 3, 0), SpokenWord(4, 3, 500))
    reply.push(voiced((300, True), (200, False), (300, True), (300, False)), words)
    reply.said()
    reply.finish()
    play(reply, 0.4)
    assert reply.pause(0.4) == 400
    assert reply.resume(5.0) == 500, "the next word"
    play_from(reply, 5.0, 0.45)
    assert reply.pause(5.45) == 950
    assert reply.resume(9.0) == 950, "in the silence at the end"


def test_without_word_times_text_is_cut_in_proportion_at_a_word() -> None:
    reply = playout(ms=1000, text="aaaa bbbb cccc dddd")
    reply.finish()
    play(reply, 1.0)
    assert reply.heard(0.5) == "aaaa"
    assert reply.heard(1.1) == "aaaa bbbb cccc dddd"


def test_a_sentence_that_has_not_begun_to_play_was_not_heard() -> None:
    reply = playout(ms=400, text="First.")
    reply.say("Second.")
    assert reply.heard(5.0) == ""
    reply.push(tone(400))
    play(reply, 0.6)
    assert reply.heard(0.39) == ""
    assert reply.heard(0.41) == "First."


def test_a_sentence_whose_synthesis_goes_on_was_not_heard_whole() -> None:
    reply = playout(ms=0)
    reply.push(tone(600), (SpokenWord(0, 3, 0), SpokenWord(4, 3, 300)))
    play(reply, 0.6)
    assert reply.heard(5.0) == "one"
    reply.said()
    assert reply.heard(5.0) == "one two three"


def test_written_text_counts_as_heard() -> None:
    reply = playout(ms=0, text="never spoken, no audio came")
    reply.say("Read me.", written=True)
    assert reply.heard(0.0) == "Read me."


def test_what_was_never_sent_was_not_heard() -> None:
    reply = playout(ms=1000, text="only one sentence")
    taken(reply, 0.0)
    assert reply.played_ms(5.0) == 200


def test_the_client_may_correct_the_played_position() -> None:
    reply = playout(ms=1000)
    reply.acknowledge(500, 0.0)
    assert reply.played_ms(0.0) == 0
    play(reply, 0.5)
    reply.acknowledge(300, 0.5)
    assert reply.played_ms(0.5) == 300
    assert reply.played_ms(0.6) == 400
    reply.acknowledge(99_000, 0.6)
    assert reply.played_ms(0.6) == reply.sent_ms


def test_stopping_sends_nothing_more_and_remembers_what_was_heard() -> None:
    reply = playout(ms=1000, text="aaaa bbbb cccc dddd")
    play(reply, 0.5)
    heard = reply.heard(0.5)
    reply.stop()
    assert taken(reply, 10.0) == []
    assert reply.due is None
    assert reply.played_ms(0.5) == 500
    assert heard == "aaaa"


def test_without_word_times_the_first_second_of_a_long_sentence_is_not_all_of_it() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    reply = playout(0, text)
    reply.push(tone(1000))
    for tick in range(60):
        taken(reply, tick / 50)
    assert reply.heard(1.0) == "one two three four five"


def test_a_pause_sends_again_what_was_not_heard_from_the_word_that_was_cut_off() -> None:
    reply = playout(0)
    reply.push(tone(1000), (SpokenWord(0, 3, 0), SpokenWord(4, 3, 250), SpokenWord(8, 5, 700)))
    reply.said()
    play(reply, 0.4)
    assert reply.pause(0.41) == 410
    assert reply.paused
    assert (reply.due, reply.take(5.0), reply.over_at) == (None, None, None)
    assert reply.heard(5.0) == "one"
    reply.finish()
    assert reply.resume(7.0) == 250
    frame = reply.take(7.0)
    assert frame is not None
    assert frame.at_ms == 250
    assert frame.pcm.tolist() == tone(1000)[4000:4320].tolist()
    play_from(reply, 7.0, 1.0)
    assert reply.over_at == 7.0 + 0.75
    assert reply.heard(7.75) == "one two three"


def test_without_word_times_a_reply_goes_on_where_it_stopped() -> None:
    reply = playout(1000)
    play(reply, 0.4)
    assert reply.pause(0.41) == 410
    assert reply.resume(0.6) == 410


def test_a_pause_after_the_last_word_of_a_passage_repeats_nothing_before_it() -> None:
    reply = playout(100)
    play(reply, 0.5)
    assert reply.pause(0.5) == 100
    assert reply.resume(0.9) == 100
    assert reply.take(1.0) is None


def test_a_pause_after_the_last_sample_forgets_nothing_of_what_was_heard() -> None:
    reply = playout(100)
    reply.finish()
    play(reply, 0.5)
    reply.pause(0.5)
    assert reply.resume(0.9) == 100
    assert reply.heard(0.9) == "one two three"
    assert reply.over_at == 0.9


def test_what_a_client_that_is_far_behind_has_not_heard_is_sent_again_after_a_pause() -> None:
    reply = playout(4000)
    play(reply, 3.0)
    reply.acknowledge(1000, 3.0)
    assert reply.pause(3.0) == 1000
    assert reply.resume(3.5) == 1000


def test_no_more_than_what_was_kept_can_be_sent_again() -> None:
    reply = playout(0)
    reply.push(tone(6000), (SpokenWord(0, 13, 0),))
    play(reply, 4.0)
    reply.pause(4.0)
    assert reply.resume(4.5) == 4200 - 3000


def test_a_reply_that_was_heard_to_its_end_keeps_its_words_and_no_audio() -> None:
    reply = playout(1000)
    reply.finish()
    play(reply, 1.0)
    reply.close()
    assert reply.pause(1.0) == 1000
    assert reply.resume(2.0) == 1000
    assert reply.take(2.0) is None
    assert reply.heard(2.0) == "one two three"


def test_every_sample_is_heard_once_however_often_a_reply_is_paused() -> None:
    reply = playout(1500)
    reply.finish()
    heard: list[int] = []
    now = 0.0
    for tick in range(200):
        while (frame := reply.take(now)) is not None:
            heard[frame.at_ms * 16 :] = frame.pcm.tolist()
        now += 0.13
        if tick < 8:
            reply.pause(now)
            reply.resume(now)
    assert heard == tone(1500).tolist()


def test_what_is_sent_again_is_the_same_even_where_a_client_heard_less_than_before() -> None:
    reply = playout(0)
    reply.push(tone(1000), (SpokenWord(0, 3, 0), SpokenWord(4, 3, 250)))
    play(reply, 0.4)
    reply.pause(0.4)
    reply.resume(0.4)
    play_from(reply, 0.4, 0.1)
    reply.acknowledge(100, 0.5)
    reply.pause(0.5)
    assert reply.resume(0.5) == 0
    again = [frame.pcm for tick in range(60) if (frame := reply.take(0.5 + tick / 50))]
    assert np.concatenate(again).tolist() == tone(1000).tolist()


def test_a_client_that_says_again_and_again_that_it_heard_nothing_is_believed_for_2_s() -> None:
    reply = playout(500)
    reply.finish()
    for tick in range(1000):
        taken(reply, tick / 50)
        reply.acknowledge(0, tick / 50)
    assert reply.over_at == 2.5


def test_a_new_reply_drops_the_old_one() -> None:
    reply = playout(ms=1000)
    taken(reply, 0.0)
    reply.begin(2)
    assert (reply.turn, reply.due, reply.pushed_ms, reply.heard(9.0)) == (2, None, 0, "")


@given(
    pieces=st.lists(st.integers(0, 1500), max_size=12),
    ticks=st.lists(st.floats(0, 0.3), min_size=1, max_size=60),
)
def test_at_most_the_lead_is_ahead_and_every_sample_leaves_once_in_order(
    pieces: list[int], ticks: list[float]
) -> None:
    reply = Playout(RATE)
    reply.begin(1)
    reply.say("text")
    count = sum(pieces)
    audio = (np.arange(count) % 30_000).astype(np.int16)
    sent: list[Samples] = []
    now, position = 0.0, 0
    queue = list(pieces)
    for tick in ticks:
        now += tick
        if queue:
            size = queue.pop(0)
            reply.push(audio[position : position + size])
            position += size
        while (frame := reply.take(now)) is not None:
            sent.append(frame.pcm)
            assert reply.sent_ms - reply.played_ms(now) <= 201
    for size in queue:
        reply.push(audio[position : position + size])
        position += size
    reply.finish()
    while reply.due is not None:
        now += 0.1
        while (frame := reply.take(now)) is not None:
            sent.append(frame.pcm)
    assert np.array_equal(np.concatenate([np.zeros(0, np.int16), *sent]), audio)


# --- the sentence that is heard --------------------------------------------------------------


def two_sentences() -> Playout:
    """One second each, played from 0.0 on."""
    reply = playout(1000, "one")
    reply.say("two")
    reply.push(tone(1000))
    return reply


def test_nothing_is_heard_before_the_first_frame() -> None:
    assert two_sentences().sentence_over_at(5.0) == 5.0


def test_a_sentence_is_over_with_its_last_sample() -> None:
    reply = two_sentences()
    play(reply, 0.5)
    assert reply.sentence_over_at(0.5) == 1.0


def test_a_sentence_that_has_only_begun_counts_as_a_pause() -> None:
    reply = two_sentences()
    play(reply, 1.05)
    assert reply.sentence_over_at(1.05) == 1.05


def test_the_end_of_a_sentence_is_unknown_while_it_is_synthesised() -> None:
    reply = two_sentences()
    play(reply, 1.5)
    assert reply.sentence_over_at(1.5) is None
    reply.said()
    assert reply.sentence_over_at(1.5) == 2.0


def test_a_sentence_that_broke_off_is_over_with_what_there_is_of_it() -> None:
    reply = two_sentences()
    reply.say("three", written=True)
    play(reply, 1.5)
    assert reply.sentence_over_at(1.5) == 2.0
    reply = two_sentences()
    reply.finish()
    play(reply, 1.5)
    assert reply.sentence_over_at(1.5) == 2.0


def test_the_end_of_a_sentence_is_unknown_during_a_pause() -> None:
    reply = two_sentences()
    play(reply, 0.5)
    reply.pause(0.5)
    assert reply.sentence_over_at(0.5) is None
