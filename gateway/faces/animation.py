"""Animation of one session's speech by an avatar server.

Speech arrives here when it is queued for playout, some time before it is sent; the pictures that
the server returns are kept, bounded, until `frame_at` is called for a position. Audio never waits
for them: late pictures are dropped, and if a scene fails, the next source draws the rest of that
reply.
"""

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np

from gateway.faces.loops import Loops, ask, is_picture
from pipeline.errors import PipelineError
from pipeline.frames import AvatarFrame, AvatarMood, Spoken, Viseme
from pipeline.guard import Guard, Stream
from pipeline.stage import Animator, Scene

logger = logging.getLogger("parley.avatar")

LEAST_MS = 400
"""The least speech of a scene: a shorter one would be mostly its beginning and end."""

MOST_MS = 2_000
"""The most speech of a scene, if the pieces allow; the next scene is gathered meanwhile."""

GATHER_S = 0.1
"""How long a scene that is shorter than `LEAST_MS` waits for more speech."""

MOST_WAITING_MS = 10_000
"""The most speech that waits for a server: twice the look-ahead. The oldest is dropped first."""

KEPT_MS = 3_000
"""How long pictures are kept after their audio was sent: a resumed reply repeats its last word."""

STANDS_MS = 160
"""How long a picture is shown if none follows it."""

MOST_FRAMES = 500
MOST_BYTES = 16 * 1024 * 1024
"""Pictures that are kept: ten seconds of the largest, of 128 KB, or 2 MB with pictures of 13 KB.
Beyond that the oldest are dropped."""

MISSED_MS = 1_500
"""A reply without pictures for this time is animated no further."""

GaveWay = Callable[[int, str, str | None, str], None]
"""Called with the turn, the provider that failed, the one that takes over, and the reason; once for
each provider in a turn. Without a successor (None) the next source draws the rest of the turn."""


class Animation:
    """One session's animation. Use `running` while the session lasts."""

    def __init__(
        self,
        animators: Guard[Animator],
        loops: Loops,
        *,
        face: str,
        size: int,
        frame_ms: int,
        gave_way: GaveWay,
    ) -> None:
        self._animators = animators
        self._loops = loops
        self._face = face
        self._size = size
        self._frame_ms = frame_ms
        self._gave_way = gave_way
        self._reported: set[str] = set()  # providers whose failure in this turn was reported
        self._asked: Stream[AvatarFrame] | None = None  # the call for the latest scene
        self._loop = asyncio.get_running_loop()
        self._turn = -1
        self._given_up = False
        self._trusted = False
        self._waiting: deque[Spoken] = deque()
        self._cues: list[Viseme] = []
        self._more = asyncio.Event()
        self._scene: asyncio.Task[None] | None = None
        self._frames: list[AvatarFrame] = []
        self._times: list[int] = []
        self._bytes = 0
        self._position_ms = 0
        self._missed_ms = 0  # how long there has been no picture

    # --- from the session --------------------------------------------------------------------

    def hear(self, spoken: Spoken) -> None:
        """Take speech that will be sent soon."""
        if spoken.turn != self._turn:
            self._begin(spoken.turn)
        if self._given_up:
            return
        self._waiting.append(spoken)
        self._cues.extend(spoken.cues)
        while _end_ms(spoken) - self._waiting[0].at_ms > MOST_WAITING_MS and len(self._waiting) > 1:
            self._waiting.popleft()
        self._more.set()

    def _begin(self, turn: int) -> None:
        self._drop()
        self._turn = turn
        self._given_up = False
        self._reported.clear()
        now = self._loop.time()
        for candidate in self._animators.candidates:
            candidate.breaker.poll(now)
        self._trusted = any(candidate.breaker.closed for candidate in self._animators.candidates)

    def drop(self, turn: int) -> None:
        """Drop a reply's speech and pictures: it is over or was interrupted. Idempotent."""
        if turn == self._turn:
            self._drop()

    def _drop(self) -> None:
        self._forget()
        if self._scene is not None:
            self._scene.cancel()

    def _forget(self) -> None:
        self._waiting.clear()
        self._cues.clear()
        self._frames.clear()
        self._times.clear()
        self._bytes = self._position_ms = self._missed_ms = 0

    # --- for the sender of pictures ----------------------------------------------------------

    @property
    def given_up(self) -> bool:
        """Whether the animation of the latest reply was given up."""
        return self._given_up

    def follows(self, turn: int) -> bool:
        """Whether this turn's pictures come from the avatar server.

        If no breaker was closed when the turn began, they do once the first picture has arrived.
        """
        return turn == self._turn and not self._given_up and (self._trusted or bool(self._frames))

    def frame_at(self, turn: int, position_ms: int) -> AvatarFrame | None:
        """The picture for a position of the reply, or the last one before it.

        None if that one is older than `STANDS_MS`. Positions must grow, except that a resumed reply
        may go back. After `MISSED_MS` without a picture the animation of the reply is given up.
        """
        if not self.follows(turn):
            return None
        self._missed_ms += max(0, position_ms - self._position_ms)
        self._position_ms = position_ms
        self._forget_until(position_ms - KEPT_MS)
        index = bisect_right(self._times, position_ms) - 1
        if index >= 0 and position_ms - self._times[index] < STANDS_MS:
            self._missed_ms = 0
            return self._frames[index]
        if self._missed_ms > MISSED_MS:
            self._give_up("its pictures come too late")
        return None

    def reject(self, turn: int, reason: str) -> None:
        """Give up the animation of this reply, because one of its pictures could not be shown."""
        if turn == self._turn:
            self._give_up(reason)

    def _forget_until(self, position_ms: int) -> None:
        count = bisect_right(self._times, position_ms)
        if count:
            self._drop_oldest(count)

    def _drop_oldest(self, count: int) -> None:
        self._bytes -= sum(len(frame.data) for frame in self._frames[:count])
        del self._frames[:count], self._times[:count]

    def silent(self, mood: AvatarMood, now: float) -> tuple[AvatarFrame | None, bool]:
        """The silent face's picture at a time of the event loop's clock, None if there is none;
        and whether its loop is being requested for the first time.
        """
        key = self._face, self._size, mood
        return self._loops.picture(*key, now), self._loops.pending(*key)

    async def silence(self, mood: AvatarMood) -> Sequence[tuple[int, bytes]]:
        """All pictures of the silent face, with their times in ms; see `Loops`."""
        return await self._loops.pictures(self._face, self._size, mood)

    def reject_silence(self, mood: AvatarMood) -> None:
        """Drop the pictures of the silent face, which cannot be shown; request them again later."""
        self._loops.reject(self._face, self._size, mood)

    # --- the work ----------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Animate the speech given to `hear` while the block lasts."""
        work = asyncio.create_task(self._run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])
            self._forget()

    async def _run(self) -> None:
        while True:
            scene = await self._next()
            if scene is None:
                continue
            self._scene = asyncio.create_task(self._animate(scene))
            try:
                await asyncio.wait([self._scene])
            finally:
                if self._scene.cancel():
                    await asyncio.wait([self._scene])
                self._scene = None

    async def _next(self) -> Scene | None:
        """The next scene, or None if its speech was dropped or sent before it was gathered."""
        while not self._waiting:
            self._more.clear()
            await self._more.wait()
        gathered = self._loop.time() + GATHER_S
        try:
            async with asyncio.timeout_at(gathered):
                while self._waiting and not self._enough():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pass
        pieces = self._take()
        end_ms = _end_ms(pieces[-1]) if pieces else 0
        if not pieces or end_ms <= self._position_ms:  # it was sent meanwhile
            return None
        first = pieces[0]
        cues = _cut(self._cues, first.at_ms, end_ms)
        self._cues = [cue for cue in self._cues if cue.at_ms + cue.duration_ms > end_ms]
        pcm = np.concatenate([piece.pcm for piece in pieces])
        speech = Spoken(first.turn, first.at_ms, first.rate_hz, pcm, cues, pieces[-1].last)
        return Scene(speech, self._face, self._size, self._frame_ms) if len(pcm) else None

    def _enough(self) -> bool:
        waiting = self._waiting
        return (
            any(piece.last for piece in waiting)
            or _end_ms(waiting[-1]) - waiting[0].at_ms >= LEAST_MS
        )

    def _take(self) -> list[Spoken]:
        """The waiting pieces of one sentence, about `MOST_MS` at most."""
        taken: list[Spoken] = []
        while self._waiting:
            piece = self._waiting[0]
            if taken and piece.rate_hz != taken[0].rate_hz:
                break
            taken.append(self._waiting.popleft())
            if piece.last or _end_ms(piece) - taken[0].at_ms >= MOST_MS:
                break
        return taken

    async def _animate(self, scene: Scene) -> None:
        turn = scene.speech.turn

        def degraded(source: str, target: str, reason: str) -> None:
            if source not in self._reported:
                self._reported.add(source)
                self._gave_way(turn, source, target, reason)

        self._asked = ask(self._animators, scene, degraded)
        try:
            async with self._asked as frames:
                async for frame in frames:
                    self._keep(frame)
        except PipelineError as error:
            self._give_up(str(error))
        except Exception:  # a bug; the session goes on without these pictures
            logger.exception("a scene failed")
            self._give_up("internal")

    def _keep(self, frame: AvatarFrame) -> None:
        if not is_picture(frame):
            return
        at_ms = frame.at_ms
        if frame.turn != self._turn or at_ms is None or (self._times and at_ms <= self._times[-1]):
            return
        if at_ms <= self._position_ms - STANDS_MS:
            return  # too late
        self._frames.append(frame)
        self._times.append(at_ms)
        self._bytes += len(frame.data)
        while len(self._frames) > MOST_FRAMES or self._bytes > MOST_BYTES:
            self._drop_oldest(1)

    def _give_up(self, reason: str) -> None:
        if self._given_up:
            return
        self._given_up = True
        self._drop()
        asked = self._asked or self._animators.candidates[0]
        self._gave_way(self._turn, asked.provider, None, reason)


def _end_ms(piece: Spoken) -> int:
    return piece.at_ms + len(piece.pcm) * 1000 // piece.rate_hz


def _cut(cues: list[Viseme], start_ms: int, end_ms: int) -> tuple[Viseme, ...]:
    """The cues between two times, cut where they extend beyond them."""
    parts = []
    for cue in cues:
        begin = max(cue.at_ms, start_ms)
        end = min(cue.at_ms + cue.duration_ms, end_ms)
        if begin < end:
            parts.append(Viseme(begin, end - begin, cue.shape, cue.weight))
    return tuple(parts)
