"""What of a conversation can be sent again."""

import json
import tracemalloc

import pytest

from gateway.live.resumption import Resumption
from gateway.live.sent_log import (
    BLOCK_BYTES,
    MOST_BYTES,
    MOST_MESSAGES,
    MOST_PACKED_BYTES,
    SentLog,
)
from tests.support.memory_store import MemoryStore


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


def told(number: int) -> str:
    """A message like those of a conversation."""
    return json.dumps({"type": "response.spoken", "turn": number, "atMs": 20 * number, "text": "é"})


def test_every_number_gives_all_later_messages_wherever_they_are_kept() -> None:
    log = SentLog()
    sent: list[str | bytes] = []
    for number in range(150):
        message: str | bytes = told(number) if number % 3 else told(number).encode()
        log.note(message)
        sent.append(message)
    assert sum(map(len, sent)) > 2 * BLOCK_BYTES
    for seq in range(len(sent) + 1):
        assert log.after(seq) == (sent[seq:], True)


def test_a_text_with_half_of_a_surrogate_pair_is_kept() -> None:
    log = SentLog()
    for message in ("\ud83d", "a" * BLOCK_BYTES):
        log.note(message)
    assert log.after(0) == (["\ud83d", "a" * BLOCK_BYTES], True)


@pytest.mark.parametrize(
    ("messages", "size"), [(MOST_MESSAGES, 3 * BLOCK_BYTES), (100, MOST_BYTES)], ids=str
)
def test_a_full_log_forgets_at_most_a_block_more_than_it_has_to(messages: int, size: int) -> None:
    log = SentLog(messages, size)
    sent = [told(number) for number in range(1_000)]
    for seq, message in enumerate(sent, 1):
        log.note(message)
        kept, _ = log.after(0)
        assert kept == sent[seq - len(kept) : seq]
        assert len(kept) <= messages
        assert sum(map(len, kept)) <= size
        assert log.after(seq - len(kept))[1]
        assert log.after(0)[1] is (len(kept) == seq)
    block = BLOCK_BYTES // len(sent[0]) + 1
    assert len(kept) >= min(messages, size // len(sent[-1])) - block


@pytest.mark.parametrize("long", ["x" * MOST_PACKED_BYTES, "語" * 6_000], ids=["ASCII", "Kanji"])
def test_a_message_that_a_client_has_made_long_is_not_packed(
    monkeypatch: pytest.MonkeyPatch, long: str
) -> None:
    log = SentLog()
    log.note("before")
    monkeypatch.delattr("zlib.compressobj")
    log.note(long)
    monkeypatch.undo()
    log.note("after")
    assert log.after(0) == (["before", long, "after"], True)
    assert log.after(2) == (["after"], True)


def test_the_messages_of_a_long_conversation_take_little_memory() -> None:
    tracemalloc.start()
    try:
        log = SentLog()
        for number in range(MOST_MESSAGES):
            log.note(told(number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(log.after(0)[0]) > 0.9 * MOST_MESSAGES
    assert held < 40_000  # as text alone: 74,000; as objects: 200,000


def test_nothing_is_kept_for_a_client_that_cannot_come_back() -> None:
    log = Resumption(MemoryStore(lambda: 0.0), "one", 0.0, lambda line: None).log
    log.note("never sent again")
    assert (log.seq, log.after(0)) == (1, ([], False))
