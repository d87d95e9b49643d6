from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from av import CodecContext, VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from stages.avatar.jpeg import NotJpeg, dimensions


def encoded(width: int, height: int, shade: str = "yuvj420p") -> bytes:
    encoder: Any = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt, encoder.time_base = shade, Fraction(1, 25)
    picture = VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), "rgb24")
    return b"".join(map(bytes, encoder.encode(picture.reformat(format=shade))))


PICTURE = encoded(64, 48)
HEADER = PICTURE.index(b"\xff\xc0")


@pytest.mark.parametrize("size", [(64, 48), (320, 320), (1024, 16)])
def test_the_header_tells_the_size(size: tuple[int, int]) -> None:
    assert dimensions(encoded(*size)) == size


def test_markers_may_be_filled_up_and_comments_be_many() -> None:
    comments = b"\xff\xfe\x00\x04hi" * 40
    assert dimensions(PICTURE[:2] + comments + b"\xff\xff" + PICTURE[2:]) == (64, 48)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        PICTURE[:-2],
        PICTURE[2:],
        PICTURE[:HEADER] + b"\xff\xd9",
        PICTURE[:HEADER] + PICTURE[HEADER + 2 + 17 :],  # the tables, the scan
        PICTURE[: HEADER + 8] + b"\xff\xd9",
        PICTURE[:HEADER] + b"\xff\xc3" + PICTURE[HEADER + 2 :],  # lossless
        PICTURE[: HEADER + 4] + b"\x0c" + PICTURE[HEADER + 5 :],  # 12 bits
        PICTURE[: HEADER + 5] + b"\x00\x00" + PICTURE[HEADER + 7 :],  # no height
        PICTURE[:2] + b"\xff\xfe\x00\x00" + PICTURE[2:],  # a segment that has no end
        PICTURE[:2] + b"\xff\xfe\x00\x04hi" * 64 + PICTURE[2:],
    ],
)
def test_what_no_browser_would_show_is_none(data: bytes) -> None:
    with pytest.raises(NotJpeg):
        dimensions(data)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 60))
def test_whatever_is_in_it_there_is_an_answer(noise: bytes, at: int, cut: int) -> None:
    for data in (
        b"\xff\xd8" + noise + b"\xff\xd9",
        PICTURE[:at] + noise + PICTURE[at + cut :],
    ):
        try:
            width, height = dimensions(data)
        except NotJpeg:
            continue
        assert 0 < width < 1 << 16
        assert 0 < height < 1 << 16
