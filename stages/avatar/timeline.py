"""The face's movement over time: mouth shapes, mood and time become a `Pose`. Pure.

The mouth follows the reply's playback position, never a clock of its own, so sound and picture
cannot drift apart. Blinks and small head motion are a function of time and a seed, and repeat after
`LOOP_MS`: an idle face can be encoded once and played as a loop.

Co-articulation: lips move before their sound. A shape is complete `SETTLE_MS` into its sound after
`ATTACK_MS` of movement (faces take 60–80 ms); a shape without time before the next one is skipped.
People notice most if lips do not meet on a p, b or m: closures are complete when their sound begins
and stay for one picture.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pipeline.frames import VISEMES, AvatarMood, Viseme, Visemes

ATTACK_MS = 70
"""From one mouth shape to the next."""

SETTLE_MS = 20
"""How far into its sound a shape is complete."""

CLOSURES = ("PP", "FF")
"""Shapes that must be complete to be recognised."""

CLOSURE_MS = 40
"""A closure stays for one picture at 25 a second, however short its sound, so that it is seen."""

CLOSING_MS = 60
"""How long the mouth takes to close after a reply stops; with a picture's delay 80 ms at most."""

PAUSE_MS = 60
"""A gap between two cues that closes the mouth."""

QUARTERS = 4
"""Weights are quarters, so that the blends are few enough to be kept."""

MAX_SHAPES = 20_000
"""Targets kept of one reply, some 20 minutes of speech; the oldest are dropped."""

BLINK_MS = 170
_LID_MS = 40
"""Blinks of 100–400 ms are usual; the lids fall and rise for 40 ms each."""

_SLOT_MS = 4000
_SLOTS = 4
LOOP_MS = _SLOT_MS * _SLOTS
"""Idle motion repeats after this: one blink in every 4 s, 15 a minute, as people do at rest."""

BREATH = 3
"""Steps by which the head rises and falls with the breath, 15 times a minute."""

NODS_MS: dict[AvatarMood, tuple[tuple[int, int], ...]] = {
    "listening": ((1, 1500), (2, 2700), (2, 3150)),
    "speaking": ((0, 900), (2, 2300)),
}
"""When a face nods, by the mood: the slot of the loop, and the time in it."""

NOD = 6
NOD_MS = 420
"""How far the head goes down in a nod, in the same steps, and for how long."""

MIN_HEAD, MAX_HEAD = -BREATH, 7
"""How far the head may be up and down."""

GLANCES_MS: dict[AvatarMood, tuple[tuple[int, int, int], ...]] = {
    "listening": ((0, 2100, 900),),
    "speaking": ((1, 600, 700), (3, 1700, 500)),
}
"""When the eyes leave the person for a moment, by the mood: the slot, the time in it, how long."""

Eyes = Literal["open", "half", "closed", "aside", "down"]
Mouth: TypeAlias = tuple[tuple[str, int], ...]
"""One or two shapes with their quarters, which add up to `QUARTERS`, in the order of `VISEMES`."""

CLOSED: Mouth = (("sil", QUARTERS),)

_SMALLER = {"aa": "E", "E": "ih", "oh": "ou"}


@dataclass(frozen=True, slots=True)
class Pose:
    """A face at one moment. `head` is how far down it is, in 1/640 of the picture's height."""

    mouth: Mouth = CLOSED
    eyes: Eyes = "open"
    brows: AvatarMood = "idle"
    head: int = 0


@dataclass(frozen=True, slots=True)
class _Target:
    """The mouth moves towards `shape` from `from_ms` on and reaches it at `full_ms`."""

    from_ms: int
    full_ms: int
    shape: str
    free_ms: int
    """When the mouth may leave the shape."""


class Track:
    """The mouth of one reply over its position in milliseconds."""

    def __init__(self, cues: Iterable[Viseme] = ()) -> None:
        self._targets: list[_Target] = []
        self._starts: list[int] = []
        self._cued_ms = 0
        self._end_ms = 0
        self.add(cues)

    def add(self, cues: Iterable[Viseme]) -> None:
        """Add cues, in order of time. Cues that run backwards or have an unknown shape are ignored;
        a gap of `PAUSE_MS` closes the mouth.
        """
        for cue in cues:
            if cue.at_ms < self._cued_ms or cue.shape not in VISEMES:
                continue
            if cue.at_ms - self._end_ms >= PAUSE_MS:
                self._aim("sil", self._end_ms)
            if cue.duration_ms > 0 or cue.shape == "sil":
                self._aim(_visible(cue), cue.at_ms)
            self._cued_ms = cue.at_ms
            self._end_ms = max(self._end_ms, cue.at_ms + max(cue.duration_ms, 0))
        surplus = len(self._targets) - MAX_SHAPES
        if surplus > 0:
            del self._targets[:surplus], self._starts[:surplus]

    def at(self, position_ms: float) -> Mouth:
        index = bisect_right(self._starts, position_ms) - 1
        if index < 0:
            return CLOSED
        target = self._targets[index]
        if position_ms >= max(self._end_ms, target.free_ms):
            since_ms = position_ms - max(self._end_ms, target.free_ms)
            return mix(target.shape, "sil", since_ms / ATTACK_MS)
        if position_ms >= target.full_ms:
            return ((target.shape, QUARTERS),)
        before = self._targets[index - 1].shape if index else "sil"
        share = (position_ms - target.from_ms) / (target.full_ms - target.from_ms)
        return mix(before, target.shape, share)

    def _aim(self, shape: str, at_ms: int) -> None:
        closure = shape in CLOSURES
        full_ms = at_ms if closure else at_ms + SETTLE_MS
        while (last := self._last) and last.shape not in CLOSURES and last.full_ms >= full_ms:
            del self._targets[-1], self._starts[-1]
        if last is not None and last.shape == shape:
            if closure:
                self._targets[-1] = replace(last, free_ms=full_ms + CLOSURE_MS)
            return
        from_ms = full_ms - ATTACK_MS
        if last is not None:
            from_ms = max(from_ms, last.free_ms)
        if closure:
            from_ms = min(from_ms, full_ms)
        else:
            # Lips that stayed closed for a picture open within the next.
            held = last is not None and last.shape in CLOSURES
            full_ms = max(full_ms, from_ms + CLOSURE_MS if held else 0)
        free_ms = full_ms + (CLOSURE_MS if closure else 0)
        self._targets.append(_Target(from_ms, full_ms, shape, free_ms))
        self._starts.append(from_ms)

    @property
    def _last(self) -> _Target | None:
        return self._targets[-1] if self._targets else None


class Timeline:
    """One session's face. `now_ms` is of any one clock that does not run backwards.

    Args:
        seed: Decides when the face blinks.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._turn: int | None = None
        self._track = Track()
        self._mood: AvatarMood = "idle"
        self._before: AvatarMood = "idle"
        self._mood_ms = -math.inf
        self._mouth = CLOSED
        self._playing = False
        self._changed_ms = -math.inf
        self._now_ms = -math.inf

    def add(self, visemes: Visemes) -> None:
        """Add visemes of the reply; the first of another turn replace those of the turn before."""
        if visemes.turn != self._turn:
            self._turn, self._track = visemes.turn, Track()
        self._track.add(visemes.cues)

    def mood(self, mood: AvatarMood, now_ms: float) -> None:
        if mood != self._mood:
            self._before, self._mood, self._mood_ms = self._mood, mood, now_ms

    def pose(self, now_ms: float, position_ms: float | None) -> Pose:
        """The face at `now_ms`, while the reply's audio is at `position_ms`.

        `position_ms` is None while nothing is played: the reply is over, was interrupted or waits
        for audio. The mouth then closes within `CLOSING_MS` of the last played picture.
        """
        idle = idle_pose(self._mood, now_ms, self._seed)
        eyes, brows = idle.eyes, idle.brows
        since_ms = now_ms - self._mood_ms
        if since_ms < BLINK_MS and "thinking" in (self._mood, self._before):
            # People blink when they look away: it hides the change.
            eyes = _lids(since_ms)
            brows = self._before if since_ms < _LID_MS else self._mood
        return Pose(self._speak(now_ms, position_ms), eyes, brows, idle.head)

    def _speak(self, now_ms: float, position_ms: float | None) -> Mouth:
        playing = position_ms is not None
        if playing != self._playing:
            self._playing = playing
            # It stopped at some time after the picture before this one.
            self._changed_ms = now_ms if playing else self._now_ms
        self._now_ms = now_ms
        share = (now_ms - self._changed_ms) / (ATTACK_MS if playing else CLOSING_MS)
        if position_ms is None:
            return mix(_main(self._mouth), "sil", share)
        self._mouth = self._track.at(position_ms)
        if share < 1 and position_ms >= ATTACK_MS:  # the reply goes on in the middle of a word
            return mix("sil", _main(self._mouth), share)
        return self._mouth


def idle_pose(mood: AvatarMood, at_ms: float, seed: int = 0) -> Pose:
    """A face that says nothing; the pose repeats after `LOOP_MS`."""
    slot, within_ms = divmod(at_ms % LOOP_MS, _SLOT_MS)
    chance = _chance(seed * _SLOTS + int(slot))
    lids = _lids(within_ms - chance % (_SLOT_MS - 2 * BLINK_MS))
    eyes = _gaze(mood, int(slot), within_ms) if lids == "open" else lids
    head = round(BREATH * math.sin(2 * math.pi * within_ms / _SLOT_MS))
    for nods, at_ms in NODS_MS.get(mood, ()):
        head += _nod(within_ms - at_ms) if nods == slot else 0
    return Pose(CLOSED, eyes, mood, min(head, MAX_HEAD))


def mix(before: str, after: str, share: float) -> Mouth:
    """The mouth on the way from one shape to another, of which `share` is done."""
    quarters = round(min(max(share, 0), 1) * QUARTERS)
    if before == after or quarters == QUARTERS:
        return ((after, QUARTERS),)
    if quarters == 0:
        return ((before, QUARTERS),)
    parts = ((before, QUARTERS - quarters), (after, quarters))
    return parts if VISEMES.index(before) < VISEMES.index(after) else parts[::-1]


def _main(mouth: Mouth) -> str:
    """The shape that shows most."""
    return max(mouth, key=lambda part: part[1])[0]


def _visible(cue: Viseme) -> str:
    """The shape to draw: a faint vowel becomes a smaller one, as a half-blended shape looks
    wrong."""
    if cue.shape in CLOSURES or cue.weight >= 0.5:
        return cue.shape
    return "sil" if cue.weight < 0.1 else _SMALLER.get(cue.shape, cue.shape)


def _lids(since_ms: float) -> Eyes:
    if not 0 <= since_ms < BLINK_MS:
        return "open"
    return "closed" if _LID_MS <= since_ms < BLINK_MS - _LID_MS else "half"


def _gaze(mood: AvatarMood, slot: int, within_ms: float) -> Eyes:
    """The gaze in a mood: aside while thinking, down at the notes at times while listening, and
    aside for a moment at times while speaking."""
    if mood == "thinking":
        return "aside"
    for glances, at_ms, lasts_ms in GLANCES_MS.get(mood, ()):
        if glances == slot and at_ms <= within_ms < at_ms + lasts_ms:
            return "down" if mood == "listening" else "aside"
    return "open"


def _nod(since_ms: float) -> int:
    if not 0 <= since_ms < NOD_MS:
        return 0
    return round(NOD * math.sin(math.pi * since_ms / NOD_MS) ** 2)


def _chance(number: int) -> int:
    """A pseudo-random 64-bit number: the finaliser of SplitMix64 (Steele et al., 2014)."""
    mask = (1 << 64) - 1
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return mixed ^ mixed >> 31
