import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages._coded_body import BadlyCoded, CodedBody

TEXT = b"data: one\n\ndata: two\n\n" * 40


def bare(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


BODIES = {
    "plain": ("", TEXT),
    "no-coding": ("utf-8", TEXT),
    "gzip": ("gzip", gzip.compress(TEXT)),
    "two-members": ("x-gzip", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
    "zlib": ("deflate", zlib.compress(TEXT)),
    "deflate": ("deflate", bare(TEXT)),
}


@pytest.mark.parametrize("name", BODIES)
@given(st.lists(st.integers(0, 200), max_size=5))
def test_a_body_is_the_same_however_it_is_coded_and_cut(name: str, cuts: list[int]) -> None:
    coding, sent = BODIES[name]
    body = CodedBody(coding)
    ends = sorted(min(cut, len(sent)) for cut in cuts)
    parts = [sent[a:b] for a, b in zip([0, *ends], [*ends, len(sent)], strict=True)]
    assert b"".join(piece for part in parts for piece in body.feed(part)) == TEXT


def test_what_was_sent_is_given_at_once() -> None:
    coder, body = zlib.compressobj(wbits=31), CodedBody("gzip")
    for each in (b"data: one\n\n", b"data: two\n\n"):
        sent = coder.compress(each) + coder.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(body.feed(sent)) == each


def test_a_body_that_becomes_too_much_is_given_up() -> None:
    pieces: list[bytes] = []
    with pytest.raises(BadlyCoded, match="too large"):
        pieces.extend(CodedBody("gzip").feed(gzip.compress(bytes(1 << 26))))
    assert sum(map(len, pieces)) < 9 << 20


@pytest.mark.parametrize(
    "sent",
    [b"data: one\n\n", gzip.compress(TEXT, mtime=0)[:10] + b"\xff" * 20],
    ids=["plain", "damaged"],
)
def test_what_is_not_in_its_coding_is_an_error(sent: bytes) -> None:
    with pytest.raises(BadlyCoded, match="cannot be decompressed"):
        list(CodedBody("gzip").feed(sent))
