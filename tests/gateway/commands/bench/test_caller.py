"""One session of the load generator against a scripted server, in time that is given."""

from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from gateway.commands.bench.caller import ALIGNMENT, BROKEN, REFUSED, Caller, Sounds
from gateway.commands.bench.dialect import ParleyDialect, ServerDialect, Wishes
from gateway.commands.bench.observed import Observed
from gateway.commands.bench.scenario import Role
from gateway.commands.bench.wire import PONG, masked

CLIP, ROOM = [b"speech-%d" % n for n in range(50)], [b"room-0", b"room-1"]
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
FRAME = 0.02


class Wire:
    """What a caller reads and writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


class Silent(ParleyDialect):
    """A server that does not speak first."""

    opens = False


class Call:
    """A caller, its clock and the server's side."""

    def __init__(
        self, role: Role, dialect: ServerDialect | None = None, answer: bytes = ACCEPTED
    ) -> None:
        self.now = 100.0
        self.wire = Wire()
        self.observed = Observed(counting=True)
        self.ended: list[Caller] = []
        self.caller = Caller(
            0,
            "/ws/one",
            "127.0.0.1",
            role,
            dialect or Silent(),
            Wishes(silence_ms=800, barge_in_ms=200),
            Sounds([CLIP], ROOM),
            self.observed,
            self.ended.append,
            lambda: self.now,
        )
        wire: Any = self.wire
        self.caller.connection_made(wire)
        self.caller.data_received(answer)

    def ready(self) -> "Call":
        self.says('{"type":"ready"}')
        self.caller.talk()
        self.wire.written.clear()
        return self

    def says(self, message: str | bytes, opcode: Opcode | None = None) -> None:
        binary = isinstance(message, bytes)
        data = message if isinstance(message, bytes) else message.encode()
        kind = opcode or (Opcode.BINARY if binary else Opcode.TEXT)
        self.caller.data_received(Frame(kind, data).serialize(mask=False))

    def decides(self, at_ms: int = 0) -> None:
        self.says(f'{{"type":"speech.stopped","turn":1,"at_ms":{at_ms}}}')

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.caller.tick(self.now)
            self.now += FRAME

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            self.tick()
        raise AssertionError("it never came")

    def speaks(self) -> bool:
        return bool(self.wire.written) and self.wire.written[-1].startswith(b"speech")

    def answers(self) -> None:
        """One turn is spoken, to its last frame."""
        self.until(self.speaks)
        self.until(lambda: self.wire.written[-1] == CLIP[-1])

    def replies(self, ms: int = 1000) -> None:
        """A reply comes in one piece."""
        self.says(bytes(32 * ms))


def test_nothing_is_sent_before_the_server_is_ready() -> None:
    call = Call(Role("silent"))
    sent = len(call.wire.written)  # the upgrade and the hello
    call.tick(5)
    assert len(call.wire.written) == sent == 2
    call.now += 0.5
    call.says('{"type":"ready"}')
    call.tick(3)
    assert call.wire.written[sent:] == [b"room-0", b"room-1", b"room-0"]
    assert list(call.observed.connect) == pytest.approx([600.0])


def test_a_refused_upgrade_is_a_fault() -> None:
    call = Call(Role("silent"), answer=b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert call.observed.faults == {"refused: HTTP/1.1 503 Service Unavailab": 1}
    assert call.wire.closed


def test_the_page_of_a_refused_upgrade_is_not_read_as_frames() -> None:
    call = Call(Role("silent"), answer=b"HTTP/1.1 503 Service Unavailable\r\n\r\nThe server")
    call.caller.data_received(b" is full.")
    call.caller.connection_lost(None)
    assert [caller.code for caller in call.ended] == [REFUSED]
    assert sum(call.observed.faults.values()) == 1


def test_a_turn_is_spoken_answered_and_heard_to_its_end() -> None:
    call = Call(Role("answering")).ready()
    call.answers()
    assert (call.observed.spoken, call.observed.answered) == (1, 0)
    said_at = call.now - FRAME
    call.tick(41)
    call.decides()
    call.now += 0.004
    call.replies(1000)
    assert call.observed.answered == 1
    assert list(call.observed.decision_to_first) == pytest.approx([4.0], abs=0.1)
    ((clip, delay_ms),) = call.observed.end_to_decision
    assert (clip, delay_ms) == (0, pytest.approx((call.now - 0.004 - said_at) * 1000))
    began = call.now
    call.wire.written.clear()
    call.until(call.speaks)
    # 1 s of reply, the quiet after it, the pause; each seen at the next eighth frame.
    assert 1.5 <= call.now - began <= 1.5 + (2 * ALIGNMENT + 1) * FRAME


def test_speech_begins_at_every_eighth_frame_only() -> None:
    call = Call(Role("answering")).ready()
    for _ in range(3):
        call.tick()
        call.until(call.speaks)
        assert (len(call.wire.written) - 1) % ALIGNMENT == 0
        call.until(lambda: call.wire.written[-1] == CLIP[-1])
        call.decides()
        call.replies(100)


def test_a_turn_without_a_reply_is_missed_and_another_follows() -> None:
    call = Call(Role("answering")).ready()
    call.answers()
    call.wire.written.clear()
    call.until(call.speaks)
    assert (call.observed.spoken, call.observed.missed) == (1, 1)


def test_a_decision_while_the_person_speaks_is_early_and_times_nothing() -> None:
    call = Call(Role("answering")).ready()
    call.until(call.speaks)
    call.tick(3)
    call.decides()
    call.replies(100)
    call.answers()
    call.decides()
    call.replies(100)
    assert (call.observed.early, call.observed.answered) == (1, 1)
    assert call.observed.end_to_decision == []
    assert list(call.observed.decision_to_first) == []


def test_an_interruption_is_timed_to_the_last_byte_of_the_old_reply() -> None:
    call = Call(Role("answering", 1)).ready()
    call.answers()
    call.decides()
    call.replies(4000)
    call.wire.written.clear()
    call.until(call.speaks)
    began = call.now - FRAME
    call.tick(10)
    call.replies(20)
    last = call.now
    call.answers()
    call.decides()
    call.replies(20)
    assert list(call.observed.barge_in) == pytest.approx([(last - began) * 1000], abs=0.1)
    assert call.observed.answered == 2


def test_a_reply_to_the_words_that_interrupt_is_no_byte_of_the_old_one() -> None:
    """The server decides too early, and answers while the person still speaks."""
    call = Call(Role("answering", 1)).ready()
    call.answers()
    call.decides()
    call.replies(4000)
    call.wire.written.clear()
    call.until(call.speaks)
    began = call.now - FRAME
    call.tick(5)
    call.replies(20)
    last = call.now
    call.tick(5)
    call.decides()
    call.tick(5)
    call.replies(20)
    call.answers()
    call.decides()
    call.replies(20)
    assert list(call.observed.barge_in) == pytest.approx([(last - began) * 1000], abs=0.1)


def test_words_that_are_never_decided_leave_no_time_of_an_interruption() -> None:
    call = Call(Role("answering", 1)).ready()
    call.answers()
    call.decides()
    call.replies(4000)
    call.wire.written.clear()
    call.until(call.speaks)
    call.until(lambda: call.observed.missed == 1)
    call.answers()
    call.replies(20)
    call.decides()
    assert list(call.observed.barge_in) == []


def test_a_turn_of_the_measured_stretch_is_judged_after_it() -> None:
    call = Call(Role("answering")).ready()
    call.answers()
    call.observed.counting = False
    assert call.caller.awaits
    call.decides()
    call.now += 0.2
    call.replies(100)
    assert not call.caller.awaits
    assert (call.observed.spoken, call.observed.answered) == (1, 1)
    assert list(call.observed.decision_to_first) == pytest.approx([200.0], abs=0.1)


def test_a_turn_that_ends_after_the_measured_stretch_is_not_counted() -> None:
    call = Call(Role("answering")).ready()
    call.until(call.speaks)
    call.observed.counting = False
    call.answers()
    call.decides()
    call.replies(100)
    assert not call.caller.awaits
    assert (call.observed.spoken, call.observed.answered) == (0, 0)
    assert call.observed.end_to_decision == []


def test_the_frame_that_allowed_the_decision_is_known_where_the_server_tells() -> None:
    call = Call(Role("answering")).ready()
    call.answers()
    count = len(call.wire.written)
    call.tick(50)
    # Speech that ended 200 ms ago, 800 ms asked for: the frame in which the last chunk ended.
    at_ms = count * 20
    call.decides(at_ms)
    frame = -(-(at_ms + 800) // 20) - 1
    expected = (call.now - (100.0 + frame * FRAME)) * 1000
    assert list(call.observed.ready_to_decision) == pytest.approx([expected], abs=0.1)


def test_late_frames_of_a_reply_are_counted_by_the_servers_own_lead() -> None:
    call = Call(Role("answering")).ready()
    call.answers()
    call.decides()
    for _ in range(10):
        call.replies(20)
    call.now += 0.1
    call.replies(20)
    assert list(call.observed.lateness)[:9] == [0.0] * 9
    assert call.observed.lateness[9] == pytest.approx(80.0, abs=0.1)


def test_an_opening_is_heard_before_anything_is_said() -> None:
    call = Call(Role("answering"), ParleyDialect()).ready()
    call.tick(100)
    assert not call.caller.opened
    call.replies(1000)
    began = call.now
    call.until(call.speaks)
    assert call.caller.opened
    assert call.now - began >= 1.5


def test_a_talker_goes_on_after_a_short_gap_and_awaits_nothing() -> None:
    call = Call(Role("talking")).ready()
    call.tick(200)
    spoken = [frame.startswith(b"speech") for frame in call.wire.written]
    assert spoken.count(True) > 140
    assert call.observed.spoken == 0


def test_a_ping_is_answered() -> None:
    call = Call(Role("silent")).ready()
    call.says(b"now", Opcode.PING)
    assert call.wire.written == [masked(PONG, b"now")]


def test_the_servers_close_is_answered_and_told() -> None:
    call = Call(Role("silent")).ready()
    call.says(b"\x03\xe8", Opcode.CLOSE)
    assert call.wire.closed
    call.caller.connection_lost(None)
    assert [caller.code for caller in call.ended] == [1000]
    call.tick()
    assert len(call.wire.written) == 1  # the close frame


def test_a_line_that_breaks_has_a_code_of_its_own() -> None:
    call = Call(Role("silent")).ready()
    call.caller.connection_lost(OSError("gone"))
    assert [caller.code for caller in call.ended] == [BROKEN]
