import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages._sse import MAX_EVENT_BYTES, MAX_LINE_BYTES, EventStream, MalformedStream


def decoded(*chunks: bytes) -> list[str]:
    stream = EventStream()
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events + stream.finish()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data:one\n\n", ["one"]),
        (b"data:  one \n\n", [" one "]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r", ["one", "two"]),
        (b"data: one\ndata\ndata: two\n\n", ["one\n\ntwo"]),
        (b": keep-alive\n\n:\n\n\n\ndata: one\n\n", ["one"]),
        (b"event: chunk\nid: 7\nretry: 10\ndata: one\nother: x\n\n", ["one"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        (b"data: a:b\n\n", ["a:b"]),
        (b"data:\n\ndata: \n\ndata: one\n\n", ["one"]),
        (b"database: one\n\n", []),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[str]) -> None:
    assert events == decoded(stream)


def test_an_event_without_its_blank_line_counts_if_its_line_is_whole() -> None:
    assert decoded(b"data: one\n\ndata: two\n") == ["one", "two"]
    assert decoded(b"data: one\n\ndata: tw") == ["one"]


def test_events_are_given_as_soon_as_they_are_complete() -> None:
    stream = EventStream()
    assert stream.feed(b"data: one\r\n") == []
    assert stream.feed(b"\r") == ["one"]
    assert stream.feed(b"\ndata: two\n\n") == ["two"]


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "", ":", ": ping", "data", "event: x", "data: é你🙂", "\ufeffdata: x"]
        ),
        st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=8).map(
            "data: {}".format
        ),
    ),
    max_size=12,
)


@given(LINES, st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_events_do_not_depend_on_how_the_bytes_were_cut(
    lines: list[str], end: str, data: st.DataObject
) -> None:
    stream = "".join(line + end for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [
        stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]
    assert decoded(stream) == decoded(*chunks)
    assert decoded(stream) == decoded(*(bytes([byte]) for byte in stream))


@given(st.lists(st.text(st.characters(exclude_characters="\r", codec="utf-8"), min_size=1)))
def test_what_is_written_as_events_is_read_back(texts: list[str]) -> None:
    stream = "".join(
        "".join(f"data: {line}\n" for line in text.split("\n")) + "\n" for text in texts
    )
    assert texts == decoded(stream.encode())


def test_a_line_or_an_event_without_end_is_refused() -> None:
    longest = b"data:" + b"x" * (MAX_LINE_BYTES - 6) + b"\n"
    assert [len(longest) - 6] == [len(event) for event in decoded(longest, b"\n")]
    with pytest.raises(MalformedStream, match="line"):
        decoded(longest[:-1], b"xx")
    with pytest.raises(MalformedStream, match="event"):
        decoded(*[longest] * (MAX_EVENT_BYTES // MAX_LINE_BYTES + 1))
    assert len(decoded(*[longest, b"\n"] * 3)) == 3
