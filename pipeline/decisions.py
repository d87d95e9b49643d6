"""The events that go into turn-taking, and the actions that come out of it. Pure.

An event says what happened in one session. An action says what the session must do, and names the
turn that it concerns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from pipeline.turn_policy import TurnPolicy

# --- events ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """The probability of speech in the audio that ends `at_ms` into the input."""

    at_ms: float
    probability: float


@dataclass(frozen=True, slots=True)
class Typed:
    """The person typed an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The person wants the reply to stop."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The person says that the turn is over (push to talk)."""


@dataclass(frozen=True, slots=True)
class Forget:
    """The client drops the utterance under way: it becomes no turn."""


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """The first audio or text of a turn's reply went out."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A turn's reply has been played, or the turn gets no reply.

    With `echo` the person's turn was only the echo of the reply before, back through the
    microphone. With `again` the echo cut that reply off, and the reply must be said again.
    """

    turn: int
    echo: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Understood:
    """The text of a turn so far, from a partial transcript or from a speculation.

    While a reply is held, the words spoken into it carry the id of the next turn.
    """

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer to `AskTurnModel`: the probability, 0 to 1, that the person has finished.

    `turn` and `at_ms` are the question's; an answer to an older question changes nothing.
    """

    turn: int
    at_ms: int
    probability: float


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The time is up: the conversation closes as soon as neither side speaks."""


@dataclass(frozen=True, slots=True)
class RespondNow:
    """The client wants a reply without words of the person.

    If the words of a turn without reply are still being recognised, the reply follows them. While
    a reply is under way, the request is refused, unless it `waits`: then it follows that reply.
    """

    waits: bool = False


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Turn-taking follows another policy from here on."""

    policy: TurnPolicy


Event: TypeAlias = (
    Chunk
    | Understood
    | Judged
    | Typed
    | Interrupt
    | Commit
    | ReplyBegan
    | ReplyEnded
    | TimeUp
    | RespondNow
    | Forget
    | PolicyChanged
)


# --- actions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTurn:
    """An utterance began at `at_ms`: start to recognise the audio from `from_ms` on."""

    turn: int
    at_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class EndTurn:
    """The turn is decided: recognise its speech (where `spoken`), append `typed`, and reply.

    `ended` is when, on the clock of `now`, the person's speech ended at position `at_ms`. Without
    `replies` the words are recognised, accepted and shown only; `ReplyEnded` follows.
    """

    turn: int
    at_ms: int
    ended: float
    spoken: bool
    typed: str = ""
    replies: bool = True


@dataclass(frozen=True, slots=True)
class Speculate:
    """The person may have finished, `at_ms` into the input: prepare the work of `EndTurn`.

    Its results may not be sent or stored. This turn's `EndTurn` releases it, `Discard` ends it.
    """

    turn: int
    at_ms: int
    ended: float


@dataclass(frozen=True, slots=True)
class AskTurnModel:
    """The person pauses, `at_ms` into the input: ask the turn model whether they have finished."""

    turn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Discard:
    """The person goes on speaking: drop what was prepared for this turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this turn's reply, at whatever point it is."""

    turn: int


@dataclass(frozen=True, slots=True)
class Hold:
    """The person speaks into this turn's reply, from `at_ms` on: pause it, and start to recognise.

    The audio from `from_ms` on may become the next turn: `StartTurn` makes it that turn,
    `DropHeld` drops it.
    """

    turn: int
    at_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class DropHeld:
    """Drop the speech that held this turn's reply: it becomes no turn.

    Every `Hold` is followed by this or by the `StartTurn` of the next turn.
    """

    turn: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Drop the utterance of this turn: it is not recognised, and no reply follows."""

    turn: int


@dataclass(frozen=True, slots=True)
class Resume:
    """The speech was no barge-in: this turn's reply goes on where it was held."""

    turn: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """The person has been silent since the last reply: prompt, for the `times`-th time."""

    turn: int
    times: int


@dataclass(frozen=True, slots=True)
class Close:
    """Time is up: say farewell and end the conversation."""

    turn: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """An event is not possible in the present state; `code` says why."""

    turn: int
    code: Literal["nothing_to_commit", "reply_under_way", "person_speaks"]


Action: TypeAlias = (
    StartTurn
    | Speculate
    | AskTurnModel
    | Discard
    | EndTurn
    | Cancel
    | Hold
    | DropHeld
    | Abandon
    | Resume
    | Prompt
    | Close
    | Refuse
)

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "nothing_to_commit": "there is no speech to commit",
        "reply_under_way": "a reply is under way; interrupt it first",
        "person_speaks": "the person speaks; the turn has to end first",
    }
)
"""The codes of `Refuse`, for the client, in words."""
