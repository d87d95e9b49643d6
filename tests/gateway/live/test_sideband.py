"""Sidebands of a call: what they are sent, what they may say, and when they have to go."""

import itertools
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.live.client_secrets import ClientSecret
from gateway.live.ingress import MESSAGES_BURST, Flooded
from gateway.live.sideband import (
    LONGEST_MESSAGE_BYTES,
    MOST_BEHIND_BYTES,
    MOST_ERRORS,
    MOST_HELD,
    MOST_HELD_BYTES,
    MOST_SIDEBANDS,
    ControlledCalls,
    Sidebands,
    SidebandsFull,
    makers_of,
    names_of,
)
from gateway.protocols.dialect import (
    CloseCode,
    Command,
    ProtocolError,
    Reconfigure,
    Send,
    SessionReady,
    WireAudio,
    WireMessage,
)
from gateway.protocols.openai_realtime import OpenAiRealtime
from gateway.protocols.openai_realtime.requests import effective_session
from gateway.security import Grant, digest_of
from pipeline.frames import ReplyDone, ReplyStarted, ReplyText

WIRE = WireAudio("opus", 48_000)
UPDATE = {
    "type": "session.update",
    "event_id": "mine",
    "session": {"type": "realtime", "instructions": "Be brief."},
}
WRONG = {"type": "response.cancel", "event_id": "wrong"}


class Line:
    """What one sideband was sent, and how it was closed."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.closed: list[tuple[CloseCode, str]] = []

    def send(self, message: WireMessage) -> None:
        self.events.append(json.loads(message))

    def over(self, code: CloseCode, reason: str) -> None:
        self.closed.append((code, reason))

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


class Call:
    """A call whose client is sent what its dialect makes, and the commands that it performs."""

    def __init__(self) -> None:
        count = itertools.count(1)
        self.dialect = OpenAiRealtime(
            effective_session("assistant"),
            new_id=lambda kind: f"{kind}_{next(count)}",
            media="rtp",
        )
        self.sidebands = Sidebands(self.dialect, frozenset({"maker"}))
        self.commands: list[Command] = []
        self.client = Line()
        self.unsent = 0
        self.dialect.begin()

    def begins(self) -> None:
        self.sidebands.begin(self.perform, lambda: self.unsent)

    def stands(self) -> None:
        self.put_out(SessionReady("s-1", WIRE, WIRE, {}, None))
        self.begins()

    def perform(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self.send(command.message)
            else:
                self.commands.append(command)

    def put_out(self, output: Any) -> None:
        for message in self.dialect.encode(output, 0.0):
            self.send(message)

    def send(self, message: WireMessage) -> None:
        self.client.send(message)
        self.sidebands.send(message)

    def joined(self) -> Line:
        line = Line()
        self.sidebands.join(line)
        return line

    def said(self, line: Line, event: object, now: float = 0.0) -> None:
        self.sidebands.said(line, json.dumps(event).encode(), now)


@pytest.fixture
def call() -> Call:
    """A call whose session stands."""
    made = Call()
    made.stands()
    return made


# --- what it is sent -----------------------------------------------------------------------------


def test_a_sideband_is_sent_what_the_client_is_sent() -> None:
    call = Call()
    line = call.joined()
    assert line.events == []
    call.stands()
    call.put_out(ReplyStarted(1))
    call.put_out(ReplyText(1, "Hello."))
    assert line.events == call.client.events
    assert line.types()[:2] == ["session.created", "response.created"]


def test_who_comes_later_is_told_the_session_as_it_is(call: Call) -> None:
    call.said(call.joined(), UPDATE)
    late = call.joined()
    [created] = late.events
    assert created["type"] == "session.created"
    assert (created["session"]["id"], created["session"]["instructions"]) == ("s-1", "Be brief.")
    assert call.client.types() == ["session.created", "session.updated"]


def test_who_has_left_is_sent_nothing(call: Call) -> None:
    line = call.joined()
    call.sidebands.leave(line)
    call.sidebands.leave(line)
    call.put_out(ReplyStarted(1))
    call.said(line, UPDATE)
    assert line.types() == ["session.created"]
    assert call.commands == []


# --- what it says --------------------------------------------------------------------------------


def test_what_a_sideband_says_is_done_and_answered_to_all(call: Call) -> None:
    first, second = call.joined(), call.joined()
    call.said(first, UPDATE)
    [command] = call.commands
    assert isinstance(command, Reconfigure)
    for line in (first, second, call.client):
        assert line.types() == ["session.created", "session.updated"]


def test_an_error_is_told_to_who_made_it_alone(call: Call) -> None:
    first, second = call.joined(), call.joined()
    call.said(first, WRONG)
    assert first.types() == ["session.created", "error"]
    error = first.events[-1]["error"]
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "wrong")
    call.sidebands.refuse(second, ProtocolError("invalid_json", "No JSON."))
    assert second.events[-1]["error"]["code"] == "invalid_json"
    assert first.types() == ["session.created", "error"]
    assert call.client.types() == ["session.created"]


def test_the_end_of_a_reply_that_comes_with_an_error_is_for_all(call: Call) -> None:
    """Speech has stopped a reply: its last events wait for what the engine says next."""
    line = call.joined()
    for output in (ReplyStarted(1), ReplyText(1, "Hello there."), ReplyDone(1, True, "Hello")):
        call.put_out(output)
    assert "response.done" not in call.client.types()
    call.said(line, {"type": "conversation.item.delete", "item_id": "unknown"})
    assert call.client.types()[-1] == "response.done"
    assert line.types()[-2:] == ["response.done", "error"]


def test_what_is_retrieved_is_told_to_the_sideband_that_asked_alone(call: Call) -> None:
    first, second = call.joined(), call.joined()
    content = [{"type": "input_text", "text": "Hello."}]
    item = {"id": "item_1", "type": "message", "role": "user", "content": content}
    call.said(first, {"type": "conversation.item.create", "item": item})
    before = call.client.types()
    call.said(first, {"type": "conversation.item.retrieve", "item_id": "item_1"})
    assert first.types()[-1] == "conversation.item.retrieved"
    assert first.events[-1]["item"]["content"] == content
    assert call.client.types() == second.types() == before


def test_what_is_said_before_the_session_is_done_once_it_stands() -> None:
    call = Call()
    line, other = call.joined(), call.joined()
    call.said(line, UPDATE)
    call.said(line, WRONG)
    assert (call.commands, line.events) == ([], [])
    call.stands()
    assert len(call.commands) == 1
    assert line.types() == ["session.created", "session.updated", "error"]
    assert call.client.types() == other.types() == ["session.created", "session.updated"]


@pytest.mark.parametrize(
    ("size", "most"), [(1000, MOST_HELD), (60_000, MOST_HELD_BYTES // 60_000)], ids=["many", "long"]
)
def test_more_than_is_held_before_the_session_ends_the_sideband(size: int, most: int) -> None:
    call = Call()
    line = call.joined()
    message = json.dumps(UPDATE).ljust(size).encode()
    for _ in range(most):
        call.sidebands.said(line, message, 0.0)
    assert line.closed == []
    call.sidebands.said(line, message, 0.0)
    assert line.closed == [(CloseCode.POLICY, "too many events before the session")]
    call.stands()
    assert call.commands == []


def test_what_waits_behind_the_end_of_a_sideband_is_not_done() -> None:
    def perform(commands: Sequence[Command]) -> None:
        done.extend(commands)
        raise Flooded("too much")

    call = Call()
    line = call.joined()
    for _ in range(2):
        call.said(line, UPDATE)
    done: list[Command] = []
    call.put_out(SessionReady("s-1", WIRE, WIRE, {}, None))
    call.sidebands.begin(perform)
    assert (len(done), line.closed) == (1, [(CloseCode.POLICY, "too much")])


def test_nothing_is_done_once_the_call_is_over(call: Call) -> None:
    line = call.joined()
    call.sidebands.close(CloseCode.FINISHED, "")
    call.begins()
    call.said(line, UPDATE)
    assert call.commands == []


# --- how many, and for how long ------------------------------------------------------------------


def test_a_call_has_four_places(call: Call) -> None:
    with call.sidebands.place(), call.sidebands.place(), call.sidebands.place():
        with (
            call.sidebands.place(),
            pytest.raises(SidebandsFull, match="at most 4"),
            call.sidebands.place(),
        ):
            pass
        with call.sidebands.place():
            pass
    assert MOST_SIDEBANDS == 4


def test_client_secrets_leave_a_place_for_the_key(call: Call) -> None:
    with ExitStack() as places:
        for _ in range(MOST_SIDEBANDS - 1):
            places.enter_context(call.sidebands.place(by_secret=True))
        with pytest.raises(SidebandsFull), call.sidebands.place(by_secret=True):
            pass
        with call.sidebands.place():
            pass
    with call.sidebands.place(by_secret=True):
        pass


def test_a_flood_ends_the_sideband_and_not_the_call(call: Call) -> None:
    loud, quiet = call.joined(), call.joined()
    for _ in range(int(MESSAGES_BURST)):
        call.said(loud, UPDATE, now=100.0)
    assert loud.closed == []
    assert call.sidebands.control(quiet, 100.0) is True
    assert call.sidebands.control(loud, 100.0) is False
    assert loud.closed == [(CloseCode.POLICY, "more than 200 messages a second")]
    assert call.sidebands.control(loud, 100.0) is False
    call.said(quiet, UPDATE, now=100.0)
    assert quiet.closed == []


def test_more_than_the_session_takes_ends_the_sideband(call: Call) -> None:
    def perform(commands: Sequence[Command]) -> None:
        raise Flooded("audio comes faster than it is spoken")

    line = call.joined()
    call.sidebands.begin(perform)
    call.said(line, UPDATE)
    assert line.closed == [(CloseCode.POLICY, "audio comes faster than it is spoken")]


def test_errors_without_end_end_the_sideband(call: Call) -> None:
    line = call.joined()
    for _ in range(MOST_ERRORS):
        call.said(line, WRONG)
    assert line.closed == []
    call.said(line, WRONG)
    assert line.closed == [(CloseCode.POLICY, "too many errors")]
    call.sidebands.refuse(line, ProtocolError("invalid_json", "No JSON."))
    assert line.types() == ["session.created", *["error"] * (MOST_ERRORS + 1)]


def test_what_the_clients_channel_could_not_carry_is_refused_and_the_call_lives(call: Call) -> None:
    line = call.joined()
    padded = json.dumps(UPDATE).ljust(LONGEST_MESSAGE_BYTES)
    call.sidebands.said(line, f"{padded} ".encode(), 0.0)
    error = line.events[-1]["error"]
    assert (error["code"], error["event_id"]) == ("event_too_long", "mine")
    assert (call.commands, line.closed) == ([], [])
    call.sidebands.said(line, padded.encode(), 0.0)
    assert line.types()[-1] == "session.updated"


def test_a_sideband_waits_for_a_client_that_is_behind(call: Call) -> None:
    line = call.joined()
    call.unsent = MOST_BEHIND_BYTES + 1
    for _ in range(2 * MOST_ERRORS):  # which are no faults of its
        call.said(line, UPDATE)
    assert {event["error"]["code"] for event in line.events[1:]} == {"client_behind"}
    assert (call.commands, line.closed) == ([], [])
    assert call.client.types() == ["session.created"]
    call.unsent = MOST_BEHIND_BYTES
    call.said(line, UPDATE)
    assert call.client.types() == ["session.created", "session.updated"]


def test_a_fatal_error_ends_the_sideband(call: Call) -> None:
    line = call.joined()
    call.sidebands.refuse(line, ProtocolError("too_many_events", "Wait.", fatal=True))
    assert line.closed == [(CloseCode.POLICY, "Wait.")]


def test_sidebands_end_with_the_call(call: Call) -> None:
    first, second = call.joined(), call.joined()
    call.sidebands.close(CloseCode.RESTARTING, "the server restarts")
    call.sidebands.close(CloseCode.FINISHED, "")
    late = call.joined()
    for line in (first, second, late):
        assert line.closed == [(CloseCode.RESTARTING, "the server restarts")]
    assert late.events == []


# --- whose call ----------------------------------------------------------------------------------


def test_a_call_is_found_by_its_maker_until_it_is_over(call: Call) -> None:
    calls = ControlledCalls()
    calls.add("w0-x", call.sidebands)
    assert calls.find("w0-x", frozenset({"maker", "also"})) is call.sidebands
    assert calls.find("w0-x", None) is call.sidebands
    assert (calls.has("w0-x"), calls.has("w0-y")) == (True, False)
    assert calls.find("w0-x", frozenset({"another"})) is None
    assert calls.find("w0-x", frozenset()) is None
    assert calls.find("w0-y", None) is None
    call.sidebands.close(CloseCode.FINISHED, "")
    assert calls.find("w0-x", None) is None
    calls.add("w0-x", call.sidebands)  # it has ended before it was known
    assert calls.find("w0-x", None) is None


SECRET = ClientSecret("ek_1", 1_800_000_000, {}, client="a-key")
OTHER = ClientSecret("ek_2", 1_800_000_000, {}, client="a-key")
OWN = Grant("digest", owner="somebody")


@pytest.mark.parametrize(
    ("made_by", "comes", "holds"),
    [
        ((SECRET, None), (SECRET, None), True),
        ((SECRET, None), (OTHER, None), False),
        ((SECRET, None), (None, Grant("a-key")), True),
        ((SECRET, None), (None, Grant("another-key")), False),
        ((None, Grant("a-key")), (None, Grant("a-key")), True),
        ((None, Grant("a-key")), (SECRET, None), False),
        ((None, Grant("a-key")), (None, Grant("another-key")), False),
        ((None, OWN), (None, Grant("a fresh token's", owner="somebody")), True),
        ((None, None), (None, Grant("a-key")), False),
        ((None, None), (SECRET, None), False),
    ],
    ids=[
        "its secret",
        "another secret of the key",
        "the key that made its secret",
        "another key than that",
        "its key",
        "a secret of its key",
        "another key",
        "another token of who made it",
        "made without a key",
        "made without a key, by a secret",
    ],
)
def test_a_call_is_its_makers_and_of_who_made_its_secret(
    made_by: tuple[ClientSecret | None, Grant | None],
    comes: tuple[ClientSecret | None, Grant | None],
    holds: bool,
) -> None:
    assert bool(makers_of(*made_by) & names_of(*comes)) is holds


def test_a_secret_is_known_by_its_digest() -> None:
    assert names_of(SECRET, None) == {digest_of("ek_1")}
