"""What one client wants of turn-taking, and what is assumed for all. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pipeline.endings import Ending

SPECULATIONS = 2
"""So often a turn's answer is prepared before the turn is decided; a thinker's pauses cost more."""

ENDPOINTING_FACTORS: Mapping[Ending, float] = MappingProxyType(
    {"closed": 0.6, "unclear": 1.0, "open": 1.5, "thinking": float("inf")}
)
"""How long silence is borne after a sentence that ends in this way. Assumed values."""

LONGEST_BACKCHANNEL_MS = 1_500
"""Who says "mm-hm" for so long wants to speak. Assumed value."""

PROMPTS = 2
"""So often a silent person is spoken to before it is left in peace."""


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

    Without `replies` a turn that ends gets no reply before `RespondNow` asks for one. Without
    `interruptible` speech neither holds nor cancels a reply; it becomes a turn where it goes on
    after the reply. Without `opens` the conversation begins with the person's turn.
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
