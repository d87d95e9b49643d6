"""What of a conversation can be sent again."""

from gateway.live.sent_log import SentLog


def test_the_messages_after_a_number_are_kept_in_their_order() -> None:
    log = SentLog()
    for message in ("a", "b", "c"):
        log.note(message)
    assert log.seq == 3
    assert log.after(1) == (["b", "c"], True)
    assert log.after(3) == ([], True)
    assert log.after(0) == (["a", "b", "c"], True)


def test_stale_messages_are_counted_and_not_kept() -> None:
    log = SentLog()
    log.note("a")
    log.note("picture", keep=False)
    log.note("c")
    assert log.seq == 3
    assert log.after(1) == (["c"], True)


def test_a_log_that_does_not_reach_back_says_so() -> None:
    log = SentLog(messages=2)
    for message in ("a", "b", "c"):
        log.note(message)
    assert log.after(0) == (["b", "c"], False)
    assert log.after(1) == (["b", "c"], True)


def test_a_log_is_bounded_in_its_size() -> None:
    log = SentLog(size=10)
    for number in range(100):
        log.note(f"{number:05}")
    assert log.after(98) == (["00098", "00099"], True)
    assert log.after(97) == (["00098", "00099"], False)
    assert log.after(0)[1] is False
    log.note("a message that is longer than all of it")
    assert log.after(100) == ([], False)
