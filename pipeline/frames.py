"""The frames that flow through a session. Every frame carries the id of its turn.

Audio inside the engine is mono, signed 16-bit, native-endian numpy (`Samples`). Input audio always
has `INPUT_RATE_HZ`; reply audio has the rate that the client asked for. Times are milliseconds.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.token_usage import TokenUsage

Samples: TypeAlias = npt.NDArray[np.int16]

INPUT_RATE_HZ = 16_000

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
"""The 15 mouth shapes of the Oculus/OVR set, by name: the wire format for lip sync."""

AvatarMood = Literal["idle", "listening", "thinking", "speaking"]
Slot = Literal["vad", "turn", "stt", "llm", "tts", "avatar", "tool"]


# --- the person ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The person began to speak, `at_ms` into the input audio."""

    turn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The person's sentence ended, `at_ms` into the input audio."""

    turn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; times count from the start of the utterance's audio."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """The person's words. `confidence` is 0..1 where the recogniser knows it."""

    turn: int
    text: str
    final: bool
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()


# --- the reply -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the reply's text, cut anywhere."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The responder asks the client to run a function: `arguments` are its JSON, as text.

    `call_id` names the call; the client's result carries it.
    """

    turn: int
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of the reply that can be spoken on its own.

    `voice` is a wish: a synthesizer that has that voice uses it, any other speaks with its own.
    `language` is the text's language ("en", "de"); None leaves it to the synthesizer.
    """

    turn: int
    text: str
    voice: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Viseme:
    """One mouth shape: `shape` is a name of `VISEMES`, `weight` is 0..1."""

    at_ms: int
    duration_ms: int
    shape: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """Where a word of a sentence begins: in its text (characters) and in its audio."""

    offset: int
    length: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of one sentence's audio; cues and words count from the *sentence's* first sample."""

    turn: int
    pcm: Samples
    cues: tuple[Viseme, ...] = ()
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of a reply's speech, for observers that animate a face. It is no output to clients.

    `at_ms` and the cues' times count from the reply's first sample; `last`: the sentence ends here.
    """

    turn: int
    at_ms: int
    rate_hz: int
    pcm: Samples
    cues: tuple[Viseme, ...] = ()
    last: bool = False


@dataclass(frozen=True, slots=True)
class AvatarFrame:
    """A picture of the interviewer's face: `data` is of media type `mime`.

    It belongs to the speech `at_ms` from the reply's first sample. Where that is None it belongs to
    no speech and is shown when it comes. No session emits it.
    """

    turn: int
    at_ms: int | None
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The audio that follows belongs to this turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The text of the sentence that is about to be spoken. A `filler` only fills a wait: it is no
    part of what the responder wrote."""

    turn: int
    text: str
    filler: bool = False


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """One frame of reply audio, `at_ms` from the reply's first sample."""

    turn: int
    pcm: Samples
    at_ms: int


@dataclass(frozen=True, slots=True)
class Visemes:
    """Mouth shapes; the cues' times count from the reply's first sample."""

    turn: int
    start_ms: int
    cues: tuple[Viseme, ...]


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is over; `heard` is the text that was played."""

    turn: int
    interrupted: bool
    heard: str


@dataclass(frozen=True, slots=True)
class ReplyUsage:
    """The tokens that a language model has used for the reply so far. Repeated when they change."""

    turn: int
    tokens: TokenUsage


@dataclass(frozen=True, slots=True)
class ReplyPaused:
    """The person speaks: the reply is paused, having been heard up to `at_ms`."""

    turn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class ReplyResumed:
    """The reply goes on: its audio comes again from `at_ms` on."""

    turn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop this turn's audio that has not been played; it had been played up to `at_ms`."""

    turn: int
    at_ms: int


# --- the conversation ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AvatarState:
    """The mood that the interviewer's face should show."""

    turn: int
    state: AvatarMood


@dataclass(frozen=True, slots=True)
class Degraded:
    """A stage took its next step down: provider `source` gave way to `target`."""

    turn: int
    stage: Slot
    source: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageSpan:
    """One stage of one turn; milliseconds from the end of the person's speech."""

    stage: str
    provider: str
    start: float
    first: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class StageShare:
    """The time for which the person waited for one stage of a turn, in milliseconds.

    `failed` says that it was lost with a provider that failed; its fallback has a share of its own.
    """

    stage: str
    provider: str
    ms: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """The time that each stage took. `voice_to_voice_ms` is None where no reply was heard.

    The `shares` follow one another and add up to it, to a tenth of a millisecond. The words of a
    turn that is `carried` on were not recognised yet: they belong to the next one.
    """

    turn: int
    budget_ms: int
    stages: tuple[StageSpan, ...]
    voice_to_voice_ms: float | None
    shares: tuple[StageShare, ...] = ()
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that the client must know of; `fatal` ends the session."""

    turn: int
    code: str
    message: str
    fatal: bool = False


Output: TypeAlias = (
    SpeechStarted
    | SpeechStopped
    | Transcript
    | ReplyStarted
    | ReplyText
    | ToolCall
    | ReplyAudio
    | Visemes
    | ReplyUsage
    | ReplyDone
    | ReplyPaused
    | ReplyResumed
    | Clear
    | AvatarState
    | Degraded
    | TurnMetrics
    | Fault
)
"""Everything that a session hands to its client."""
