import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from av import CodecContext, Packet

from gateway.faces.pictures import MOST_WANTED, RETRY_S, JpegRenderer, PictureCache
from pipeline.testing import run_virtual
from stages.avatar.face import FACES, load
from stages.avatar.jpeg import dimensions
from stages.avatar.renderer import LayerBitmaps, Picture
from stages.avatar.timeline import Pose


class Held(Executor):
    """Runs its work when the test says so."""

    def __init__(self) -> None:
        self.work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, do: Any, /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append((future, lambda: do(*args, **named)))
        return future

    async def run(self) -> int:
        done, self.work = self.work, []
        for future, do in done:
            future.set_result(do())
        for _ in range(3):
            await asyncio.sleep(0)
        return len(done)


def draw(pose: Pose) -> bytes:
    return f"{pose.eyes} {pose.head}".encode()


def pose(head: int) -> Pose:
    return Pose(head=head)


def test_a_picture_is_drawn_once_however_often_it_is_wanted() -> None:
    async def main() -> None:
        pool = Held()
        cache = PictureCache(draw, pool)
        assert [cache.get(pose(1)), cache.get(pose(1))] == [None, None]
        assert await pool.run() == 1
        assert [cache.get(pose(1)) for _ in range(5)] == [b"open 1"] * 5
        assert pool.work == []
        assert (cache.hits, cache.misses) == (5, 2)

    run_virtual(main())


def test_the_least_recently_used_is_dropped() -> None:
    async def main() -> None:
        pool = Held()
        cache = PictureCache(draw, pool, most_bytes=18)
        for head in (1, 2, 3):
            cache.get(pose(head))
        await pool.run()
        cache.get(pose(1))
        cache.get(pose(4))
        await pool.run()
        kept = [head for head in (1, 2, 3, 4) if cache.get(pose(head)) is not None]
        assert kept == [1, 3, 4]

    run_virtual(main())


def test_no_more_wait_than_can_be_in_time() -> None:
    async def main() -> None:
        pool = Held()
        cache = PictureCache(draw, pool)
        for head in range(MOST_WANTED + 10):
            cache.get(pose(head))
        assert await pool.run() == MOST_WANTED
        cache.get(pose(MOST_WANTED + 5))
        assert await pool.run() == 1

    run_virtual(main())


def test_what_cannot_be_drawn_is_left_out_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    def fail(pose: Pose) -> bytes:
        raise ValueError("no ink")

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            cache = PictureCache(fail, pool)
            assert cache.get(pose(1)) is None
            await asyncio.sleep(0.05)
            assert cache.get(pose(1)) is None
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert caplog.text.count("ValueError: no ink") == 1


def test_what_could_not_be_drawn_is_tried_again_later() -> None:
    async def main() -> None:
        pool = Held()
        cache = PictureCache(draw, pool)
        for head in range(MOST_WANTED):
            cache.get(pose(head))
            pool.work.pop()[0].set_exception(MemoryError())
        await asyncio.sleep(RETRY_S - 1)
        assert cache.get(pose(0)) is None
        assert pool.work == []
        await asyncio.sleep(2)
        assert cache.get(pose(0)) is None
        assert await pool.run() == 1
        assert cache.get(pose(0)) == b"open 0"

    run_virtual(main())


def test_a_pool_that_ends_leaves_nothing_behind() -> None:
    async def main() -> None:
        pool = Held()
        cache = PictureCache(draw, pool)
        cache.get(pose(1))
        pool.work.pop()[0].cancel()
        await pool.run()
        assert cache.get(pose(1)) is None
        assert pool.work == []

    run_virtual(main())


def test_a_pool_that_has_ended_draws_nothing_and_breaks_nothing() -> None:
    async def main() -> None:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        assert PictureCache(draw, pool).get(pose(1)) is None

    run_virtual(main())


def test_a_print_shows_what_the_renderer_draws() -> None:
    bitmaps = LayerBitmaps(load(FACES / "mira"), 320)
    show, picture = JpegRenderer(bitmaps), Picture(bitmaps)
    decoder: Any = CodecContext.create("mjpeg", "r")
    for mouth in ("sil", "aa"):
        wanted = Pose(mouth=((mouth, 4),), brows="speaking")
        data = show(wanted)
        assert dimensions(data) == (320, 320)
        [frame] = decoder.decode(Packet(data))
        picture.show(wanted)
        seen = frame.to_ndarray(format="rgb24").astype(int)
        assert np.abs(seen - picture.rgb).mean() < 3
