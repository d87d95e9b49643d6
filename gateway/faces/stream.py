"""One session's face as pictures in its messages.

While the interviewer speaks a picture leaves just before the audio that it belongs to, so it can
neither be late nor outlive an interruption: nothing is queued here. Otherwise a picture leaves when
the face has changed. A picture that is not there in time, or that the client has no room for, is
left out; the one before it stands.

The pictures are an avatar server's, or the built-in face's where there is no server or it fails.
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
from pipeline.pacer import Pacer
from pipeline.stage import Observed
from stages.avatar.timeline import Pose, Timeline

FRAME_MS = 80
"""12.5 pictures a second. A multiple of playout's frame, which is 20 ms."""

FRAME_S = FRAME_MS / 1000
SOON_S = 0.02
"""A picture that is being drawn is there by then."""


class FaceStream:
    """The pictures of one session, from `start` to `close`.

    Args:
        animation: The face at an avatar server, if there is one.
        show: Sends a picture to the client; called from `observe` and by the pacer.
        room: Whether the client has room for one.
        rate_hz: Of the reply audio.
        seed: Faces with another seed blink at other times.
    """

    def __init__(
        self,
        animation: Animation | None,
        *,
        show: Callable[[AvatarFrame], None],
        room: Callable[[], bool],
        pacer: Pacer,
        rate_hz: int,
        seed: int = 0,
    ) -> None:
        self.pictures: PictureCache | None = None
        """The built-in face, once it can be drawn."""
        self._animation = animation
        self._show = show
        self._room = room
        self._pacer = pacer
        self._rate_hz = rate_hz
        self._loop = asyncio.get_running_loop()
        # Speech is drawn for when it will be heard, silence for now: each has a clock that does
        # not run backwards.
        self._speaking = Timeline(seed)
        self._silent = Timeline(seed)
        self._mood: AvatarMood = "idle"
        self._turn = 0
        self._next_ms = 0  # the position of the picture that is sent next
        self._heard_until = 0.0  # when all audio that was sent has been heard
        self._shown: Pose | bytes | None = None

    def start(self) -> None:
        """Show the face."""
        self._pump_now()

    def close(self) -> None:
        """Send nothing more. Idempotent."""
        self._pacer.cancel(self._pump)

    def observe(self, output: Observed, now: float) -> None:
        """An output of the session that is about to be sent, or speech that will be sent soon."""
        match output:
            case Spoken():
                if self._animation is not None:
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
                self._next_ms = -(-at_ms // FRAME_MS) * FRAME_MS
            case Clear():
                self._fall_silent()
            case ReplyDone(turn) if self._animation is not None:
                self._animation.drop(turn)

    def _fall_silent(self) -> None:
        self._speaking.pose(self._heard_until * 1000, None)
        self._heard_until = 0.0
        self._shown = None  # the client drops what it has not come to
        self._pump_now()

    def _pump_now(self) -> None:
        # In the loop's next round: what is being sent comes first.
        self._pacer.schedule(self._pump, self._loop.time())

    # --- speech ------------------------------------------------------------------------------

    def _speak(self, audio: ReplyAudio) -> None:
        now = self._loop.time()
        heard_at = max(self._heard_until, now)
        duration_s = len(audio.pcm) / self._rate_hz
        self._heard_until = heard_at + duration_s
        end_ms = audio.at_ms + duration_s * 1000
        while self._next_ms < end_ms:
            position_ms = self._next_ms
            self._next_ms += FRAME_MS
            if position_ms >= audio.at_ms:
                at_ms = heard_at * 1000 + position_ms - audio.at_ms
                self._show_speech(audio.turn, position_ms, at_ms)
        if self.pictures is not None and not self._follows(audio.turn):
            # Have the next one drawn by the time it is wanted. Asked with every piece of audio: the
            # mouth shapes may have come after the one before.
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

    def _pump(self, now: float) -> float:
        if now < self._heard_until:
            return self._heard_until
        in_time = not self._room() or self._show_silence(now)
        return now + (FRAME_S if in_time else SOON_S)

    def _show_silence(self, now: float) -> bool:
        """False where the picture is yet to be drawn."""
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
