"""Turn-taking: who speaks, when a sentence is over, when the reply must stop. Pure.

::

                 speech >= start_ms               silence >= silence_ms, commit, typed text
        IDLE ─────────────────────────> LISTENING ─────────────────────────> THINKING
         ^ ^                                ^                                  │   │
         │ └──────── interrupt ─────────────┼──────────────────────────────────┘   │ first audio
         │                                  │ barge-in                             v
         └──────── reply played ────────────┴─────────────────────────────────  SPEAKING

Speech while the reply is spoken holds the reply first. More of it is a barge-in; a cough or an
"mm-hm" is none, and the reply goes on where it stopped.

Every utterance opens a new turn, and with it a new epoch: what carries an older turn is stale. The
position in the input audio, not the arrival time of a probability, drives endpointing; real time
only decides when audio stops coming. Call `expire` when `deadline` has passed.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pipeline.decisions import (
    Action,
    Cancel,
    Chunk,
    Close,
    Commit,
    Discard,
    EndTurn,
    Event,
    Hold,
    Interrupt,
    Prompt,
    Refuse,
    ReplyBegan,
    ReplyEnded,
    Resume,
    Speculate,
    StartTurn,
    Typed,
    Understood,
)
from pipeline.endings import Ending, ending, is_backchannel

SPECULATIONS = 2
"""So often a turn's answer is prepared before the turn is decided; a thinker's pauses cost more."""

ENDPOINTING_FACTORS = {"closed": 0.6, "unclear": 1.0, "open": 1.5, "thinking": float("inf")}
"""How long silence is borne after a sentence that ends in this way. Assumed values."""

LONGEST_BACKCHANNEL_MS = 1_500
"""Who says "mm-hm" for so long wants to speak. Assumed value."""

PROMPTS = 2
"""So often a silent person is spoken to before it is left in peace."""

CHUNK_MS = 32
"""The voice detectors' step: 512 samples at 16 kHz."""


class TurnState(Enum):
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

    With `adaptive`, `silence_ms` is multiplied by `ENDPOINTING_FACTORS`, by what has been
    understood so far; no silence lasts longer than `max_wait_ms`, and that long where the person
    asked for time.

    A reply is held after `start_ms` of speech and cancelled after `barge_in_ms`, or sooner where
    `barge_in_words` (0: never) words have been understood; it goes on after `resume_ms` of silence.
    Who has said nothing for `prompt_ms` after a reply is prompted (0: never), `PROMPTS` times.
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
    barge_in_words: int = 0
    resume_ms: int = 500
    prompt_ms: int = 15_000
    prefix_ms: int = 500
    longest_ms: int = 60_000


class TurnTaking:
    """The state machine. `turn` is the newest turn: the current epoch."""

    def __init__(self, policy: TurnPolicy | None = None) -> None:
        self.policy = policy or TurnPolicy()
        self.state = TurnState.IDLE
        self.turn = 0
        self._onset_ms = 0.0  # where the speech that is being heard began
        self._voiced_ms = 0.0  # how much of it was speech
        self._quiet_ms = 0.0  # silence since
        self._at_ms = 0.0  # how far the input audio has been judged
        self._chunk_at = 0.0  # when that was
        self._speculations = 0  # of this turn
        self._speculating = False
        self._ending: Ending = "unclear"  # of what was said in this turn
        self._holding = False
        self._overheard = ""  # what has been understood since the reply is held
        self._prompts = 0  # since the person last spoke or typed
        self._idle_ms = 0.0  # silence since the last reply
        self._closing = False
        self._farewell = -1  # the turn in which it was said

    @property
    def holding(self) -> bool:
        """True between a `Hold` and what follows from it."""
        return self._holding

    @property
    def deadline(self) -> float | None:
        """When `expire` must be called: audio has stopped coming in the middle of an utterance."""
        if self._holding:
            silence_ms = float(self.policy.resume_ms)
        elif self.state is TurnState.LISTENING and self.policy.mode == "auto":
            silence_ms = self._patience_ms
        else:
            return None
        return self._chunk_at + max(0.0, silence_ms - self._quiet_ms) / 1000 + self._grace_s

    def open(self, now: float) -> list[Action]:
        """Begin the conversation: the interviewer speaks first, in turn 0."""
        self.state = TurnState.THINKING
        return [EndTurn(self.turn, 0, now, spoken=False)]

    def handle(self, event: Event, now: float) -> list[Action]:
        """What follows from `event`."""
        match event:
            case Chunk():
                return self._hear(event, now)
            case Understood(turn, text):
                return self._understand(turn, text)
            case Typed(text):
                return self._typed(text, now)
            case Interrupt():
                return [*self._interrupt(), *self._rest()]
            case Commit():
                if self.state is TurnState.LISTENING:
                    return [self._answer(now)]
                if self._voiced_ms:  # too little to be sure of, but the person is
                    return [*self._listen(), self._answer(now)]
                return [Refuse(self.turn, "nothing_to_commit")]
            case ReplyBegan(turn):
                if turn == self.turn and self.state is TurnState.THINKING:
                    self.state = TurnState.SPEAKING
                return []
            case ReplyEnded(turn):
                if turn != self.turn or self.state not in (TurnState.THINKING, TurnState.SPEAKING):
                    return []
                self._holding = False
                self.state = TurnState.IDLE
                return self._rest()
            case _:  # TimeUp
                self._closing = True
                return self._rest()

    def expire(self, now: float) -> list[Action]:
        """What follows from time alone."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        return self._resume() if self._holding else [self._answer(now)]

    # --- speech ------------------------------------------------------------------------------

    def _hear(self, chunk: Chunk, now: float) -> list[Action]:
        policy = self.policy
        # A jump of the position is audio that was lost: it counts as silence.
        step_ms = chunk.at_ms - self._at_ms
        self._at_ms = chunk.at_ms
        self._chunk_at = now
        listening = self.state is TurnState.LISTENING
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
            if self._holding and self._quiet_ms >= policy.resume_ms:
                return self._resume()
            if not (listening or self._holding) and self._quiet_ms >= policy.gap_ms:
                self._forget_speech()
        elif self.state is TurnState.IDLE and self._may_prompt(min(step_ms, CHUNK_MS)):
            return self._prompt()
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
        if self._voiced_ms < policy.start_ms:
            return []
        # Who pushes to talk means it: a barge-in need not last longer than any other turn.
        guarded = self.state is TurnState.SPEAKING and policy.mode == "auto"
        if not guarded or self._is_barge_in():
            return self._listen()
        if self._holding:
            return []
        self._holding = True
        self._overheard = ""
        return [Hold(self.turn, *self._onset())]

    def _understand(self, turn: int, text: str) -> list[Action]:
        if self._holding and turn == self.turn + 1:
            self._overheard = text
            return self._listen() if self._is_barge_in() else []
        if turn == self.turn and self.state is TurnState.LISTENING:
            self._ending = ending(text)
        return []

    def _is_barge_in(self) -> bool:
        overheard = self._overheard if self._holding else ""
        policy = self.policy
        if overheard and is_backchannel(overheard):
            return self._voiced_ms >= max(LONGEST_BACKCHANNEL_MS, policy.barge_in_ms)
        return self._voiced_ms >= policy.barge_in_ms or 0 < policy.barge_in_words <= len(
            overheard.split()
        )

    def _resume(self) -> list[Action]:
        self._holding = False
        self._forget_speech()
        return [Resume(self.turn)]

    def _may_have_finished(self) -> bool:
        return (
            self.policy.mode == "auto"
            and self._quiet_ms >= self.policy.speculate_ms
            and not self._speculating
            and self._speculations < SPECULATIONS
        )

    def _listen(self) -> list[Action]:
        self._ending = ending(self._overheard) if self._holding else "unclear"
        actions = self._interrupt()
        self.turn += 1
        self._speculations = 0
        self._prompts = 0
        self.state = TurnState.LISTENING
        return [*actions, StartTurn(self.turn, *self._onset())]

    def _onset(self) -> tuple[int, int]:
        """Where the speech that is being heard began, and where its recognition begins."""
        onset_ms = int(self._onset_ms)
        return onset_ms, max(0, onset_ms - self.policy.prefix_ms)

    def _answer(self, now: float, typed: str = "") -> EndTurn:
        at_ms, ended = self._speech_end(now)
        self._forget_speech()
        self._speculating = False
        self.state = TurnState.THINKING
        return EndTurn(self.turn, at_ms, ended, spoken=True, typed=typed)

    def _speech_end(self, now: float) -> tuple[int, float]:
        """Where the speech heard so far ended: in the input audio, and on the clock of `now`."""
        since_chunk_ms = (now - self._chunk_at) * 1000
        ended = now - (self._quiet_ms + since_chunk_ms) / 1000
        return int(self._at_ms - self._quiet_ms), ended

    def _forget_speech(self) -> None:
        self._voiced_ms = self._quiet_ms = 0.0

    @property
    def _patience_ms(self) -> float:
        factor = ENDPOINTING_FACTORS[self._ending] if self.policy.adaptive else 1.0
        return min(self.policy.silence_ms * factor, self.policy.max_wait_ms)

    @property
    def _grace_s(self) -> float:
        return self.policy.grace_ms / 1000

    # --- silence -----------------------------------------------------------------------------

    def _rest(self) -> list[Action]:
        """What follows when the reply is over: the person's turn, or the end."""
        self._idle_ms = 0.0
        if not self._closing or self.state is not TurnState.IDLE or self.turn == self._farewell:
            return []
        self.turn += 1
        self._farewell = self.turn
        self.state = TurnState.THINKING
        return [Close(self.turn)]

    def _may_prompt(self, step_ms: float) -> bool:
        self._idle_ms += step_ms
        policy = self.policy
        return (
            policy.mode == "auto"
            and self._prompts < PROMPTS
            and 0 < policy.prompt_ms <= self._idle_ms
        )

    def _prompt(self) -> list[Action]:
        self._prompts += 1
        self.turn += 1
        self.state = TurnState.THINKING
        return [Prompt(self.turn, self._prompts)]

    # --- everything else ---------------------------------------------------------------------

    def _typed(self, text: str, now: float) -> list[Action]:
        if self.state is TurnState.LISTENING:
            return [self._answer(now, typed=text)]
        actions = self._interrupt()
        self._forget_speech()
        self._prompts = 0
        self.turn += 1
        self.state = TurnState.THINKING
        return [*actions, EndTurn(self.turn, int(self._at_ms), now, spoken=False, typed=text)]

    def _interrupt(self) -> list[Action]:
        if self.state not in (TurnState.THINKING, TurnState.SPEAKING):
            return []
        self._holding = False
        self.state = TurnState.IDLE
        return [Cancel(self.turn)]
