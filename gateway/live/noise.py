"""Reduces the noise in a client's audio, if the client or the deployment wants that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from gateway.live.transport import AudioReader, Media, P
from gateway.media import noise_reduction
from gateway.media.format import NoiseReduction
from gateway.media.noise_reduction import NoiseReducer
from gateway.protocols.dialect import ProtocolError
from pipeline.frames import Samples


class CleanReader(Generic[P]):
    """An `AudioReader` whose samples have their noise reduced."""

    def __init__(self, reader: AudioReader[P], reducer: NoiseReducer) -> None:
        self._reader = reader
        self._reducer = reducer

    @property
    def lost(self) -> P:
        return self._reader.lost

    def duration_ms(self, data: P) -> float:
        return self._reader.duration_ms(data)

    def read(self, data: P) -> Samples:
        return self._reducer.push(self._reader.read(data))


def clean(
    media: Media[P],
    wanted: NoiseReduction | None,
    default: NoiseReduction,
    complain: Callable[[ProtocolError], None],
) -> Media[P]:
    """The media with noise reduced as `wanted`, or as the `default` says if nothing is wanted.

    If noise reduction is not installed, the audio stays as it is, and a client's wish for it is a
    complaint.
    """
    kind = wanted or default
    if kind == "off":
        return media
    if (missing := noise_reduction.check()) is not None:
        if wanted is not None:
            complain(ProtocolError("no_noise_reduction", missing))
        return media
    reader = CleanReader(media.reader, NoiseReducer(kind))
    return replace(media, reader=reader, audio_in=replace(media.audio_in, noise_reduction=kind))
