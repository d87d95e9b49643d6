"""One session's face as pictures in its messages.

During a reply a picture is sent just before the audio that it belongs to, so it is never late and
never outlives an interruption: nothing is queued here. Otherwise a picture is sent when the face
has changed. A picture that is not ready in time, or that the client cannot take, is left out; the
client goes on showing the one before it.

The pictures come from an avatar server, or from the built-in face if there is no server or it
fails. Under pressure there are fewer of them, and then none, as the ladder says (`MESSAGE_LEVELS`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.faces.animation import Animation
from gateway.faces.pictures import MIME, PictureCache
from pipeline.frames import (
    AvatarFrame,
    AvatarMood,
    AvatarState,
    Clear,
    ReplyAudio,
    ReplyDone,
    ReplyResumed,
    ReplyStarted,
    Spoken,
    Visemes,
)
from pipeline.ladder import Ladder, LadderStep
from pipeline.pacer import Pacer
from pipeline.stage import Observed
from stages.avatar.quality import MESSAGE_LEVELS, QualityLevel, level_at
from stages.avatar.timeline import Pose, Timeline

FRAME_MS = MESSAGE_LEVELS[0].frame_ms
"""Of the best level: a multiple of playout's frame, which is 20 ms."""

BUSY = "the server is busy"
"""The reason that is given if a face begins with fewer pictures."""

SOON_S = 0.02
"""How long a picture takes to be drawn, with a margin."""


class FaceStream:
    """The pictures of one session, from `start` to `close`.

    Args:
        animation: The session's animation by an avatar server, if there is one.
        show: Sends a picture to the client; called from `observe` and by the pacer.
        room: Whether the client can take a picture now.
        rate_hz: Sample rate of the reply audio.
        ladder: The process's.
        stepped: Called with the turn, the old and the new level, and the reason.
        seed: Determines when the face blinks.
    """

    def __init__(
        self,
        animation: Animation | None,
        *,
        show: Callable[[AvatarFrame], None],
        room: Callable[[], bool],
        pacer: Pacer,
        rate_hz: int,
        ladder: Ladder,
        stepped: Callable[[int, QualityLevel, QualityLevel, str], None],
        seed: int = 0,
    ) -> None:
        self.pictures: PictureCache | None = None
        """Pictures of the built-in face, once it can be drawn."""
        self._animation = animation
        self._show = show
        self._room = room
        self._pacer = pacer
        self._rate_hz = rate_hz
        self._ladder = ladder
        self._stepped = stepped
        self._forget: Callable[[], None] = lambda: None
        self._level = MESSAGE_LEVELS[0]
        self._loop = asyncio.get_running_loop()
        # Speech is drawn for the time at which it will be heard, silence for now. A timeline's
        # time must not go back, so each has its own.
        self._speaking = Timeline(seed)
        self._silent = Timeline(seed)
        self._mood: AvatarMood = "idle"
        self._turn = 0
        self._next_ms = 0  # the position of the picture that is sent next
        self._heard_until = 0.0  # when the audio sent so far has been played
        self._shown: Pose | bytes | None = None

    def start(self) -> None:
        """Begin to send pictures."""
        self._forget = self._ladder.shown(self._step)
        self._step(LadderStep.EVERYTHING, self._ladder.step, BUSY)
        self._pump_now()

    def close(self) -> None:
        """Send no more pictures. Idempotent."""
        self._forget()
        self._pacer.cancel(self._pump)

    def _step(self, before: LadderStep, after: LadderStep, reason: str) -> None:
        old, new = level_at(before, MESSAGE_LEVELS), level_at(after, MESSAGE_LEVELS)
        if old is new:
            return
        self._level = new
        if new.frame_ms:
            self._next_ms = _aligned(self._next_ms, new.frame_ms)
        elif self._animation is not None:
            self._animation.drop(self._turn)
        if not old.frame_ms:
            self._shown = None  # the client has drawn the face by itself meanwhile
            self._pump_now()
        self._stepped(self._turn, old, new, reason)

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session just before it is sent, or speech that is sent soon."""
        match output:
            case Spoken():
                if self._animation is not None and self._level.frame_ms:
                    self._animation.hear(output)
            case ReplyAudio():
                self._speak(output)
            case Visemes():
                self._speaking.add(output)
            case AvatarState(turn, state):
                self._turn, self._mood = turn, state
                now_ms = self._loop.time() * 1000
                self._speaking.mood(state, now_ms)
                self._silent.mood(state, now_ms)
            case ReplyStarted(turn):
                self._turn, self._next_ms = turn, 0
            case ReplyResumed(_, at_ms):
                self._next_ms = _aligned(at_ms, self._level.frame_ms or FRAME_MS)
            case Clear():
                self._fall_silent()
            case ReplyDone(turn) if self._animation is not None:
                self._animation.drop(turn)

    def _fall_silent(self) -> None:
        self._speaking.pose(self._heard_until * 1000, None)
        self._heard_until = 0.0
        self._shown = None  # the client drops pictures that it has not shown
        self._pump_now()

    def _pump_now(self) -> None:
        # In the loop's next round, after the output that is being sent.
        self._pacer.schedule(self._pump, self._loop.time())

    # --- speech ------------------------------------------------------------------------------

    def _speak(self, audio: ReplyAudio) -> None:
        now = self._loop.time()
        heard_at = max(self._heard_until, now)
        duration_s = len(audio.pcm) / self._rate_hz
        self._heard_until = heard_at + duration_s
        end_ms = audio.at_ms + duration_s * 1000
        if not self._level.frame_ms:
            return
        while self._next_ms < end_ms:
            position_ms = self._next_ms
            self._next_ms += self._level.frame_ms
            if position_ms >= audio.at_ms:
                at_ms = heard_at * 1000 + position_ms - audio.at_ms
                self._show_speech(audio.turn, position_ms, at_ms)
        if self.pictures is not None and not self._follows(audio.turn):
            # Draw the next picture ahead of time. This is repeated for every piece of audio,
            # because mouth shapes may arrive between two pieces.
            at_ms = heard_at * 1000 + self._next_ms - audio.at_ms
            self.pictures.get(self._speaking.pose(at_ms, self._next_ms))

    def _follows(self, turn: int) -> bool:
        return self._animation is not None and self._animation.follows(turn)

    def _show_speech(self, turn: int, position_ms: int, now_ms: float) -> None:
        if self._animation is not None and self._animation.follows(turn):
            frame = self._animation.frame_at(turn, position_ms)
            if frame is not None and frame.data is not self._shown and self._room():
                self._shown = frame.data
                self._show(replace(frame, at_ms=position_ms))
        elif self.pictures is not None:
            pose = self._speaking.pose(now_ms, position_ms)
            picture = self.pictures.get(pose)
            if picture is not None and self._room():
                self._shown = pose
                self._show(AvatarFrame(turn, position_ms, MIME, picture))

    # --- silence -----------------------------------------------------------------------------

    def _pump(self, now: float) -> float | None:
        if not self._level.frame_ms:
            return None
        if now < self._heard_until:
            return self._heard_until
        in_time = not self._room() or self._show_silence(now)
        return now + (self._level.frame_ms / 1000 if in_time else SOON_S)

    def _show_silence(self, now: float) -> bool:
        """Show the silent face; False if its picture is not drawn yet."""
        if self._animation is not None and not self._animation.given_up:
            frame, pending = self._animation.silent(self._mood, now)
            if frame is not None and frame.data is not self._shown:
                self._shown = frame.data
                self._show(replace(frame, turn=self._turn, at_ms=None))
            if frame is not None or pending:
                return True
        pose = self._silent.pose(now * 1000, None)
        if self.pictures is None or pose == self._shown:
            return True
        picture = self.pictures.get(pose)
        if picture is None:
            return False
        self._shown = pose
        self._show(AvatarFrame(self._turn, None, MIME, picture))
        return True


def _aligned(at_ms: int, frame_ms: int) -> int:
    """The first position of a picture from `at_ms` on."""
    return -(-at_ms // frame_ms) * frame_ms
