"""The size of a JPEG picture from its header, without decoding it. Pure.

::

    NotJpeg(ValueError)   the bytes are not a JPEG picture that browsers show
"""

MIME = "image/jpeg"

MOST_SEGMENTS = 64
"""Tables and comments before the frame header; real files have ten at most."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_SCAN = 0xDA


class NotJpeg(ValueError):
    """The bytes are no JPEG picture, or of a kind that browsers do not show."""


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the frame header (ITU-T T.81, annex B).

    Reads `MOST_SEGMENTS` segments at most, and no compressed data. Raises `NotJpeg`.
    """
    if not data.startswith(_START) or not data.endswith(_END):
        raise NotJpeg("it does not begin or end as JPEG does")
    at = len(_START)
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # a marker may be filled up
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            return _frame_header(data[at + 4 : at + 2 + length])
        if marker == _SCAN or length < 2:
            break
        at += 2 + length
    raise NotJpeg("it has no frame header that is known")


def _frame_header(header: bytes) -> tuple[int, int]:
    if len(header) < 6 or len(header) != 6 + 3 * header[5]:
        raise NotJpeg("its frame header is cut off")
    precision, components = header[0], header[5]
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    if precision != 8 or components not in (1, 3) or not width or not height:
        raise NotJpeg(f"{width} × {height} pixels, {components} components of {precision} bits")
    return width, height
