"""The protocols that stages implement. A provider is one class with one of these shapes.

Providers live as long as the process and are shared by all sessions. The state of one utterance or
one reply is an object that a method returns. Every asynchronous method may be cancelled at any
await: the provider then stops its work upstream and keeps nothing of it.

A provider raises failures as `StageFailed`, `StageBusy` or `CallerError` (see `pipeline.errors`);
any other exception counts as a failure of its stream.
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
from pipeline.token_usage import TokenUsage

OnChunk = Callable[[int, float], None]
"""Called with a position in the input audio (samples) and the probability of speech up to it."""


class VadStream(Protocol):
    """One session's stream of audio to the process's voice detector."""

    def feed(self, pcm: Samples) -> None:
        """Take input audio (16 kHz, at most 1 s). A plain call: never blocks, never raises."""

    def close(self) -> None:
        """End the stream. Probabilities still under way are dropped. Idempotent."""


class Detector(Protocol):
    """Voice detection for all sessions of the process."""

    provider: str

    def open(self, on_chunk: OnChunk) -> VadStream:
        """Open a session's stream. `on_chunk` is called on the event loop, in order of position."""

    async def aclose(self) -> None:
        """The process ends: no `on_chunk` is called from here on. Idempotent."""


class TurnModel(Protocol):
    """Says from the sound whether a person who pauses has finished."""

    provider: str

    async def finished(self, audio: Samples) -> float:
        """The probability, 0 to 1, that the person who said `audio` will not go on.

        `audio` (16 kHz) is the end of the utterance up to the pause, 8 s of it at most, with the
        first 200 ms of the pause; it may be empty. An answer that takes longer than 200 ms is not
        used. Cancelling drops the question.
        """

    async def aclose(self) -> None: ...


class Recognition(Protocol):
    """One utterance on its way to text."""

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio (16 kHz). A plain call: never blocks, never raises."""

    def finish(self) -> AsyncIterator[Transcript]:
        """No more audio will come: yield partials if any, then exactly one final transcript.

        Where no audio was fed or no words were recognised, the final's text is "".
        """

    def cancel(self) -> None:
        """Drop the utterance. Idempotent; harmless after `finish` has ended."""


class Transcriber(Protocol):
    """Speech to text."""

    provider: str

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> Recognition:
        """Begin an utterance. `on_partial`, if given, takes every changed partial transcript.

        `hints` are names and terms that are likely to be said; a recogniser may ignore them.
        `language` is the code of the language that is spoken; None leaves it to the recogniser. A
        recogniser for certain languages has their codes in an attribute `languages`; it gets no
        utterance in another.
        """

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RecognizedSpeech:
    """How spoken words became text: by which provider, from `duration_ms` of audio.

    That audio (16 kHz) began `start_ms` into the session's input. A host that keeps recordings
    finds it in `audio`, which is not changed any more.
    """

    transcript: Transcript
    provider: str
    start_ms: int
    duration_ms: int
    audio: Samples | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A function call that the conversation remembers; `arguments` are JSON, as text."""

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
    """The reply that the host wants in a turn, computed without side effects.

    `say` is the exact text that a scripted responder speaks, sentence by sentence. `instructions`
    are a language model's instructions for the turn, and `history` is the conversation so far as
    it was heard. `closes`: the conversation ends with this turn. `due` is the line without which
    the turn is no use, such as the question: it is said where the reply breaks off before it.

    `tools` are the functions that the reply may call, `tool_choice` is "auto", "none", "required"
    or the name of the one to call. `max_tokens` bounds the reply; None leaves that to the
    responder. `voice` and `model` are wishes, for providers that can choose. `language` is that of
    the reply's text ("de"). Where `spoken` is False the reply is text only: nothing is synthesised,
    and each sentence counts as heard at once.
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
    due: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """One turn for a responder. `text` is empty in a turn without words of the person.

    A language model calls `spend` with what the reply has taken so far, each time with all of it:
    an estimate when it begins, and what its server tells. A plain call that does not raise.
    """

    turn: int
    text: str
    brief: Brief
    spend: Callable[[TokenUsage], object] = field(default=bool, repr=False, compare=False)


class Responder(Protocol):
    """Generates the text of the reply.

    One that answers at once and costs nothing may say so with an attribute `stands_by`, which is
    True: it then takes over as soon as another is late.
    """

    provider: str

    def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        """Stream the reply's text, and calls of the brief's tools, each of them complete.

        Must have no side effect on the conversation.
        """

    async def aclose(self) -> None: ...


class Synthesizer(Protocol):
    """Text to speech. For `stands_by` see `Responder`."""

    provider: str
    rate_hz: int

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Stream one sentence's audio at `rate_hz`, with visemes and word positions.

        The text was made speakable (`pipeline.speakable`): it has a letter or a digit, and neither
        Markdown nor emoji. Word positions count in it. A voice that cannot say the sentence, since
        its language or script is another or it knows none of the words, raises `CallerError` before
        its first audio: that says nothing of the voice's health.
        """

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A piece of speech, or of silence, that a face is to show.

    `face` is the face's name; pictures are `size` pixels wide and high, one every `frame_ms`.
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

        Their turn is the speech's; their `at_ms`, like the speech's, counts from the reply's first
        sample. A picture that comes after its speech was heard is useless.
        """

    async def aclose(self) -> None: ...


class Converter(Protocol):
    """A stateful sample-rate converter for one stream of audio."""

    def push(self, pcm: Samples) -> Samples:
        """Convert audio; the converter holds back 2 ms at most."""

    def flush(self) -> Samples:
        """The stream is over: returns the audio held back, and is ready for a new stream."""


class Host(Protocol):
    """The application behind a session, which itself knows no interview and no storage."""

    @property
    def hints(self) -> tuple[str, ...]:
        """Names and terms that the person is likely to say."""

    def brief(self, turn: int, text: str) -> Brief:
        """The brief of a turn. Pure: it may be called for turns that never happen."""

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        """Store the person's words and what follows from them; the reply waits for this.

        `heard` is None where all of them were typed.
        """

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None:
        """The turn is over: `heard_text` of the reply was played, and it made the `calls`."""

    async def correct(self, turn: int, heard_text: str) -> None:
        """The client reports that only `heard_text` of a committed turn's reply was heard."""

    def prompt(self, turn: int, times: int) -> str:
        """A prompt for a person who has been silent since the last reply; "" for none.

        `times` counts from 1 in one silence. The prompt is no part of the conversation.
        """

    def time_is_up(self) -> None:
        """The conversation has reached its longest time: the next answer is the last."""

    def farewell(self) -> str:
        """The line that closes a conversation without an answer after that; "" for none."""


Observed: TypeAlias = Output | Spoken
"""An item for observers: an output for the client, or speech when it is queued for playout."""


class Observer(Protocol):
    """Takes a session's outputs in order, such as the client's connection, a recorder, a face."""

    def observe(self, output: Observed, now: float) -> None:
        """Take an output at `now`, seconds on the event loop's clock.

        A plain call: must neither block nor raise.
        """
