"""The talking face as finished pictures, for a server that only has to encode them."""

import numpy as np
import numpy.typing as npt

from pipeline.frames import Viseme, Visemes
from stages.avatar import face
from stages.avatar.renderer import LayerBitmaps, Picture
from stages.avatar.timeline import Timeline

PICTURE_MS = 40
SIZE = 320
SHAPES = ("PP", "aa", "SS", "E", "nn", "oh", "FF", "ih", "kk", "ou", "DD", "RR")
"""The mouth that speech moves, as a row of visemes."""

SHAPE_MS = 85
"""About twelve sounds a second, as people speak."""

LASTING_MS = 4_080
"""A whole number of pictures and of rounds through the shapes."""


def visemes(from_ms: int, lasting_ms: int) -> tuple[Viseme, ...]:
    """Mouth shapes for so much speech; both are multiples of `SHAPE_MS`."""
    return tuple(
        Viseme(at_ms, SHAPE_MS, SHAPES[at_ms // SHAPE_MS % len(SHAPES)])
        for at_ms in range(from_ms, from_ms + lasting_ms, SHAPE_MS)
    )


def talking(name: str = "mira") -> list[npt.NDArray[np.uint8]]:
    """RGB pictures, `PICTURE_MS` apart, to be shown again and again."""
    picture = Picture(LayerBitmaps(face.find(name), SIZE))
    timeline = Timeline()
    timeline.add(Visemes(0, 0, visemes(0, LASTING_MS)))
    timeline.mood("speaking", 0)
    drawn = []
    for at_ms in range(0, LASTING_MS, PICTURE_MS):
        picture.show(timeline.pose(at_ms, at_ms))
        drawn.append(picture.rgb.copy())
    return drawn
