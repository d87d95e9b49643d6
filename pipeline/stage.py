"""The protocols that stages implement. A provider is one class with one of these shapes.

Providers live as long as the process and are shared by all sessions; what belongs to one utterance
or one reply is an object that a method returns. Every asynchronous method may be cancelled at any
await: the provider then stops its work upstream and keeps nothing of it.

Failures are raised as `StageFailed`, `StageBusy` or `CallerError` (see `pipeline.errors`); anything
else that a provider raises counts as a failure of its stream.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from pipeline.frames import (
    AvatarFrame,
    AvatarMood,
    Output,
    Samples,
    Sentence,
    Speech,
    Spoken,
    TextDelta,
    ToolCall,
    Transcript,
)

OnChunk = Callable[[int, float], None]
"""Called with a position in the input audio (samples) and the probability of speech up to it."""


class VadStream(Protocol):
    """One session's end of the process's voice detector."""

    def feed(self, pcm: Samples) -> None:
        """Take input audio (16 kHz, at most 1 s). A plain call: never blocks, never raises."""

    def close(self) -> None:
        """Give the place back. Probabilities still under way are dropped. Idempotent."""


class Detector(Protocol):
    """Voice detection for all sessions of the process."""

    provider: str

    def open(self, on_chunk: OnChunk) -> VadStream:
        """A place for one session. `on_chunk` is called on the event loop, in order of position."""

    async def aclose(self) -> None:
        """The process ends: no `on_chunk` is called any more. Idempotent."""


class Recognition(Protocol):
    """One utterance on its way to text."""

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio (16 kHz). A plain call: never blocks, never raises."""

    def finish(self) -> AsyncIterator[Transcript]:
        """No more audio will come: yield partials if any, then exactly one final transcript.

        Where nothing was fed or nothing understood, the final's text is "".
        """

    def cancel(self) -> None:
        """Forget the utterance. Idempotent; harmless after `finish` has ended."""


class Transcriber(Protocol):
    """Speech to text."""

    provider: str

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
    ) -> Recognition:
        """Begin an utterance. `on_partial`, if given, hears every changed partial transcript.

        `hints` are names and terms that are likely to be heard; who cannot use them ignores them.
        """

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RecognizedSpeech:
    """How spoken words became text: by which provider, from `duration_ms` of audio.

    That audio (16 kHz) began `start_ms` into the session's input. A host that keeps recordings
    finds it in `audio`, which nobody changes any more.
    """

    transcript: Transcript
    provider: str
    start_ms: int
    duration_ms: int
    audio: Samples | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call of a function, as the conversation remembers it: `arguments` are JSON, as text."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the conversation as it was heard.

    `calls` are the functions that an assistant's message called. A message of the role "tool" is
    the result of one call, and `call_id` names that call.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[ToolRequest, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Brief:
    """What the host wants said in a turn, computed without side effects.

    `say` is the exact text that a scripted responder speaks, sentence by sentence; `instructions`
    tell a language model what to do with the turn, and `history` is the conversation so far as it
    was heard; `closes`: the conversation ends with this turn.

    `tools` are the functions that the reply may call, `tool_choice` is "auto", "none", "required"
    or the name of the one to call. `max_tokens` bounds the reply; None leaves that to the
    responder. `voice` and `model` are wishes, for providers that can choose. Where `spoken` is
    False the reply is text only: nothing is synthesised, and each sentence counts as heard at once.
    """

    say: tuple[str, ...]
    instructions: str = ""
    history: tuple[Message, ...] = ()
    closes: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    voice: str | None = None
    spoken: bool = True
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """One turn for a responder. `text` is empty in the opening turn: nobody has spoken yet."""

    turn: int
    text: str
    brief: Brief


class Responder(Protocol):
    """Finds the words of the reply."""

    provider: str

    def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        """Stream the reply's text, and calls of the brief's tools, each of them complete.

        Must have no side effect on the conversation.
        """

    async def aclose(self) -> None: ...


class Synthesizer(Protocol):
    """Text to speech."""

    provider: str
    rate_hz: int

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Stream one sentence's audio at `rate_hz`, with visemes and word positions."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What a face is to be shown doing: saying `speech`, or being silent where that is silence.

    `face` is its name; pictures are `size` pixels wide and high, one every `frame_ms`.
    """

    speech: Spoken
    face: str
    size: int
    frame_ms: int
    mood: AvatarMood = "speaking"


class Animator(Protocol):
    """Pictures of a face that speaks."""

    provider: str

    def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
        """Stream pictures of one scene in order of time.

        Their turn is the speech's, and `at_ms` counts, as its own does, from the reply's first
        sample. Those that come after they have been spoken are of no use to anybody.
        """

    async def aclose(self) -> None: ...


class Converter(Protocol):
    """A stateful sample-rate converter for one stream of audio."""

    def push(self, pcm: Samples) -> Samples:
        """Convert; what cannot be converted yet is kept (2 ms at most)."""

    def flush(self) -> Samples:
        """The stream is over: give what was kept, and be ready for a new stream."""


class Host(Protocol):
    """What a session asks of whoever runs it. The session knows no interview and no storage."""

    @property
    def hints(self) -> tuple[str, ...]:
        """Names and terms that the person is likely to say."""

    def brief(self, turn: int, text: str) -> Brief:
        """What should be said next. Pure: may be called for turns that never happen."""

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        """Store the person's words and what follows from them. Nothing is answered before that.

        `heard` is None where all of them were typed.
        """

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None:
        """The turn is over: `heard_text` was played of the reply, `calls` is what it called."""

    async def correct(self, turn: int, heard_text: str) -> None:
        """The client says that no more than `heard_text` of a committed turn's reply was heard."""

    def prompt(self, turn: int, times: int) -> str:
        """What to say to a person who has been silent since the last reply; "" for nothing.

        `times` counts from 1 in one silence. What is said is no part of the conversation.
        """

    def time_is_up(self) -> None:
        """The conversation has lasted long enough: the next answer is to be the last."""

    def farewell(self) -> str:
        """What to say where no answer came after that; "" for nothing."""


Observed: TypeAlias = Output | Spoken
"""What observers of a session get: what goes to the client, and speech as it is queued for playout.
"""


class Observer(Protocol):
    """Sees what a session puts out, in order: the client's connection, a recorder, a face."""

    def observe(self, output: Observed, now: float) -> None:
        """Take an output at `now`, seconds on the event loop's clock.

        A plain call: must neither block nor raise.
        """
