"""Video of a face that says nothing: encoded once, and sent to all sessions without a reply.

`timeline.idle_pose` repeats after `LOOP_MS`, so a loop of that length can be repeated without end.
A group of `GROUP` pictures begins with a keyframe and refers to no other group: a session may enter
a loop, leave it or change to another mood's loop at any keyframe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.frames import AvatarMood
from stages.avatar.decoding import JpegDecoder
from stages.avatar.encoding import Codec, VideoEncoder
from stages.avatar.renderer import LayerBitmaps, Picture
from stages.avatar.timeline import LOOP_MS, idle_pose

LOOP_FRAME_MS = 80
"""Breath and blinks are slow: 12.5 pictures a second show them."""

GROUP = 10
"""A keyframe every 800 ms: the longest wait for one."""

LOOP_PICTURES = LOOP_MS // LOOP_FRAME_MS


@dataclass(frozen=True, slots=True)
class Loop:
    """`units[n]` shows `idle_pose(mood, n * LOOP_FRAME_MS)`, or an avatar server's picture of that
    time; units at multiples of `GROUP` are keyframes. H.264 keyframes begin with their parameter
    sets.
    """

    codec: Codec
    size: int
    mood: AvatarMood
    units: tuple[bytes, ...]


def record(bitmaps: LayerBitmaps, mood: AvatarMood, codec: Codec) -> Loop:
    """Draw and encode a loop. Takes a quarter of a second at 320 × 320: call it in a thread."""
    encoder = VideoEncoder(codec, bitmaps.size, LOOP_FRAME_MS, patient=True)
    picture = Picture(bitmaps)
    units = []
    for number in range(LOOP_PICTURES):
        picture.show(idle_pose(mood, number * LOOP_FRAME_MS))
        units.append(encoder.encode(picture.i420, keyframe=number % GROUP == 0))
    return Loop(codec, bitmaps.size, mood, tuple(units))


def record_pictures(
    pictures: Sequence[tuple[int, bytes]], length_ms: int, mood: AvatarMood, codec: Codec, size: int
) -> Loop:
    """Encode a loop of JPEG pictures, each shown from its time on; the first is shown from 0.

    `length_ms` is cut to whole groups; it must hold at least one. Raises `NotJpeg`. Takes a quarter
    of a second: call it in a thread.
    """
    decoder = JpegDecoder(size)
    encoder = VideoEncoder(codec, size, LOOP_FRAME_MS, patient=True)
    units = []
    left = list(reversed(pictures))
    shown = decoder.decode(left.pop()[1])
    for number in range(length_ms // LOOP_FRAME_MS // GROUP * GROUP):
        due = None
        while left and left[-1][0] <= number * LOOP_FRAME_MS:
            due = left.pop()[1]
        if due is not None:
            shown = decoder.decode(due)
        units.append(encoder.encode(shown, keyframe=number % GROUP == 0))
    return Loop(codec, size, mood, tuple(units))
