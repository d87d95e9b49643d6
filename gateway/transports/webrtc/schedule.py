"""The choice of the next picture of a face: one of a shared loop, or one made for this session.

A silent face costs no encoding: it is shown with the encoded pictures of a loop. While it speaks,
its pictures are composed and encoded for this session. Both move head and lids alike at the same
time. So the change from the loop, a keyframe, shows only the mouth; the change back happens at a
keyframe of the loop, when the face looks exactly as the loop does.

Times are milliseconds since the track began. Pictures have slots at multiples of the current step;
a late picture takes the latest slot and skips those before it. The RTP timestamp of a picture is
its slot; its mouth is that of the middle of the time for which it is shown.
"""

import math
from collections import deque
from dataclasses import dataclass

from pipeline.frames import AvatarMood, Visemes
from stages.avatar.loops import GROUP, LOOP_FRAME_MS, Loop
from stages.avatar.quality import QualityLevel
from stages.avatar.timeline import CLOSED, Pose, Timeline, idle_pose

GROUP_MS = GROUP * LOOP_FRAME_MS

HOLD_MS = 200
"""A face is drawn as speaking for this long after its last sound, because a short gap does not end
a reply; and after a reply is announced, so that the encoder runs when its first sound comes."""

CLOSING_STEP_MS = 20
"""The step while the mouth of an interrupted reply closes: half the usual one."""

KEYFRAME_EVERY_MS = 500
"""The shortest interval between keyframes on request; an earlier request waits."""

MOST_HELD = 500
"""Viseme messages, one per sentence, of replies that are not played yet."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A picture of a loop: `unit` is sent as it is."""

    at_ms: int
    loop: Loop
    number: int
    keyframe: bool

    @property
    def unit(self) -> bytes:
        return self.loop.units[self.number % len(self.loop.units)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that is to be composed and encoded, one of a series every `frame_ms`."""

    at_ms: int
    pose: Pose
    keyframe: bool
    frame_ms: int
    size: int


class VideoSchedule:
    """The schedule of one session's pictures.

    Call `due_ms`, then `picture` when that time has come, then `sent` if the picture was sent. A
    picture that was not sent leaves no trace, but its slot is over.

    Args:
        level: The quality level at the beginning.
        full: The best level; its size is used while `level` has none.
    """

    def __init__(self, level: QualityLevel, full: QualityLevel) -> None:
        self.seamless = True
        """Whether drawn pictures move as the loop does. Those of an avatar server do not, so that
        the change back need not wait for a matching pose."""
        self._level = level
        used = level if level.frame_ms else full
        self._frame_ms, self._size = used.frame_ms, used.size
        self._timeline = Timeline()
        self._mood: AvatarMood = "idle"
        self._turn: int | None = None  # the turn of the timeline's visemes
        self._held: deque[Visemes] = deque(maxlen=MOST_HELD)
        self._loops: dict[AvatarMood, Loop] = {}
        self._loop: Loop | None = None  # the last that was shown
        self._number: int | None = None  # its last picture; None if a drawn one came after
        self._live = False
        self._fresh = False  # the next live picture refers to nothing before it
        self._wanted = False  # the peer asked for a keyframe
        self._forced_ms = -KEYFRAME_EVERY_MS
        self._closing = False
        self._speaks_until_ms = 0.0
        self._last_ms = -1

    @property
    def size(self) -> int:
        """The size of drawn pictures and of the loops that are wanted, in pixels."""
        return self._size

    @property
    def live(self) -> bool:
        """Whether pictures are drawn for this session."""
        return self._live

    # --- events ------------------------------------------------------------------------------

    def have(self, loop: Loop) -> None:
        """Use a loop from its next keyframe on, instead of an older one of its mood."""
        self._loops[loop.mood] = loop

    def add(self, visemes: Visemes) -> None:
        """Add visemes. Those of a later reply wait until that reply is played."""
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
        """End the reply: its mouth closes at once."""
        self._speaks_until_ms = 0.0
        self._closing = self._live
        self._no_earlier(now_ms)

    def step(self, level: QualityLevel) -> None:
        """Change the quality level. At one without pictures, only loops are shown."""
        self._level = level
        if level.frame_ms and (level.frame_ms, level.size) != (self._frame_ms, self._size):
            self._frame_ms, self._size = level.frame_ms, level.size
            self._fresh = True

    def want_keyframe(self) -> None:
        """Send a keyframe soon: the peer cannot decode further without one."""
        self._wanted = True

    # --- pictures ----------------------------------------------------------------------------

    def due_ms(self, now_ms: float) -> int:
        """The next slot; if slots have passed, the latest of them."""
        step = LOOP_FRAME_MS
        if self._closing:
            step = CLOSING_STEP_MS
        elif self._live or self._speaks(now_ms):
            step = self._frame_ms
        return max((self._last_ms // step + 1) * step, int(now_ms // step) * step)

    def picture(self, at_ms: int, cursor: tuple[int, float] | None) -> Shared | Drawn | None:
        """The picture for the slot that was due; None if there is no loop yet.

        `cursor` is the turn that is played, and its position at `at_ms` in milliseconds.
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
        ready = self._mood in self._loops or not self._level.frame_ms
        in_turn = at_ms % GROUP_MS == 0
        as_idle = in_turn and pose == idle_pose(self._mood, at_ms)
        if ready and not speaks and (as_idle or not self.seamless):
            self._live = self._closing = False
            return self._shared(at_ms)
        keyframe = self._fresh or self._forced(at_ms)
        return Drawn(at_ms, pose, keyframe, self._frame_ms, self._size)

    def sent(self, picture: Shared | Drawn) -> None:
        """Note that a picture was sent: later pictures may refer to it."""
        if isinstance(picture, Shared):
            self._loop, self._number = picture.loop, picture.number
        else:
            self._fresh = False
        if picture.keyframe:
            if self._wanted:
                self._forced_ms = picture.at_ms
            self._wanted = False

    def _no_earlier(self, now_ms: float) -> None:
        """Skip the passed slots of a finer step: they were not missed."""
        self._last_ms = max(self._last_ms, math.ceil(now_ms) - 1)

    def _speaks(self, at_ms: float) -> bool:
        return self._level.frame_ms > 0 and at_ms < self._speaks_until_ms

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
        """The loop's picture for this time, or the nearest that can be decoded.

        A picture refers to the one before it, so none is left out between keyframes. After a missed
        slot, or a keyframe out of turn, the loop is a few pictures off until its next keyframe.
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
