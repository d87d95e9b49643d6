"""What turn-taking is told, and what it decides. Pure.

Each event says what happened, to one session; each action says what is to be done about it, and
names the turn that it is about.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipeline.turn_policy import TurnPolicy

# --- events ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """The detector's word on the audio that ends `at_ms` into the input."""

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
    """What the person has said and not finished yet is to be forgotten."""


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """The first audio or text of a turn's reply went out."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A turn's reply has been played, or there will be none."""

    turn: int


@dataclass(frozen=True, slots=True)
class Understood:
    """What has been understood of a turn so far: a partial transcript, or that of a preparation.

    While a reply is held, what is said into it belongs to the turn that it may become: the next.
    """

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The conversation has lasted long enough: it closes as soon as nobody speaks."""


@dataclass(frozen=True, slots=True)
class RespondNow:
    """The client wants a reply without words of the person.

    While what was said in a turn without reply is still being recognised, the reply follows it. A
    reply that is under way refuses it, unless it `waits`: then it follows that reply.
    """

    waits: bool = False


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """From here on turn-taking goes by another policy."""

    policy: TurnPolicy


Event: TypeAlias = (
    Chunk
    | Understood
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
    """An utterance began at `at_ms`: open a recognition with the audio from `from_ms` on."""

    turn: int
    at_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class EndTurn:
    """The turn is decided: recognise what was spoken (if it was), append `typed`, and reply.

    `ended` is when, on the clock of `now`, the person's speech ended at position `at_ms`. Without
    `replies` the words are recognised, accepted and shown, and that is all: `ReplyEnded` follows.
    """

    turn: int
    at_ms: int
    ended: float
    spoken: bool
    typed: str = ""
    replies: bool = True


@dataclass(frozen=True, slots=True)
class Speculate:
    """The person may have finished, `at_ms` into the input: prepare what `EndTurn` would ask for.

    Nothing of it may be sent or stored. An `EndTurn` to this turn releases it, `Discard` ends it.
    """

    turn: int
    at_ms: int
    ended: float


@dataclass(frozen=True, slots=True)
class Discard:
    """The person goes on: what was prepared for this turn is void."""

    turn: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this turn's reply, whatever has become of it so far."""

    turn: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody speaks into this turn's reply, from `at_ms` on: pause it, and start to recognise.

    The audio from `from_ms` on belongs to what may become the next turn: `StartTurn` makes it that,
    `DropHeld` drops it.
    """

    turn: int
    at_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class DropHeld:
    """What was spoken into this turn's reply, since it was held, is no turn: forget it.

    Every `Hold` is followed by this or by the `StartTurn` of the next turn.
    """

    turn: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """The utterance of this turn is forgotten: nothing is recognised, and no reply follows."""

    turn: int


@dataclass(frozen=True, slots=True)
class Resume:
    """It was no barge-in: this turn's reply goes on where it was held."""

    turn: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """Nobody has spoken since the last reply: say something, for the `times`-th time."""

    turn: int
    times: int


@dataclass(frozen=True, slots=True)
class Close:
    """Time is up: say farewell and end the conversation."""

    turn: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """An event made no sense now; `code` says why."""

    turn: int
    code: Literal["nothing_to_commit", "reply_under_way", "person_speaks"]


Action: TypeAlias = (
    StartTurn
    | Speculate
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
