"""Files with sound and pictures: flash and beep at the same moment."""

import errno
import io
import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gateway.commands.call import film as films
from gateway.commands.call.film import Film, write
from gateway.commands.call.recording import CallRecording
from gateway.media.format import AudioFormat

PCM = AudioFormat()
BEEP = (8000 * np.sin(np.arange(1600) / 4)).astype(np.int16)
FIRST = 5_000
FRAME = 3_600
"""25 pictures a second."""


def picture(*, light: bool, size: int = 64) -> av.VideoFrame:
    level = 235 if light else 16
    return av.VideoFrame.from_ndarray(np.full((size, size, 3), level, np.uint8), format="rgb24")


def beeps(*at: float) -> CallRecording:
    recording = CallRecording(PCM)
    recording.start(100.0)
    for time in at:
        recording.place(BEEP, time)
    return recording


def flashes(path: Path) -> list[float]:
    """When the pictures turn light."""
    with av.open(str(path)) as container:
        seen = [
            (float(frame.time), frame.to_ndarray(format="gray").mean() > 128)
            for frame in container.decode(video=0)
        ]
    return [at for (_, before), (at, light) in itertools.pairwise(seen) if light > before]


def heard(path: Path, channel: int = 0) -> list[float]:
    """When sounds begin."""
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0)]
    assert frames[0].time == 0
    pcm = np.concatenate([frame.to_ndarray()[channel] for frame in frames])
    loud = np.flatnonzero(np.abs(pcm) > 0.1)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-10_000) > 4_000)]
    return [float(start) / PCM.rate_hz for start in starts]


def flashing(film: Film, *at: float, pictures: int = 100) -> None:
    """25 pictures a second from a first one at 0, light ones from these times on for 80 ms."""
    for number in range(pictures):
        light = any(start <= number / 25 < start + 0.08 for start in at)
        film.add(picture(light=light), FIRST + number * FRAME)


@pytest.mark.parametrize("seen_at", [99.7, 100.0, 101.2])
def test_a_flash_and_a_beep_at_the_same_moment_stay_together(
    seen_at: float, tmp_path: Path
) -> None:
    path = tmp_path / "reply.mp4"
    with Film() as film:
        film.place = lambda unwrapped: seen_at + (unwrapped - FIRST) / films.CLOCK_HZ
        flashing(film, 1.0, 2.6)
        write(path, PCM, film, beeps(seen_at + 1.0, seen_at + 2.6))
    # The file begins with what was there first: the sound's time 0, or the first picture.
    lead = max(0.0, seen_at - 100.0)
    assert flashes(path) == pytest.approx([lead + 1.0, lead + 2.6], abs=0.001)
    assert heard(path) == pytest.approx([lead + 1.0, lead + 2.6], abs=0.01)


def test_a_call_without_pictures_is_a_file_with_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "reply.mp4"
    with Film() as film:
        write(path, PCM, film, beeps(100.5), beeps(101.0))
    assert heard(path, 0) == pytest.approx([0.5], abs=0.01)
    assert heard(path, 1) == pytest.approx([1.0], abs=0.01)
    with av.open(str(path)) as container:
        assert not container.streams.video


def test_pictures_that_change_their_size_or_come_twice_are_one_film(tmp_path: Path) -> None:
    path = tmp_path / "reply.mp4"
    with Film() as film:
        film.place = lambda unwrapped: 100.0 + (unwrapped - FIRST) / films.CLOCK_HZ
        film.add(picture(light=False, size=65), FIRST)
        film.add(picture(light=True, size=48), FIRST + FRAME)
        film.add(picture(light=True, size=48), FIRST + FRAME)
        film.add(picture(light=True), FIRST)
        assert (film.size, film.pictures) == ((64, 64), 2)
        write(path, PCM, film, beeps(100.5))
    assert flashes(path) == pytest.approx([0.04], abs=0.001)


def test_pictures_of_a_call_that_never_began_begin_the_file(tmp_path: Path) -> None:
    path = tmp_path / "reply.mp4"
    with Film() as film:
        film.place = lambda unwrapped: 99_999.0
        flashing(film, 0.2, pictures=10)
        write(path, PCM, film, CallRecording(PCM))
    assert flashes(path) == pytest.approx([0.2], abs=0.001)


def test_a_film_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "MOST_BYTES", 0)
    with Film() as film:
        flashing(film, pictures=200)
        assert film.pictures < 200


class Full(io.BytesIO):
    """A file on a disk that is full from some moment on."""

    full = False

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full()
    monkeypatch.setattr(films.tempfile, "SpooledTemporaryFile", lambda size: disk)
    with Film() as film:
        film.place = lambda unwrapped: 100.0
        flashing(film, pictures=10)
        disk.full = True
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "reply.mp4", PCM, film, beeps(100.5))
        film.finish()


def test_pictures_that_found_no_space_are_reported_when_the_film_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Full()
    monkeypatch.setattr(films.tempfile, "SpooledTemporaryFile", lambda size: disk)
    with Film() as film:
        flashing(film, pictures=1)
        disk.full = True
        with pytest.raises(OSError, match="No space left"):
            flashing(film, 0.2, pictures=1_000)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "reply.mp4", PCM, film, beeps(100.5))


def test_an_error_of_a_call_is_not_hidden_by_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full()
    monkeypatch.setattr(films.tempfile, "SpooledTemporaryFile", lambda size: disk)

    def call() -> None:
        with Film() as film:
            flashing(film, pictures=10)
            disk.full = True
            raise LookupError

    with pytest.raises(LookupError):
        call()
