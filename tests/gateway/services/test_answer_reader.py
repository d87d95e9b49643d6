"""What an answer is, where it ends, and what is none, however its bytes come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.answer_reader import (
    LONGEST_CHUNK_LINE_BYTES,
    LONGEST_HEAD_BYTES,
    AnswerReader,
    MalformedAnswer,
)

OK = b"HTTP/1.1 200 OK\r\n"


def read(*parts: bytes, head_only: bool = False, ends: bool = False) -> tuple[AnswerReader, bytes]:
    reader = AnswerReader(head_only=head_only)
    body = b"".join(piece for part in parts for piece in reader.feed(part))
    if ends:
        reader.end()
    return reader, body


WHOLE = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "chunks": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n",
        200,
        b"hello!",
        True,
    ),
    "trailers": (
        OK + b"transfer-encoding: chunked\r\n\r\n00A \r\n0123456789\r\n0\r\nx-a: 1\r\n\r\n",
        200,
        b"0123456789",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "unchanged": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok",
        201,
        b"ok",
        True,
    ),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 4\n\na\r\n\r", 200, b"a\r\n\r", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", 200, b"a", True),
    "the same length twice": (
        OK + b"content-length: 2\r\ncontent-length: 2, 2\r\n\r\nab",
        200,
        b"ab",
        True,
    ),
    "closing": (OK + b"Connection: x, Close\r\ncontent-length: 1\r\n\r\na", 200, b"a", False),
    "older": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", 200, b"a", False),
    "length beside chunks": (
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        200,
        b"a",
        False,
    ),
    "other protocol": (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", 101, b"", False),
}


@pytest.mark.parametrize(("data", "status", "body", "keeps"), WHOLE.values(), ids=[*WHOLE])
def test_an_answer_is_read_however_it_comes(
    data: bytes, status: int, body: bytes, keeps: bool
) -> None:
    for parts in ((data,), tuple(data[at : at + 1] for at in range(len(data)))):
        reader, got = read(*parts)
        assert (reader.status, got, reader.complete, reader.keeps) == (status, body, True, keeps)


@pytest.mark.parametrize("case", [*WHOLE])
@given(cuts=st.lists(st.integers(0, 120), max_size=4))
def test_an_answer_is_the_same_wherever_it_is_cut(case: str, cuts: list[int]) -> None:
    data, status, body, keeps = WHOLE[case]
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = (data[begin:end] for begin, end in pairwise(at) if begin < end)
    reader, got = read(*parts)
    assert (reader.status, got, reader.complete, reader.keeps) == (status, body, True, keeps)


@pytest.mark.parametrize("case", [*WHOLE])
def test_what_comes_behind_an_answer_is_none_of_it_and_ends_its_connection(case: str) -> None:
    data, _, body, _ = WHOLE[case]
    extra = OK + b"content-length: 4\r\n\r\nevil"
    for parts in ((data + extra,), (data, extra), (data, b"e")):
        reader, got = read(*parts)
        assert (got, reader.complete, reader.keeps) == (body, True, False)


@pytest.mark.parametrize("case", ["length", "chunks", "nothing"])
def test_an_answer_to_head_has_no_body(case: str) -> None:
    data = WHOLE[case][0].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    reader, got = read(data, head_only=True)
    assert (got, reader.complete, reader.keeps) == (b"", True, True)
    reader, got = read(data + b"hello", head_only=True)
    assert (got, reader.complete, reader.keeps) == (b"", True, False)


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    reader, got = read(OK + b"\r\nall", b" of it")
    assert (got, reader.complete) == (b"all of it", False)
    reader.end()
    assert (reader.complete, reader.keeps) == (True, False)


@pytest.mark.parametrize("case", ["length", "chunks", "trailers", "interim"])
def test_an_end_before_the_answers_own_is_told(case: str) -> None:
    data = WHOLE[case][0]
    for cut in range(len(data)):
        with pytest.raises(EOFError):
            read(*filter(None, (data[:cut],)), ends=True)
    assert read(data, ends=True)[0].complete


def test_headers_have_small_names_and_values_without_blanks_around() -> None:
    reader, _ = read(
        OK + b"X-One: \t a b \r\nset-cookie:a=1\r\nSet-Cookie: b=2\r\nX-Long: a\r\n \t b\r\n c\r\n"
        b"Content-Length: 0\r\ncontent-length: 0\r\n\r\n"
    )
    assert reader.headers == [
        (b"x-one", b"a b"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-long", b"a b c"),
        (b"content-length", b"0"),
    ]


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
MALFORMED = {
    "another protocol": b"220 smtp.example ESMTP\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a line without a colon": OK + b"content-length\r\n\r\n",
    "a blank before the colon": OK + b"content-length : 5\r\n\r\n",
    "a name with a control": OK + b"x\x00a: 5\r\n\r\n",
    "half a line first": OK + b" x-a: 1\r\n\r\n",
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
    "two lengths in one": OK + b"content-length: 5, 6\r\n\r\n",
    "a negative length": OK + b"content-length: -5\r\n\r\n",
    "an odd length": OK + b"content-length: 5_0\r\n\r\n",
    "a huge length": OK + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
    "another coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
    "two codings": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "no size": CHUNKED + b"\r\n",
    "a size with a sign": CHUNKED + b"+5\r\n",
    "a size with an underline": CHUNKED + b"1_0\r\n",
    "a huge size": CHUNKED + b"f" * 17 + b"\r\n",
    "a chunk that is longer": CHUNKED + b"1\r\nab\r\n",
    "a size with a bare line feed": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "a chunk with a bare line feed": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a control in an extension": CHUNKED + b"1;a\rb\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=[*MALFORMED])
def test_what_has_two_meanings_or_none_is_refused(data: bytes) -> None:
    for parts in ((data,), tuple(data[at : at + 1] for at in range(len(data)))):
        with pytest.raises(MalformedAnswer):
            read(*parts)


LINE = b"x-a: " + b"a" * 1000 + b"\r\n"
ENDLESS = {
    "head": (OK, LINE, LONGEST_HEAD_BYTES),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n", LONGEST_HEAD_BYTES),
    "line of a chunk": (CHUNKED, b"0" * 1000, LONGEST_CHUNK_LINE_BYTES),
    "extension": (CHUNKED, b"1;" + b"a" * 1000, LONGEST_CHUNK_LINE_BYTES),
    "trailers": (CHUNKED + b"0\r\n", LINE, LONGEST_HEAD_BYTES),
}


@pytest.mark.parametrize(("begin", "part", "most"), ENDLESS.values(), ids=[*ENDLESS])
def test_no_part_of_an_answer_is_endless(begin: bytes, part: bytes, most: int) -> None:
    reader = AnswerReader()
    for data in filter(None, (begin, *([part] * (most // len(part) - 1)))):
        reader.feed(data)
    with pytest.raises(MalformedAnswer):
        read_on(reader, part * 3)


def read_on(reader: AnswerReader, data: bytes) -> None:
    """Byte by byte, so that the limit holds for what is waited for, too."""
    for at in range(len(data)):
        reader.feed(data[at : at + 1])


def test_a_long_head_that_ends_is_too_long_all_the_same() -> None:
    head = OK + LINE * (LONGEST_HEAD_BYTES // len(LINE) + 1) + b"\r\n"
    with pytest.raises(MalformedAnswer):
        read(head)


def test_small_chunks_that_come_together_are_one_piece() -> None:
    reader = AnswerReader()
    assert reader.feed(CHUNKED + b"1\r\na\r\n" * 100) == (b"a" * 100,)
