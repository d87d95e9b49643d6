"""One client's settings of turn-taking, and the constants that hold for all. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pipeline.endings import Ending

SPECULATIONS = 2
"""The most speculations a turn: a person who pauses often would cost more."""

ENDPOINTING_FACTORS: Mapping[Ending, float] = MappingProxyType(
    {"closed": 0.6, "unclear": 1.0, "open": 1.5, "thinking": float("inf")}
)
"""The factor of the endpointing delay after a sentence with this ending. Assumed values."""

FINISHED, FINISHED_FACTOR = 0.9, 0.6
"""From this probability of a turn model on the endpointing delay is multiplied by the second."""

UNFINISHED, UNFINISHED_FACTOR = 0.3, 1.5
"""The same, up to this probability. Assumed values, like the factors of the words' endings."""

LONGEST_BACKCHANNEL_MS = 1_500
"""A longer backchannel is a barge-in. Assumed value."""

MOST_HOLDS = 4
"""The most holds of one reply that prove to be no barge-in. More come from the reply itself, as its
sound comes back into the microphone. Assumed value."""

PROMPTS = 2
"""The most prompts in one silence."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When a turn starts and ends. The defaults are Silero's, and our notes' for interviews.

    Speech starts at `threshold` and ends below `threshold - hysteresis`, so that a probability near
    the threshold does not flutter. Speech shorter than `start_ms` is dropped at a pause of
    `gap_ms`. `prefix_ms` of audio from before the onset goes to the recogniser. Where no audio
    comes at all, silence is assumed after `grace_ms`. After `speculate_ms` of silence the reply may
    be prepared, `SPECULATIONS` times a turn.

    The endpointing delay is `silence_ms`, with `adaptive` multiplied by the `ENDPOINTING_FACTORS`
    entry for the words so far. It is at most `max_wait_ms`, which holds after a request for time.
    Where it is adaptive and `judged`, a turn model is asked in every pause of `speculate_ms`, and
    its answer is a further factor (`judgement_factor`).

    A reply is held after `start_ms` of speech. It is cancelled after `barge_in_ms`, or sooner after
    `barge_in_words` recognised words (0: never); it goes on after `resume_ms` of silence. After
    `MOST_HOLDS` such holds, speech neither holds nor cancels this reply any more. A person
    who is silent for `prompt_ms` after a reply is prompted (0: never), `PROMPTS` times: with a line
    of the host's, or, if it `replies_to_silence`, with a reply that nobody has asked for.

    Without `replies` a turn that ends gets no reply before `RespondNow` asks for one. Without
    `interruptible` speech neither holds nor cancels a reply; it becomes a turn if it goes on after
    the reply. Without `opens` the conversation begins with the person's turn.

    `language` is the code of the person's language, by which words are judged (`pipeline.endings`).
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
    replies: bool = True
    interruptible: bool = True
    opens: bool = True
    judged: bool = False
    language: str = "en"
    replies_to_silence: bool = False

    @property
    def pre_roll_ms(self) -> int:
        """How much input audio to keep, so that an utterance can begin before its detection."""
        return self.prefix_ms + self.barge_in_ms + 1000


def judgement_factor(probability: float | None) -> float:
    """The factor of the endpointing delay if a turn model gives the turn this `probability` to
    be finished; 1 without a model's answer."""
    if probability is None or UNFINISHED < probability < FINISHED:
        return 1.0
    return FINISHED_FACTOR if probability >= FINISHED else UNFINISHED_FACTOR
