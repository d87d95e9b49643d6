"""Pictures of a server: decoded to the wanted size, or refused before they cost much."""

import numpy as np
import pytest

from stages.avatar.decoding import LARGEST, MOST_SCANS, JpegDecoder
from stages.avatar.jpeg import NotJpeg
from tests.support.video import jpeg, luma


def resized(data: bytes, width: int, height: int) -> bytes:
    """The same, but for what its frame header says."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def repeated(data: bytes, width: int, height: int) -> bytes:
    """With a second frame header, which says something else."""
    at = data.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:end] + resized(data[at:end], width, height) + data[end:]


@pytest.mark.parametrize("grey", [0, 40, 200, 255])
@pytest.mark.parametrize("source", [192, 320, 640])
def test_a_picture_comes_in_the_size_and_the_range_of_video(grey: int, source: int) -> None:
    pixels = JpegDecoder(320).decode(jpeg(grey, source))
    assert (pixels.shape, pixels.dtype) == ((480, 320), np.uint8)
    assert np.abs(pixels[:320].astype(float) - luma(grey)).max() <= 2
    assert np.abs(pixels[320:].astype(int) - 128).max() <= 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GIF89a" + bytes(100), id="another format"),
        pytest.param(b"\xff\xd8\xff\xd9", id="no picture in it"),
        pytest.param(jpeg(90)[:300] + b"\xff\xd9", id="cut off"),
        pytest.param(resized(jpeg(90), LARGEST + 16, 64), id="too large"),
        pytest.param(repeated(jpeg(90), 60_000, 60_000), id="larger on second thoughts"),
        pytest.param(
            jpeg(90)[:-2] + b"\xff\xda" * MOST_SCANS + b"\xff\xd9", id="a scan for every line"
        ),
    ],
)
def test_what_is_no_picture_is_refused_and_the_next_one_is_fine(data: bytes) -> None:
    decoder = JpegDecoder(64)
    with pytest.raises(NotJpeg):
        decoder.decode(data)
    assert decoder.decode(jpeg(200)).shape == (96, 64)
