"""Turn-taking: decides when a turn begins and ends, and when a reply must stop. Pure.

::

                 speech >= start_ms               silence >= silence_ms, commit, typed text
        IDLE ─────────────────────────> LISTENING ─────────────────────────> THINKING
         ^ ^                                ^                                  │   │
         │ └──────── interrupt ─────────────┼──────────────────────────────────┘   │ first audio
         │                                  │ barge-in                             v
         └──────── reply played ────────────┴─────────────────────────────────  SPEAKING

Speech during a reply first holds the reply. Longer speech is a barge-in. After a cough or an
"mm-hm" the reply goes on where it stopped.

Every utterance opens a new turn, which is a new epoch: work with an older turn's id is stale. The
position in the input audio, not the arrival time of a probability, drives endpointing; real time
decides only where audio stops coming. Call `expire` when `deadline` has passed.
"""

from enum import Enum

from pipeline.decisions import (
    Abandon,
    Action,
    AskTurnModel,
    Cancel,
    Chunk,
    Close,
    Commit,
    Discard,
    DropHeld,
    EndTurn,
    Event,
    Forget,
    Hold,
    Interrupt,
    Judged,
    PolicyChanged,
    Prompt,
    Refuse,
    ReplyBegan,
    ReplyEnded,
    RespondNow,
    Resume,
    Speculate,
    StartTurn,
    Typed,
    Understood,
)
from pipeline.echo import ECHOED_REPLIES
from pipeline.endings import Ending, ending, is_backchannel
from pipeline.input_speech import CHUNK_MS, InputSpeech
from pipeline.turn_policy import (
    ENDPOINTING_FACTORS,
    LONGEST_BACKCHANNEL_MS,
    MOST_HOLDS,
    PROMPTS,
    SPECULATIONS,
    judgement_factor,
)
from pipeline.turn_policy import TurnPolicy as TurnPolicy


class TurnState(Enum):
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class TurnTaking:
    """The state machine. `turn` is the newest turn: the current epoch."""

    def __init__(self, policy: TurnPolicy | None = None) -> None:
        self.policy = policy or TurnPolicy()
        self.state = TurnState.IDLE
        self.turn = 0
        self._speech = InputSpeech()
        self._speculations = 0  # of this turn
        self._speculating = False
        self._ending: Ending = "unclear"  # of this turn's words so far
        self._holding = False
        self._held_text = ""  # the words recognised since the reply was held
        self._resumes = 0  # of this reply
        self._echoed = 0  # replies that must be expected to come back into the microphone
        self._prompts = 0  # since the person last spoke or typed
        self._idle_ms = 0.0  # silence since the last reply
        self._replying = True  # this turn gets a reply
        self._respond_next = False  # a reply was asked for, but the turn before is not over yet
        self._closing = False
        self._farewell = -1  # the turn of the farewell

    @property
    def deadline(self) -> float | None:
        """When `expire` must be called: audio has stopped coming in the middle of an utterance."""
        if self._holding:
            silence_ms = float(self.policy.resume_ms)
        elif self.state is TurnState.LISTENING and self.policy.mode == "auto":
            silence_ms = self._endpointing_delay_ms
        else:
            return None
        left_ms = max(0.0, silence_ms - self._speech.quiet_ms)
        return self._speech.chunk_at + left_ms / 1000 + self._grace_s

    def open(self, now: float) -> list[Action]:
        """Begin the conversation: with the interviewer's turn 0 if the policy `opens`."""
        if not self.policy.opens:
            return []
        self.state = TurnState.THINKING
        return [EndTurn(self.turn, 0, now, spoken=False)]

    def handle(self, event: Event, now: float) -> list[Action]:
        """The actions that follow from `event`."""
        match event:
            case Chunk():
                return self._on_chunk(event, now)
            case Understood(turn, text):
                return self._on_words(turn, text)
            case Judged(turn, at_ms, probability):
                if turn == self.turn and at_ms == self._speech.asked_ms:
                    self._speech.finished = probability
                return []
            case Typed(text):
                return self._typed(text, now)
            case Interrupt():
                return [*self._drop(), *self._interrupt(), *self._close_if_due()]
            case Commit():
                if self.state is TurnState.LISTENING:
                    return [self._end_turn(now)]
                if self._speech.voiced_ms:  # too short for a turn, but the person says it is one
                    return [*self._start_turn(), self._end_turn(now)]
                return [Refuse(self.turn, "nothing_to_commit")]
            case Forget():
                return self._forget()
            case RespondNow(waits):
                return self._respond_now(now, waits=waits)
            case ReplyBegan(turn):
                if turn == self.turn and self.state is TurnState.THINKING:
                    self.state = TurnState.SPEAKING
                return []
            case ReplyEnded(turn, echo, again):
                if turn != self.turn or self.state not in (TurnState.THINKING, TurnState.SPEAKING):
                    return []
                dropped = self._drop()
                if self._echoes:  # the speech so far is the reply's own
                    self._speech.forget()
                self.state = TurnState.IDLE
                self._echoed = ECHOED_REPLIES if echo else max(0, self._echoed - 1)
                asked = self._respond_next or again
                following = self._respond_now(now) if asked else self._close_if_due()
                return [*dropped, *following]
            case PolicyChanged(policy):
                return self._change(policy)
            case _:  # TimeUp
                self._closing = True
                return self._close_if_due()

    def expire(self, now: float) -> list[Action]:
        """The actions that are due by time alone."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        return self._resume() if self._holding else [self._end_turn(now)]

    # --- speech ------------------------------------------------------------------------------

    def _on_chunk(self, chunk: Chunk, now: float) -> list[Action]:
        policy, speech = self.policy, self._speech
        step_ms = speech.judged(chunk.at_ms, now)
        listening = self.state is TurnState.LISTENING
        actions: list[Action] = []
        threshold = policy.threshold - policy.hysteresis if speech.voiced_ms else policy.threshold
        if chunk.probability >= threshold:
            speech.voiced(step_ms)
            if self._speculating:
                self._speculating = False
                self._ending = "unclear"
                actions.append(Discard(self.turn))
        elif speech.voiced_ms:
            speech.quiet_ms += step_ms
            if self._holding and speech.quiet_ms >= policy.resume_ms:
                return self._resume()
            if not (listening or self._holding) and speech.quiet_ms >= policy.gap_ms:
                speech.forget()
        elif self.state is TurnState.IDLE and self._may_prompt(min(step_ms, CHUNK_MS)):
            return self._prompt(now)
        if listening:
            if policy.mode == "auto" and speech.quiet_ms >= self._endpointing_delay_ms:
                return [self._end_turn(now)]
            if chunk.at_ms - speech.onset_ms >= policy.longest_ms:
                return [*actions, self._end_turn(now)]
            if self._may_have_finished():
                self._speculating = True
                self._speculations += 1
                actions.append(Speculate(self.turn, *speech.end(now)))
            if self._may_ask():
                speech.asked_ms = int(chunk.at_ms)
                actions.append(AskTurnModel(self.turn, speech.asked_ms))
            return actions
        if speech.voiced_ms < policy.start_ms:
            return []
        if self._under_way and (self._echoes or not policy.interruptible):
            return []
        # In push to talk speech is deliberate: a barge-in need not last longer than another turn.
        guarded = self.state is TurnState.SPEAKING and policy.mode == "auto"
        if not guarded or self._is_barge_in():
            return self._start_turn()
        if self._holding:
            return []
        self._holding = True
        self._held_text = ""
        return [Hold(self.turn, *speech.onset(policy.prefix_ms))]

    def _on_words(self, turn: int, text: str) -> list[Action]:
        if self._holding and turn == self.turn + 1:
            self._held_text = text
            return self._start_turn() if self._is_barge_in() else []
        if turn == self.turn and self.state is TurnState.LISTENING:
            self._ending = ending(text, self.policy.language)
        return []

    def _is_barge_in(self) -> bool:
        held_text = self._held_text if self._holding else ""
        policy, voiced_ms = self.policy, self._speech.voiced_ms
        if held_text and is_backchannel(held_text, policy.language):
            return voiced_ms >= max(LONGEST_BACKCHANNEL_MS, policy.barge_in_ms)
        enough_words = 0 < policy.barge_in_words <= len(held_text.split())
        return enough_words or voiced_ms >= policy.barge_in_ms

    def _resume(self) -> list[Action]:
        dropped = self._drop()
        self._speech.forget()
        self._resumes += 1
        return [*dropped, Resume(self.turn)]

    def _drop(self) -> list[Action]:
        """Drop the speech into a held reply, if there is one."""
        if not self._holding:
            return []
        self._holding = False
        return [DropHeld(self.turn)]

    def _may_have_finished(self) -> bool:
        return (
            self.policy.mode == "auto"
            and self.policy.replies
            and self._speech.quiet_ms >= self.policy.speculate_ms
            and not self._speculating
            and self._speculations < SPECULATIONS
        )

    def _may_ask(self) -> bool:
        policy = self.policy
        return (
            policy.judged
            and policy.adaptive
            and policy.mode == "auto"
            and self._speech.quiet_ms >= policy.speculate_ms
            and self._speech.asked_ms is None
        )

    def _start_turn(self) -> list[Action]:
        held = self._held_text if self._holding else ""
        self._ending = ending(held, self.policy.language)
        actions = self._interrupt()
        self.turn += 1
        self._speculations = 0
        self._resumes = 0
        self._prompts = 0
        self.state = TurnState.LISTENING
        return [*actions, StartTurn(self.turn, *self._speech.onset(self.policy.prefix_ms))]

    def _end_turn(self, now: float, typed: str = "") -> EndTurn:
        at_ms, ended = self._speech.end(now)
        self._speech.forget()
        self._speculating = False
        self.state = TurnState.THINKING
        self._replying = self.policy.replies
        return EndTurn(self.turn, at_ms, ended, spoken=True, typed=typed, replies=self._replying)

    def _forget(self) -> list[Action]:
        """Drop the speech under way: the turn's utterance, or the speech into a reply."""
        if self._holding:
            return self._resume()
        self._speech.forget()
        if self.state is not TurnState.LISTENING:
            return []
        discarded: list[Action] = [Discard(self.turn)] if self._speculating else []
        self._speculating = False
        self.state = TurnState.IDLE
        return [*discarded, Abandon(self.turn), *self._close_if_due()]

    @property
    def _endpointing_delay_ms(self) -> float:
        factor = 1.0
        if self.policy.adaptive:
            factor = ENDPOINTING_FACTORS[self._ending] * judgement_factor(self._speech.finished)
        return min(self.policy.silence_ms * factor, self.policy.max_wait_ms)

    @property
    def _grace_s(self) -> float:
        return self.policy.grace_ms / 1000

    # --- silence -----------------------------------------------------------------------------

    def _close_if_due(self) -> list[Action]:
        """Count silence afresh; close the conversation if time is up and neither side speaks."""
        self._idle_ms = 0.0
        if not self._closing or self.state is not TurnState.IDLE or self.turn == self._farewell:
            return []
        self._next_turn()
        self._farewell = self.turn
        return [Close(self.turn)]

    def _may_prompt(self, step_ms: float) -> bool:
        self._idle_ms += step_ms
        policy = self.policy
        return (
            policy.mode == "auto"
            and self._prompts < PROMPTS
            and 0 < policy.prompt_ms <= self._idle_ms
        )

    def _prompt(self, now: float) -> list[Action]:
        self._prompts += 1
        self._next_turn()
        if self.policy.replies_to_silence:
            return [EndTurn(self.turn, 0, now, spoken=False)]
        return [Prompt(self.turn, self._prompts)]

    # --- everything else ---------------------------------------------------------------------

    def _typed(self, text: str, now: float) -> list[Action]:
        if self.state is TurnState.LISTENING:
            return [self._end_turn(now, typed=text)]
        actions = [*self._drop(), *self._interrupt()]
        self._speech.forget()
        self._prompts = 0
        self._next_turn(replying=self.policy.replies)
        at_ms = int(self._speech.at_ms)
        answer = EndTurn(self.turn, at_ms, now, spoken=False, typed=text, replies=self._replying)
        return [*actions, answer]

    def _respond_now(self, now: float, *, waits: bool = False) -> list[Action]:
        self._respond_next = False
        if self.state is TurnState.LISTENING:
            return [Refuse(self.turn, "person_speaks")]
        if self._under_way and not waits:
            return [Refuse(self.turn, "reply_under_way")]
        if self.state is not TurnState.IDLE:  # the last turn is still being recognised
            self._respond_next = True
            return []
        self._next_turn()
        return [EndTurn(self.turn, 0, now, spoken=False)]

    def _change(self, policy: TurnPolicy) -> list[Action]:
        self.policy = policy
        actions: list[Action] = []
        if self._speculating and not policy.replies:
            self._speculating = False
            actions.append(Discard(self.turn))
        if self._holding and not policy.interruptible:
            actions += self._resume()
        return actions

    def _next_turn(self, *, replying: bool = True) -> None:
        """Begin a turn without speech, which is decided at once."""
        self.turn += 1
        self._resumes = 0
        self._replying = replying
        self.state = TurnState.THINKING

    @property
    def _echoes(self) -> bool:
        """Whether this reply comes back into the microphone: expected, or held so often."""
        expected = self._echoed > 0 and self.state is TurnState.SPEAKING
        return expected or self._resumes >= MOST_HOLDS

    @property
    def _under_way(self) -> bool:
        """Whether a reply is being made or spoken."""
        return self.state is TurnState.SPEAKING or (
            self.state is TurnState.THINKING and self._replying
        )

    def _interrupt(self) -> list[Action]:
        if self.state not in (TurnState.THINKING, TurnState.SPEAKING):
            return []
        self._holding = self._respond_next = False
        self.state = TurnState.IDLE
        return [Cancel(self.turn)]
