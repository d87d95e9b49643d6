"""Which picture of a face goes out next: one of a shared loop, or one made for this session.

A face that says nothing costs no encoding: its pictures are those of a loop, as they were encoded.
While it speaks they are composed and encoded for it alone. Both show the same motion of head and
lids at the same time, so the way there, which is a keyframe, shows nothing but the mouth; and the
way back is taken at a keyframe of the loop at which the face looks exactly as the loop does.

Times are milliseconds since the track began. Pictures have slots, the multiples of the step that
holds; whoever comes late takes the latest slot and skips those before it. The RTP timestamp of a
picture is its slot, and its mouth that of the middle of the time for which it is shown.
"""

import math
from collections import deque
from dataclasses import dataclass

from pipeline.frames import AvatarMood, Visemes
from stages.avatar.ladder import QualityLevel
from stages.avatar.loops import GROUP, LOOP_FRAME_MS, Loop
from stages.avatar.timeline import CLOSED, Pose, Timeline, idle_pose

GROUP_MS = GROUP * LOOP_FRAME_MS

HOLD_MS = 200
"""So long after its last sound a face is drawn as one that speaks: a gap is no end. As long after a
reply was announced, too, so that its first sound finds the encoder at work."""

CLOSING_STEP_MS = 20
"""Pictures come twice as fast while the mouth of an interrupted reply closes."""

KEYFRAME_EVERY_MS = 500
"""Requests for keyframes are met so often at most; until then they wait."""

MOST_HELD = 500
"""Messages of visemes for replies that are not played yet, one a sentence."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A picture of a loop: `unit` goes out as it is."""

    at_ms: int
    loop: Loop
    number: int
    keyframe: bool

    @property
    def unit(self) -> bytes:
        return self.loop.units[self.number % len(self.loop.units)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that is to be composed and encoded, every `frame_ms` one."""

    at_ms: int
    pose: Pose
    keyframe: bool
    frame_ms: int
    size: int


class VideoSchedule:
    """One session's pictures. Ask `due_ms`, then `picture`; say `sent` when it has been.

    A picture that was not sent is as if it had never been asked for, but its slot is over.

    Args:
        rung: What pictures may cost at the beginning.
        full: What they cost where nothing is the matter; its size holds where the rung has none.
    """

    def __init__(self, rung: QualityLevel, full: QualityLevel) -> None:
        self.seamless = True
        """Whether pictures that are made move as the loop does. Where they do not, because somebody
        else draws them, nothing is gained by waiting for the way back."""
        self._rung = rung
        held = rung if rung.frame_ms else full
        self._frame_ms, self._size = held.frame_ms, held.size
        self._timeline = Timeline()
        self._mood: AvatarMood = "idle"
        self._turn: int | None = None  # whose visemes the timeline has
        self._held: deque[Visemes] = deque(maxlen=MOST_HELD)
        self._loops: dict[AvatarMood, Loop] = {}
        self._loop: Loop | None = None  # the last that was shown,
        self._number: int | None = None  # and where; None where it was not the last picture
        self._live = False
        self._fresh = False  # the next live picture refers to nothing before it
        self._wanted = False  # a keyframe, by the peer
        self._forced_ms = -KEYFRAME_EVERY_MS
        self._closing = False
        self._speaks_until_ms = 0.0
        self._last_ms = -1

    @property
    def size(self) -> int:
        """Of pictures and of the loops that are wanted."""
        return self._size

    @property
    def live(self) -> bool:
        """Whether pictures are made for this session."""
        return self._live

    # --- what happens ------------------------------------------------------------------------

    def have(self, loop: Loop) -> None:
        """A loop to be used from its next keyframe on, in place of an older one of its mood."""
        self._loops[loop.mood] = loop

    def add(self, visemes: Visemes) -> None:
        """What will be spoken. Those of a later reply wait until it is played."""
        if visemes.turn == self._turn:
            self._timeline.add(visemes)
        elif self._turn is None or visemes.turn > self._turn:
            self._held.append(visemes)

    def mood(self, mood: AvatarMood, now_ms: float) -> None:
        self._mood = mood
        self._timeline.mood(mood, now_ms)
        if mood == "speaking":
            self._speaks_until_ms = now_ms + HOLD_MS
            self._no_earlier(now_ms)

    def clear(self, now_ms: float) -> None:
        """The reply is silent from now on: its mouth closes at once."""
        self._speaks_until_ms = 0.0
        self._closing = self._live
        self._no_earlier(now_ms)

    def step(self, rung: QualityLevel) -> None:
        """What pictures may cost from now on; nothing: none are made, only loops shown."""
        self._rung = rung
        if rung.frame_ms and (rung.frame_ms, rung.size) != (self._frame_ms, self._size):
            self._frame_ms, self._size = rung.frame_ms, rung.size
            self._fresh = True

    def want_keyframe(self) -> None:
        """The peer cannot go on without one."""
        self._wanted = True

    # --- pictures ----------------------------------------------------------------------------

    def due_ms(self, now_ms: float) -> int:
        """The next slot; one that has passed where it is late, but only the latest of those."""
        step = LOOP_FRAME_MS
        if self._closing:
            step = CLOSING_STEP_MS
        elif self._live or self._speaks(now_ms):
            step = self._frame_ms
        return max((self._last_ms // step + 1) * step, int(now_ms // step) * step)

    def picture(self, at_ms: int, cursor: tuple[int, float] | None) -> Shared | Drawn | None:
        """What to show in the slot that was due; None where there is nothing to show yet.

        `cursor` is the turn that is played and its position at `at_ms` in milliseconds.
        """
        self._last_ms = at_ms
        if cursor is not None:
            self._play(cursor[0])
            self._speaks_until_ms, self._closing = at_ms + HOLD_MS, False
        speaks = self._speaks(at_ms)
        if not self._live:
            if not speaks:
                return self._shared(at_ms)
            self._live = self._fresh = True
            self._number = None
        position_ms = None
        if cursor is not None and speaks:
            position_ms = cursor[1] + self._frame_ms / 2
        pose = self._timeline.pose(at_ms, position_ms)
        if self._closing and pose.mouth == CLOSED:
            self._closing = False
        ready = self._mood in self._loops or not self._rung.frame_ms
        in_turn = at_ms % GROUP_MS == 0
        as_idle = in_turn and pose == idle_pose(self._mood, at_ms)
        if ready and not speaks and (as_idle or not self.seamless):
            self._live = self._closing = False
            return self._shared(at_ms)
        keyframe = self._fresh or self._forced(at_ms)
        return Drawn(at_ms, pose, keyframe, self._frame_ms, self._size)

    def sent(self, picture: Shared | Drawn) -> None:
        """It is on its way; pictures that follow may refer to it."""
        if isinstance(picture, Shared):
            self._loop, self._number = picture.loop, picture.number
        else:
            self._fresh = False
        if picture.keyframe:
            if self._wanted:
                self._forced_ms = picture.at_ms
            self._wanted = False

    def _no_earlier(self, now_ms: float) -> None:
        """Slots of a finer step that have passed were not missed: none of them is made up for."""
        self._last_ms = max(self._last_ms, math.ceil(now_ms) - 1)

    def _speaks(self, at_ms: float) -> bool:
        return self._rung.frame_ms > 0 and at_ms < self._speaks_until_ms

    def _forced(self, at_ms: int) -> bool:
        return self._wanted and at_ms - self._forced_ms >= KEYFRAME_EVERY_MS

    def _play(self, turn: int) -> None:
        if turn == self._turn:
            return
        self._turn = turn
        later = [visemes for visemes in self._held if visemes.turn > turn]
        for visemes in self._held:
            if visemes.turn == turn:
                self._timeline.add(visemes)
        self._held.clear()
        self._held.extend(later)

    def _shared(self, at_ms: int) -> Shared | None:
        """The loop's picture for now; one behind or ahead of it where that must be.

        A picture refers to the one before it, so none is left out between keyframes: after a slot
        that was missed, or a keyframe out of turn, the loop is a few pictures off until its next
        keyframe is due.
        """
        place, loop, number = at_ms // LOOP_FRAME_MS, self._loop, self._number
        in_turn = place % GROUP == 0
        lost = loop is None or number is None or place - number > GROUP
        if in_turn or lost or self._forced(at_ms):
            loop = self._loops.get(self._mood, loop or self._loops.get("idle"))
            number = place if in_turn else (place + GROUP // 2) // GROUP * GROUP
        elif number is not None:
            number += 1
        if loop is None or number is None:
            return None
        return Shared(at_ms, loop, number, number % GROUP == 0)
