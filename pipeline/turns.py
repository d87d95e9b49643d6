"""Turn-taking: who speaks, when a sentence is over, when the reply must stop. Pure.

::

                 speech >= start_ms               silence >= silence_ms, commit, typed text
        IDLE ─────────────────────────> LISTENING ─────────────────────────> THINKING
         ^ ^                                ^                                  │   │
         │ └──────── interrupt ─────────────┼──────────────────────────────────┘   │ first audio
         │                                  │ barge-in                             v
         └──────── reply played ────────────┴─────────────────────────────────  SPEAKING

Every utterance opens a new turn, and with it a new epoch: what carries an older turn is stale. The
position in the input audio, not the arrival time of a probability, drives endpointing; real time
only decides when audio stops coming. Call `expire` when `deadline` has passed.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from pipeline.endings import Ending, ending

SPECULATIONS = 2
"""So often a turn's answer is prepared before the turn is decided; a thinker's pauses cost more."""

PATIENCE = {"closed": 0.6, "unclear": 1.0, "open": 2.0, "thinking": float("inf")}
"""How long silence is borne after a sentence that ends in this way. Assumed values."""

CHUNK_MS = 32
"""The voice detectors' step: 512 samples at 16 kHz."""


class State(Enum):
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When a turn starts and ends. Starting values: Silero's and the interview advice of our notes.

    `threshold` starts speech; it ends below `threshold - hysteresis`, so that a probability near
    the threshold does not flutter. A pause of `gap_ms` before speech has lasted `start_ms` forgets
    it. `prefix_ms` of audio from before the onset goes to the recogniser. Where no audio comes at
    all, silence is assumed after `grace_ms`. After `speculate_ms` of silence the answer may be
    prepared, `SPECULATIONS` times a turn.

    With `adaptive`, `silence_ms` is multiplied by `PATIENCE` for what has been understood so far;
    no silence lasts longer than `max_wait_ms`, and that long where the person asked for time.
    """

    mode: Literal["auto", "manual"] = "auto"
    threshold: float = 0.5
    hysteresis: float = 0.15
    start_ms: int = 200
    gap_ms: int = 96
    silence_ms: int = 800
    speculate_ms: int = 200
    adaptive: bool = True
    max_wait_ms: int = 5_000
    grace_ms: int = 250
    barge_in_ms: int = 500
    prefix_ms: int = 500
    longest_ms: int = 60_000


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
class ReplyBegan:
    """The first audio or text of a turn's reply went out."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A turn's reply has been played, or there will be none."""

    turn: int


@dataclass(frozen=True, slots=True)
class Understood:
    """What has been understood of a turn so far: a partial transcript, or that of a preparation."""

    turn: int
    text: str


Event: TypeAlias = Chunk | Understood | Typed | Interrupt | Commit | ReplyBegan | ReplyEnded


# --- actions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listen:
    """An utterance began at `at_ms`: open a recognition with the audio from `from_ms` on."""

    turn: int
    at_ms: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The turn is decided: recognise what was spoken (if it was), append `typed`, and reply.

    `ended` is when, on the clock of `now`, the person's speech ended at position `at_ms`.
    """

    turn: int
    at_ms: int
    ended: float
    spoken: bool
    typed: str = ""


@dataclass(frozen=True, slots=True)
class Speculate:
    """The person may have finished, `at_ms` into the input: prepare what `Answer` would ask for.

    Nothing of it may be sent or stored. An `Answer` to this turn releases it, `Discard` ends it.
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
class Refuse:
    """An event made no sense now; `code` says why."""

    turn: int
    code: Literal["nothing_to_commit"]


Action: TypeAlias = Listen | Speculate | Discard | Answer | Cancel | Refuse


class TurnTaking:
    """The state machine. `turn` is the newest turn: the current epoch."""

    def __init__(self, policy: TurnPolicy | None = None) -> None:
        self.policy = policy or TurnPolicy()
        self.state = State.IDLE
        self.turn = 0
        self._onset_ms = 0.0  # where the speech that is being heard began
        self._voiced_ms = 0.0  # how much of it was speech
        self._quiet_ms = 0.0  # silence since
        self._at_ms = 0.0  # how far the input audio has been judged
        self._chunk_at = 0.0  # when that was
        self._speculations = 0  # of this turn
        self._speculating = False
        self._ending: Ending = "unclear"  # of what was said in this turn

    @property
    def deadline(self) -> float | None:
        """When `expire` must be called: audio has stopped coming in the middle of an utterance."""
        if self.state is not State.LISTENING or self.policy.mode == "manual":
            return None
        return self._chunk_at + max(0.0, self._patience_ms - self._quiet_ms) / 1000 + self._grace_s

    def open(self, now: float) -> list[Action]:
        """Begin the conversation: the interviewer speaks first, in turn 0."""
        self.state = State.THINKING
        return [Answer(self.turn, 0, now, spoken=False)]

    def handle(self, event: Event, now: float) -> list[Action]:
        """What follows from `event`."""
        match event:
            case Chunk():
                return self._hear(event, now)
            case Understood(turn, text):
                if turn == self.turn and self.state is State.LISTENING:
                    self._ending = ending(text)
                return []
            case Typed(text):
                return self._typed(text, now)
            case Interrupt():
                return self._interrupt()
            case Commit():
                if self.state is State.LISTENING:
                    return [self._answer(now)]
                if self._voiced_ms:  # too little to be sure of, but the person is
                    return [*self._listen(), self._answer(now)]
                return [Refuse(self.turn, "nothing_to_commit")]
            case ReplyBegan(turn):
                if turn == self.turn and self.state is State.THINKING:
                    self.state = State.SPEAKING
                return []
            case _:  # ReplyEnded
                if event.turn == self.turn and self.state in (State.THINKING, State.SPEAKING):
                    self.state = State.IDLE
                return []

    def expire(self, now: float) -> list[Action]:
        """What follows from time alone."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        return [self._answer(now)]

    # --- speech ------------------------------------------------------------------------------

    def _hear(self, chunk: Chunk, now: float) -> list[Action]:
        policy = self.policy
        # A jump of the position is audio that was lost: it counts as silence.
        step_ms = chunk.at_ms - self._at_ms
        self._at_ms = chunk.at_ms
        self._chunk_at = now
        listening = self.state is State.LISTENING
        actions: list[Action] = []
        bar = policy.threshold - policy.hysteresis if self._voiced_ms else policy.threshold
        if chunk.probability >= bar:
            if not self._voiced_ms:
                self._onset_ms = chunk.at_ms - min(step_ms, CHUNK_MS)
            self._voiced_ms += min(step_ms, CHUNK_MS)
            self._quiet_ms = 0.0
            if self._speculating:
                self._speculating = False
                self._ending = "unclear"
                actions.append(Discard(self.turn))
        elif self._voiced_ms:
            self._quiet_ms += step_ms
            if not listening and self._quiet_ms >= policy.gap_ms:
                self._forget_speech()
        if listening:
            if policy.mode == "auto" and self._quiet_ms >= self._patience_ms:
                return [self._answer(now)]
            if chunk.at_ms - self._onset_ms >= policy.longest_ms:
                return [*actions, self._answer(now)]
            if self._may_have_finished():
                self._speculating = True
                self._speculations += 1
                actions.append(Speculate(self.turn, *self._speech_end(now)))
            return actions
        # Who pushes to talk means it: a barge-in need not last longer than any other turn.
        guarded = self.state is State.SPEAKING and policy.mode == "auto"
        needed_ms = policy.barge_in_ms if guarded else policy.start_ms
        return self._listen() if self._voiced_ms >= needed_ms else []

    def _may_have_finished(self) -> bool:
        return (
            self.policy.mode == "auto"
            and self._quiet_ms >= self.policy.speculate_ms
            and not self._speculating
            and self._speculations < SPECULATIONS
        )

    def _listen(self) -> list[Action]:
        actions = self._interrupt()
        self.turn += 1
        self._speculations = 0
        self._ending = "unclear"
        self.state = State.LISTENING
        onset_ms = int(self._onset_ms)
        from_ms = max(0, onset_ms - self.policy.prefix_ms)
        return [*actions, Listen(self.turn, onset_ms, from_ms)]

    def _answer(self, now: float, typed: str = "") -> Answer:
        at_ms, ended = self._speech_end(now)
        self._forget_speech()
        self._speculating = False
        self.state = State.THINKING
        return Answer(self.turn, at_ms, ended, spoken=True, typed=typed)

    def _speech_end(self, now: float) -> tuple[int, float]:
        """Where the speech heard so far ended: in the input audio, and on the clock of `now`."""
        since_chunk_ms = (now - self._chunk_at) * 1000
        ended = now - (self._quiet_ms + since_chunk_ms) / 1000
        return int(self._at_ms - self._quiet_ms), ended

    def _forget_speech(self) -> None:
        self._voiced_ms = self._quiet_ms = 0.0

    @property
    def _patience_ms(self) -> float:
        factor = PATIENCE[self._ending] if self.policy.adaptive else 1.0
        return min(self.policy.silence_ms * factor, self.policy.max_wait_ms)

    @property
    def _grace_s(self) -> float:
        return self.policy.grace_ms / 1000

    # --- everything else ---------------------------------------------------------------------

    def _typed(self, text: str, now: float) -> list[Action]:
        if self.state is State.LISTENING:
            return [self._answer(now, typed=text)]
        actions = self._interrupt()
        self._forget_speech()
        self.turn += 1
        self.state = State.THINKING
        return [*actions, Answer(self.turn, int(self._at_ms), now, spoken=False, typed=text)]

    def _interrupt(self) -> list[Action]:
        if self.state not in (State.THINKING, State.SPEAKING):
            return []
        self.state = State.IDLE
        return [Cancel(self.turn)]
