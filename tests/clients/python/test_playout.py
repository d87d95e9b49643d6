"""What the Python client plays: all that is to be heard, and nothing that is not."""

from parley_client import Clear, LineBroke, Playout, ReplyAudio, ReplyResumed, ReplyStarted
from parley_client.playout import LONGEST_S

HZ = 8000
"""8 samples a millisecond."""


def audio(value: int, ms: int) -> bytes:
    return bytes([value, 0]) * 8 * ms


def playing() -> Playout:
    """A reply of 200 ms has begun, 60 ms of it are out."""
    playout = Playout(HZ)
    playout.handle(ReplyStarted(1))
    playout.handle(ReplyAudio(audio(1, 200)))
    assert playout.take(480) == audio(1, 60)
    return playout


def test_what_comes_is_played_in_order_and_then_silence() -> None:
    playout = playing()
    playout.handle(ReplyAudio(audio(2, 20)))
    assert playout.take(8 * 200) == audio(1, 140) + audio(2, 20) + audio(0, 40)
    assert playout.played == (1, 220)


def test_no_byte_of_an_interrupted_reply_is_played_after_clear() -> None:
    playout = playing()
    playout.handle(Clear(1, 60))
    assert playout.take(80) == audio(0, 10)
    playout.handle(ReplyStarted(2))
    playout.handle(ReplyAudio(audio(3, 10)))
    assert playout.take(80) == audio(3, 10)
    assert playout.played == (2, 10)


def test_a_reply_that_goes_on_is_counted_from_where_it_goes_on() -> None:
    playout = playing()
    playout.handle(Clear(1, 60))
    playout.handle(ReplyResumed(1, 40))
    playout.handle(ReplyAudio(audio(4, 20)))
    assert playout.take(160) == audio(4, 20)
    assert playout.played == (1, 60)


def test_the_next_reply_begins_behind_what_still_waits() -> None:
    playout = playing()
    playout.handle(ReplyStarted(2))
    playout.handle(ReplyAudio(audio(5, 20)))
    assert playout.played == (2, 0)
    assert playout.take(8 * 150) == audio(1, 140) + audio(5, 10)
    assert playout.played == (2, 10)


def test_what_waited_when_the_line_broke_is_not_played_later() -> None:
    playout = playing()
    playout.handle(LineBroke("gone"))
    assert playout.take(80) == audio(0, 10)


def test_who_plays_nothing_holds_no_more_than_ten_seconds() -> None:
    playout = Playout(HZ)
    for _ in range(LONGEST_S + 5):
        playout.handle(ReplyAudio(audio(1, 1000)))
    assert playout.take(HZ * LONGEST_S + 8) == audio(1, 1000 * LONGEST_S) + audio(0, 1)


def test_before_any_reply_nothing_is_played() -> None:
    playout = Playout(HZ)
    assert (playout.take(8), playout.played) == (audio(0, 1), None)
