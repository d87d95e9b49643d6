"""Contact sheets of a face: `python -m tests.stages.avatar.sheet` draws the golden ones anew."""

from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
from av import CodecContext, Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from pipeline.frames import VISEMES, AvatarMood
from stages.avatar.face import FACES, load, shipped
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.timeline import Eyes, Pose, mix

GOLDENS = Path(__file__).parent / "goldens"
SIZE = 64
COLUMNS = 5

POSES = (
    *(Pose(((shape, 4),)) for shape in VISEMES),
    *(Pose(eyes=eyes) for eyes in get_args(Eyes)[1:]),
    *(Pose(brows=mood) for mood in get_args(AvatarMood)[1:]),
    Pose(mix("PP", "aa", 0.5), head=-3),
    Pose(mix("ou", "E", 0.25), "half", "thinking", head=3),
    Pose(mix("oh", "sil", 0.75), "aside", "listening", head=2),
)


def sheet(name: str) -> Bytes:
    """All poses, in rows of `COLUMNS`."""
    picture = Picture(LayerBitmaps(load(FACES / name), SIZE))
    pictures = []
    for pose in POSES:
        picture.show(pose)
        pictures.append(picture.rgb.copy())
    rows = [np.hstack(pictures[at : at + COLUMNS]) for at in range(0, len(pictures), COLUMNS)]
    return np.vstack(rows)


def golden(name: str) -> Bytes:
    decoder = CodecContext.create("png", "r")
    assert isinstance(decoder, VideoCodecContext)
    (frame,) = decoder.decode(Packet((GOLDENS / f"{name}.png").read_bytes()))
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def main() -> None:
    for name in shipped():
        frame = VideoFrame.from_ndarray(sheet(name), "rgb24")
        encoder = CodecContext.create("png", "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
        encoder.framerate = Fraction(25)
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        (GOLDENS / f"{name}.png").write_bytes(b"".join(map(bytes, packets)))


if __name__ == "__main__":
    main()
