"""A client's request for a session, in no dialect's words. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gateway.media.format import AudioFormat, NoiseReduction
from gateway.protocols.tool_wish import ToolWish
from pipeline.playout import LEAD_MS
from pipeline.stage import Message, Tool

Avatar = Literal["off", "visemes", "frames"]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """How turns are detected; a field that is None keeps the server's value.

    `replies`: an ended turn gets a reply without a request. `interruptible`: speech stops a reply.
    A person who is silent for `prompt_ms` is spoken to.
    """

    mode: Literal["auto", "manual"] = "auto"
    adaptive: bool = True
    threshold: float | None = None
    silence_ms: int | None = None
    max_wait_ms: int | None = None
    prefix_ms: int | None = None
    barge_in_ms: int | None = None
    barge_in_words: int | None = None
    resume_ms: int | None = None
    prompt_ms: int | None = None
    replies: bool = True
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class InterviewRequest:
    """The interview that a client wants if its session does not exist yet."""

    role: str
    model: str | None = None
    total_questions: int | None = None


@dataclass(frozen=True, slots=True)
class AssistantRequest:
    """A plain conversation with the configured chat server, in place of an interview.

    `history` gives the conversation before a turn, as it was heard; `spoken` is False for replies
    in text only. The other fields are those of `pipeline.stage.Brief`.
    """

    history: Callable[[int], tuple[Message, ...]]
    model: str = ""
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    voice: str | None = None
    spoken: bool = True


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """A client comes back: its token, and the last message that it has seen, counted from 1."""

    token: str
    seq: int


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A client's request for a session, in every dialect; `SessionRequest()` asks for defaults.

    If `noise_reduction` is None, the deployment's setting holds. At most one of `interview` and
    `assistant` is given. If both are None, the session is the interview that is stored under its
    id, or a default one. `language` is the person's: a code or "auto"; None leaves it to the
    server. A stored interview keeps its own. `lead_ms` is how far ahead of real time reply audio is
    sent: a client that cannot drop audio plays this much after a stop. `traceparent` names the
    client's span (W3C Trace Context); the turns then belong to its trace. `resume` asks to go on
    with the session. `tools` are functions that replies may call; None leaves that to the stored
    session.
    """

    audio_in: AudioFormat = field(default_factory=AudioFormat)
    noise_reduction: NoiseReduction | None = None
    audio_out: AudioFormat = field(default_factory=AudioFormat)
    lead_ms: int = LEAD_MS
    avatar: Avatar = "visemes"
    face: str | None = None
    turns: TurnRequest = field(default_factory=TurnRequest)
    interview: InterviewRequest | None = None
    assistant: AssistantRequest | None = None
    language: str | None = None
    traceparent: str = ""
    resume: ResumeRequest | None = None
    tools: tuple[ToolWish, ...] | None = None

    @property
    def sound(self) -> tuple[AudioFormat, AudioFormat, NoiseReduction | None]:
        """How audio travels and is read."""
        return self.audio_in, self.audio_out, self.noise_reduction
