"""Cutting frames: the same messages whatever the chunks, and everything odd for the full parser."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.transports.websocket.framing import BINARY, FOR_PARSER, TEXT, FrameSplitter, Piece

LONGEST_TEXT = 300

MASKED_FRAMES = st.builds(
    lambda opcode, data, fin: Frame(opcode, data, fin).serialize(mask=True),
    st.sampled_from([Opcode.BINARY, Opcode.TEXT, Opcode.CONT]),
    st.binary(max_size=400) | st.binary(min_size=640, max_size=640),
    st.booleans(),
)


def audio(data: bytes) -> bytes:
    return Frame(Opcode.BINARY, data).serialize(mask=True)


def text(data: bytes) -> bytes:
    return Frame(Opcode.TEXT, data).serialize(mask=True)


def cut(*chunks: bytes) -> list[Piece]:
    cutter = FrameSplitter(LONGEST_TEXT)
    return [piece for chunk in chunks for piece in cutter.push(chunk)]


def test_audio_frames_are_unmasked() -> None:
    assert cut(audio(b"a" * 640), audio(b"") + audio(b"b" * 3200)) == [
        (BINARY, b"a" * 640),
        (BINARY, b""),
        (BINARY, b"b" * 3200),
    ]


def test_a_frame_is_given_when_it_is_complete() -> None:
    data = audio(b"0123456789")
    assert cut(*(bytes([byte]) for byte in data)) == [(BINARY, b"0123456789")]


def test_texts_are_unmasked_if_they_are_not_too_long_and_need_not_be_utf8() -> None:
    longest, longer = (text(b"t" * size) for size in (LONGEST_TEXT, LONGEST_TEXT + 1))
    assert cut(text(b"{}") + audio(b"a") + text(b"\xff") + longest + longer) == [
        (TEXT, b"{}"),
        (BINARY, b"a"),
        (TEXT, b"\xff"),
        (TEXT, b"t" * LONGEST_TEXT),
        (FOR_PARSER, longer),
    ]


def test_other_frames_are_handed_on_whole() -> None:
    ping = Frame(Opcode.PING, b"").serialize(mask=True)
    part = Frame(Opcode.BINARY, b"12", fin=False).serialize(mask=True)
    reserved = bytes([audio(b"1")[0] | 0x40]) + audio(b"1")[1:]
    assert cut(ping + part + reserved) == [
        (FOR_PARSER, ping),
        (FOR_PARSER, part),
        (FOR_PARSER, reserved),
    ]


def test_from_an_unmasked_frame_on_everything_is_for_the_full_parser() -> None:
    unmasked = Frame(Opcode.BINARY, b"123456").serialize(mask=False)
    later = audio(b"later")
    assert cut(audio(b"ok") + unmasked, later) == [
        (BINARY, b"ok"),
        (FOR_PARSER, unmasked),
        (FOR_PARSER, later),
    ]


def test_nothing_is_held_back_of_a_frame_that_is_too_long() -> None:
    header = bytes([0x82, 0xFF]) + (1 << 40).to_bytes(8, "big") + bytes(4)
    assert cut(header, b"x" * 100_000) == [(FOR_PARSER, header), (FOR_PARSER, b"x" * 100_000)]


def test_messages_between_the_fragments_of_one_are_for_the_full_parser() -> None:
    first = Frame(Opcode.TEXT, b"{", fin=False).serialize(mask=True)
    last = Frame(Opcode.CONT, b"}").serialize(mask=True)
    assert cut(first + last + audio(b"yes")) == [
        (FOR_PARSER, first),
        (FOR_PARSER, last),
        (BINARY, b"yes"),
    ]
    for between in (audio(b"no"), text(b"no")):
        assert cut(first + between) == [(FOR_PARSER, first), (FOR_PARSER, between)]


@given(st.lists(MASKED_FRAMES, max_size=12), st.lists(st.integers(1, 900), max_size=20))
def test_the_same_frames_whatever_the_chunks(frames: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(frames)
    chunks, position = [], 0
    for size in sizes:
        chunks.append(stream[position : position + size])
        position += size
    chunks.append(stream[position:])
    assert cut(*chunks) == cut(*frames)


def test_it_is_between_frames_while_it_holds_nothing_and_no_message_is_under_way() -> None:
    splitter = FrameSplitter(LONGEST_TEXT)
    found = [splitter.between]
    whole = audio(b"1234")
    begun = Frame(Opcode.BINARY, b"12", fin=False).serialize(mask=True)
    ended = Frame(Opcode.CONT, b"34").serialize(mask=True)
    for data in (whole, whole[:5], whole[5:], begun, ended, b"\x81\x80"):
        splitter.push(data)
        found.append(splitter.between)
    assert found == [True, True, False, True, False, True, False]


def test_it_is_never_between_frames_again_once_it_has_given_up() -> None:
    splitter = FrameSplitter(LONGEST_TEXT)
    splitter.push(Frame(Opcode.BINARY, b"123456").serialize(mask=False))
    splitter.push(audio(b"later"))
    assert not splitter.between
