"""The contract of a dialect: client messages to commands, session outputs to messages. Pure.

The request that the first command carries is in `gateway.protocols.request`.

A dialect is a value without I/O, one per connection. It neither waits nor sends: `Connection`
(`gateway.live.connection`) calls it and does what the commands say. A new dialect is one package
beside this module and one route; see `docs/architecture.md`.

::

    ProtocolError                 the client sent something that its dialect does not allow
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from gateway.media.format import NoiseReduction
from gateway.protocols.left_out import LeftOut
from gateway.protocols.request import AssistantRequest, Avatar, SessionRequest
from pipeline.frames import AvatarFrame, Output, ReplyAudio
from pipeline.token_usage import TokenUsage

WireMessage: TypeAlias = str | bytes
"""A message to a client: text, or bytes where its dialect's messages are binary."""

# --- commands --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the session as requested. Comes at most once, before all other commands.

    `ticket` is a ticket or a pass for the session, "" without one.
    """

    request: SessionRequest
    ticket: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """Go on with another request: turn detection, instructions, audio formats."""

    request: SessionRequest


@dataclass(frozen=True, slots=True)
class AudioMessage:
    """Input audio that came inside a message, in the format of `audio_in`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TypedText:
    """The person typed an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class PressKey:
    """The person pressed a key of a telephone: "0" to "9", "*", "#" or "A" to "D".

    An interview takes some keys for an answer, see `stages.interview.keypad`. Others are ignored.
    """

    key: str


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """The person's turn ends here (push to talk)."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Drop audio that came but was not committed."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Reply now, without words of the person; `assistant`, if given, holds for this reply only.

    A reply that is under way refuses it, unless it `waits`: a reply that called functions is
    followed by the reply to their results.
    """

    assistant: AssistantRequest | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class RespondOutOfBand:
    """Ask the chat server for a reply beside the conversation. Its text goes to `OutOfBand` outputs
    with this `key`; it is neither spoken nor remembered."""

    key: str
    assistant: AssistantRequest


@dataclass(frozen=True, slots=True)
class InterruptReply:
    """Stop the reply that is under way, if there is one.

    It waits behind a request for a reply that waits behind audio, unless it `overtakes`.
    """

    overtakes: bool = False


@dataclass(frozen=True, slots=True)
class StopOutOfBand:
    """Stop a reply beside the conversation."""

    key: str


@dataclass(frozen=True, slots=True)
class ReportPlayed:
    """The client has played `played_ms` of a turn's reply."""

    turn: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """Only `heard_ms` of a turn's reply was heard: remember no more of it."""

    turn: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class AnswerToolCall:
    """The client has run a function: its `result`, or why there is none."""

    call_id: str
    result: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message that the dialect made from its own state, such as an answer to `ping`.

    A `private` one is for the client or the sideband that asked, and changes nothing for others.
    """

    message: WireMessage
    private: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """The client ends the session."""


Command: TypeAlias = (
    Start
    | Reconfigure
    | AudioMessage
    | TypedText
    | PressKey
    | CommitTurn
    | ClearAudio
    | Respond
    | RespondOutOfBand
    | StopOutOfBand
    | InterruptReply
    | ReportPlayed
    | Truncate
    | AnswerToolCall
    | Send
    | Leave
)

# --- outputs of the gateway itself -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WireAudio:
    """How audio travels in one direction, as reported to the client."""

    encoding: str
    rate_hz: int
    channels: int = 1
    noise_reduction: NoiseReduction = "off"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The client has come back. `kept`: to the same conversation; `complete`: every message that it
    missed was sent again; `texts`: how many typed answers of its conversation have arrived."""

    kept: bool
    complete: bool
    texts: int = 0


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The session is ready. `interview` is its state for the client; None for an assistant.

    `avatar` is what the client asked for, `language` the session's: a code, "auto" or None. Each of
    the `notices` has a code and a sentence: what the language lacks here. `resume` is the token to
    come back with, None where that is not offered.
    """

    session_id: str
    audio_in: WireAudio
    audio_out: WireAudio
    providers: dict[str, str]
    interview: dict[str, Any] | None
    avatar: Avatar = "visemes"
    language: str | None = None
    notices: tuple[tuple[str, str], ...] = ()
    resume: str | None = None
    resumed: Resumed | None = None


@dataclass(frozen=True, slots=True)
class InterviewProgress:
    """The interview has advanced."""

    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReplyTiming:
    """Over RTP: the sample with this timestamp is `at_ms` into the turn's reply."""

    turn: int
    at_ms: int
    rtp_timestamp: int


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """A client's function was called, and its result is waited for no longer."""

    call_id: str


@dataclass(frozen=True, slots=True)
class OutOfBand:
    """A piece of a reply beside the conversation. `done`: the last one; `failed` is its error, and
    `tokens` are what it has taken, None where no model counts them."""

    key: str
    text: str = ""
    done: bool = False
    failed: str | None = None
    tokens: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The process is about to end: the session ends within `in_ms`, with `CloseCode.RESTARTING`."""

    in_ms: int


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The session's time is over in `in_ms`; then it ends with the fault `SESSION_EXPIRED`."""

    in_ms: int


@dataclass(frozen=True, slots=True)
class SentenceSpoken:
    """The sentence whose text came last lies there in the turn's reply, which may have begun."""

    turn: int
    from_ms: int
    until_ms: int


class CloseCode(IntEnum):
    """How a session ended, as the close code of a WebSocket (RFC 6455, section 7.4)."""

    FINISHED = 1000
    NOT_UTF8 = 1007
    POLICY = 1008
    INTERNAL = 1011
    RESTARTING = 1012
    OVERLOADED = 1013
    NO_SESSION = 4404


@dataclass(frozen=True, slots=True)
class SessionOver:
    """The last output: everything that was said is stored, and the connection is closed so."""

    code: CloseCode


MESSAGE_TOO_LONG = "message_too_long"
"""The code of the error for a message that is not looked at; the session goes on."""

SESSION_EXPIRED = "session_expired"
"""The code of the fatal fault of a session whose time is over."""

Outgoing: TypeAlias = (
    Output
    | AvatarFrame
    | SessionReady
    | InterviewProgress
    | ReplyTiming
    | ToolCallEnded
    | LeftOut
    | OutOfBand
    | GoingAway
    | SessionExpires
    | SentenceSpoken
    | SessionOver
)

# --- the dialect -----------------------------------------------------------------------------


class ProtocolError(Exception):
    """The client sent something that its dialect does not allow.

    A `fatal` error ends the session, with close code 1008; after any other the session goes on.
    `param` names the field at fault and `event_id` the client's message, where a dialect has them.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fatal: bool = False,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.fatal = fatal
        self.param = param
        self.event_id = event_id

    def __str__(self) -> str:
        return self.message


class Dialect(Protocol):
    """Translates one connection's messages, both ways."""

    resumable: bool
    """Whether its clients count the messages, so that they can come back: see
    `gateway.protocols.request.ResumeRequest`."""
    runs_tools: bool
    """Whether its clients can run functions of their own within a reply: see `AnswerToolCall`."""

    def begin(self) -> Sequence[Command]:
        """The commands for a client that has connected, before its first message."""

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """The commands in a text message, in their order. `now` is the loop's clock, in seconds.

        A dialect with binary messages gets them here, too, but for those that `Unwrap` takes.

        Raises `ProtocolError` for anything else, in time linear in the message's length, which the
        transport bounds.
        """

    def encode(self, output: Outgoing, now: float) -> Sequence[WireMessage]:
        """The messages for an output; none where the dialect does not know it."""

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[WireMessage] | None:
        """The messages for reply audio, encoded as `data`; None: send it as a binary message."""

    def refuse(self, error: ProtocolError) -> Sequence[WireMessage]:
        """The messages that report the client's error to it."""


Unwrap: TypeAlias = Callable[[bytes], bytes | None]
"""The input audio in a client's binary message, where its dialect wraps audio in messages of its
own; None for a message without any, which `parse` gets. It does not raise: the hot path."""
