"""Loops of an avatar server's silent faces: a few seconds each, requested once and repeated for all
sessions. Every request to such a server goes through `ask`.
"""

import asyncio
import logging
from collections.abc import Sequence

import numpy as np

from pipeline.errors import PipelineError, StageFailed
from pipeline.frames import AvatarFrame, AvatarMood, Spoken
from pipeline.guard import Guard, OnDegraded, Stream
from pipeline.stage import Animator, Scene

logger = logging.getLogger("parley.avatar")

LOOP_MS = 4_000
RATE_HZ = 16_000
MOST_BYTES = 4 * 1024 * 1024
"""The largest loop. There are few faces and moods: 16 MB a face at most, usually half a MB."""

RETRY_S = 10.0
"""After a failure a loop is requested again after this time."""

Key = tuple[str, int, AvatarMood]


def ask(
    animators: Guard[Animator], scene: Scene, on_degraded: OnDegraded | None = None
) -> Stream[AvatarFrame]:
    """Animate a scene. The caller skips items that are no picture (`is_picture`)."""
    return animators.stream(
        lambda stage: stage.animate(scene),
        useful=is_picture,
        media_s=lambda frame: scene.frame_ms / 1000,
        on_degraded=on_degraded,
    )


def is_picture(frame: object) -> bool:
    """Whether a provider's item is a picture that can be sent."""
    return (
        isinstance(frame, AvatarFrame)
        and isinstance(frame.at_ms, int | None)
        and isinstance(frame.mime, str)
        and isinstance(frame.data, bytes)
    )


class Loops:
    """Loops by face, size and mood. Belongs to one event loop; `aclose` ends its tasks."""

    def __init__(self, animators: Guard[Animator], frame_ms: int) -> None:
        self._animators = animators
        self._frame_ms = frame_ms
        self._made: dict[Key, Sequence[AvatarFrame]] = {}
        self._making: dict[Key, asyncio.Task[None]] = {}
        self._failed: dict[Key, float] = {}

    def picture(self, face: str, size: int, mood: AvatarMood, now: float) -> AvatarFrame | None:
        """A face's picture at a time of the event loop's clock, in seconds, None if there is none.
        Never waits: a missing loop is requested in the background.
        """
        key = face, size, mood
        if frames := self._made.get(key):
            at_ms = now * 1000 % LOOP_MS
            return next(frame for frame in reversed(frames) if (frame.at_ms or 0) <= at_ms)
        self._want(key, now)
        return None

    async def pictures(self, face: str, size: int, mood: AvatarMood) -> Sequence[tuple[int, bytes]]:
        """All pictures of a loop with their times in ms. Waits for a missing loop; empty if the
        server gives none.
        """
        key = face, size, mood
        if key not in self._made:
            self._want(key, asyncio.get_running_loop().time())
            if (making := self._making.get(key)) is not None:
                await asyncio.wait([making])
        return [(frame.at_ms or 0, frame.data) for frame in self._made.get(key, ())]

    def reject(self, face: str, size: int, mood: AvatarMood) -> None:
        """Drop a loop that cannot be shown, and request it again later."""
        key = face, size, mood
        if self._made.pop(key, None) is not None:
            self._failed[key] = asyncio.get_running_loop().time() + RETRY_S

    def _want(self, key: Key, now: float) -> None:
        if key not in self._making and now >= self._failed.get(key, 0.0):
            self._making[key] = asyncio.get_running_loop().create_task(self._make(key))

    def pending(self, face: str, size: int, mood: AvatarMood) -> bool:
        """Whether a loop is being requested for the first time."""
        key = face, size, mood
        return key in self._making and key not in self._failed

    async def aclose(self) -> None:
        """Cancel the requests under way."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _make(self, key: Key) -> None:
        try:
            self._made[key] = await self._ask(*key)
        except PipelineError as error:
            logger.info("no %s loop of %s: %s", key[2], key[0], error)
            self._failed[key] = asyncio.get_running_loop().time() + RETRY_S
        except Exception:  # a bug; the session goes on without this loop
            logger.exception("the %s loop of %s failed", key[2], key[0])
            self._failed[key] = asyncio.get_running_loop().time() + RETRY_S
        finally:
            del self._making[key]

    async def _ask(self, face: str, size: int, mood: AvatarMood) -> list[AvatarFrame]:
        silence = np.zeros(LOOP_MS * RATE_HZ // 1000, np.int16)
        scene = Scene(Spoken(-1, 0, RATE_HZ, silence, last=True), face, size, self._frame_ms, mood)
        made: list[AvatarFrame] = []
        left_bytes = MOST_BYTES
        stream = ask(self._animators, scene)
        async with stream as frames:
            async for frame in frames:
                if not is_picture(frame):
                    continue
                left_bytes -= len(frame.data)
                if left_bytes < 0 or (frame.at_ms or 0) >= LOOP_MS:
                    break
                made.append(frame)
        if not made:
            raise StageFailed("avatar", stream.provider, "empty", "no picture of the loop's time")
        # The first picture is shown from the beginning, whatever its time.
        first = made[0]
        return [AvatarFrame(-1, 0, first.mime, first.data), *made[1:]]
