"""The pictures of a call, and a file with them and the sound on one time line.

A server's video may change its size and its codec, and packets get lost. So pictures are decoded
first and then encoded again, by x264, in one size and without gaps.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from gateway.commands.call.recording import CallRecording
from gateway.media.format import AudioFormat

CLOCK_HZ = 90_000
"""The rate of video timestamps in RTP (RFC 6184, RFC 7741)."""

CODEC = "libx264"
OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
BIT_RATE = 64_000
MOST_IN_MEMORY = 32 * 1024 * 1024
MOST_BYTES = 2 * 1024 * 1024 * 1024
"""The most bytes of all pictures; later pictures are dropped."""


class Film:
    """The pictures in order of arrival, in a temporary file until `write`.

    Not thread-safe. Use it as a context manager; leaving it deletes them.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MOST_IN_MEMORY)  # noqa: SIM115 closed by __exit__
        self._container: Any = None
        self._stream: VideoStream | None = None
        self._failure: OSError | None = None
        self._last = -1
        self.first: int | None = None
        """The unwrapped timestamp of the first picture."""
        self.size = (0, 0)
        self.pictures = 0
        self.place: Callable[[int], float] = lambda unwrapped: unwrapped / CLOCK_HZ
        """When a picture is shown, by the clock of the sound; called after the last picture."""

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *exc: object) -> None:
        # The pictures are no longer needed: a full disk is no error here.
        with suppress(OSError, FFmpegError):
            self.finish()
        with suppress(OSError):
            self._file.close()

    def add(self, picture: av.VideoFrame, unwrapped: int) -> None:
        """Add a picture with its unwrapped timestamp. Takes some milliseconds: call it in a thread.

        Raises `OSError`, which `read` raises again, and `FFmpegError`.
        """
        if self._stream is None:
            self._begin(picture, unwrapped)
        assert self._stream is not None
        assert self.first is not None
        pts = unwrapped - self.first
        if pts <= self._last or self._file.tell() > MOST_BYTES:
            return
        self._last = pts
        frame = picture.reformat(*self.size, format="yuv420p")
        frame.pts, frame.time_base = pts, Fraction(1, CLOCK_HZ)
        frame.pict_type = 0  # a keyframe need not be one again
        try:
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            self._failure = error  # the container's later message would be unclear
            raise
        self.pictures += 1

    def _begin(self, picture: av.VideoFrame, unwrapped: int) -> None:
        self.first = unwrapped
        self.size = (picture.width // 2 * 2, picture.height // 2 * 2)  # 4:2:0 has no odd sizes
        # NUT keeps any clock exactly.
        self._container = av.open(self._file, "w", format="nut")
        stream = self._container.add_stream(CODEC, rate=25, options=OPTIONS)
        stream.width, stream.height = self.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
        stream.codec_context.thread_count = 1
        self._stream = stream

    def finish(self) -> None:
        """End the pictures. Idempotent, even after an error: `OSError` or `FFmpegError`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                self._container.mux(stream.encode(None))
            finally:
                self._container.close()

    def read(self) -> Any:
        """The pictures, at least one, as an open container; the caller closes it."""
        if self._failure is not None:
            raise self._failure
        self.finish()
        self._file.seek(0)
        return av.open(self._file, "r", format="nut")


def write(path: Path, audio: AudioFormat, film: Film | None, *sides: CallRecording) -> None:
    """Write an MP4: H.264 if there are pictures, AAC with a channel for each side.

    Position 0 is that of the recordings, or the first picture if that was shown before.
    Raises `OSError` and `av.error.FFmpegError`.
    """
    origin = next((side.origin for side in sides if side.origin is not None), None)
    shift_s = 0.0
    if film is not None and film.first is not None and origin is not None:
        shift_s = film.place(film.first) - origin
    lead = max(0, round(-shift_s * audio.rate_hz))
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        sound = container.add_stream("aac", rate=audio.rate_hz, layout=LAYOUTS[len(sides)])
        sound.bit_rate = BIT_RATE
        track = _Sound(container, sound, audio, sides, lead)
        if film is not None and film.first is not None:
            with film.read() as pictures:
                source = pictures.streams.video[0]
                stream = container.add_stream_from_template(source)
                begin = round(max(0.0, shift_s) / source.time_base)
                for packet in pictures.demux(source):
                    if packet.pts is None:
                        continue  # the end
                    track.until(float((packet.pts + begin) * source.time_base))
                    packet.pts = packet.dts = packet.pts + begin
                    packet.stream = stream
                    container.mux(packet)
        track.finish()


LAYOUTS = {1: "mono", 2: "stereo"}
BLOCK = 1024
"""Samples of one packet of AAC."""


class _Sound:
    """The sound of both sides, encoded in step with the pictures."""

    def __init__(
        self,
        container: Any,
        stream: AudioStream,
        audio: AudioFormat,
        sides: tuple[CallRecording, ...],
        lead: int,
    ) -> None:
        self._container = container
        self._stream = stream
        self._rate_hz = audio.rate_hz
        self._sides = sides
        self._lead = lead  # samples of silence before position 0
        self._end = lead + max(round(side.duration_s * audio.rate_hz) for side in sides)
        self._at = 0

    def until(self, seconds: float) -> None:
        """Encode up to a position of the file."""
        while self._at < min(self._end, seconds * self._rate_hz):
            self._block()

    def finish(self) -> None:
        """Encode the rest."""
        self.until(self._end / self._rate_hz + 1)
        self._container.mux(self._stream.encode(None))

    def _block(self) -> None:
        start = self._at - self._lead
        silence = min(BLOCK, max(0, -start))
        sides = [side.samples(start + silence, start + BLOCK) for side in self._sides]
        pcm = np.zeros((BLOCK, len(sides)), np.int16)
        pcm[silence:] = np.stack(sides, axis=1)
        frame = av.AudioFrame.from_ndarray(
            pcm.reshape(1, -1), format="s16", layout=LAYOUTS[len(sides)]
        )
        frame.sample_rate, frame.pts = self._rate_hz, self._at
        frame.time_base = Fraction(1, self._rate_hz)
        self._container.mux(self._stream.encode(frame))
        self._at += BLOCK
