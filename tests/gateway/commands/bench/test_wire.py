import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.commands.bench.wire import (
    BINARY,
    CLOSE,
    TEXT,
    Frames,
    WireError,
    close,
    close_code,
    masked,
    upgrade,
)


def server() -> ServerProtocol:
    """websockets' own server side, after the upgrade."""
    protocol = ServerProtocol()
    protocol.receive_data(upgrade("127.0.0.1:8000", "/ws/one"))
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    assert request.path == "/ws/one"
    protocol.send_response(protocol.accept(request))
    return protocol


@pytest.mark.parametrize("size", [0, 1, 125, 126, 640, 65_535, 65_536])
def test_a_server_reads_what_was_masked(size: int) -> None:
    protocol = server()
    payload = bytes(n % 251 for n in range(size))
    protocol.receive_data(masked(BINARY, payload))
    (frame,) = protocol.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.data) == (Opcode.BINARY, payload)


def test_a_server_reads_the_close_code() -> None:
    protocol = server()
    protocol.receive_data(close(1001))
    assert protocol.close_rcvd is not None
    assert protocol.close_rcvd.code == 1001


@pytest.mark.parametrize("step", [1, 3, 100_000])
def test_a_servers_frames_are_found_however_they_are_cut(step: int) -> None:
    sent = [
        (Opcode.TEXT, b"{}"),
        (Opcode.BINARY, bytes(640)),
        (Opcode.BINARY, bytes(70_000)),
        (Opcode.TEXT, b""),
    ]
    stream = b"".join(Frame(opcode, data).serialize(mask=False) for opcode, data in sent)
    frames = Frames()
    found = [
        one
        for at in range(0, len(stream), step)
        for one in list(frames.push(stream[at : at + step]))
    ]
    assert found == [(int(opcode), data) for opcode, data in sent]


def test_a_message_in_fragments_is_refused() -> None:
    stream = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=False)
    with pytest.raises(WireError, match="fragments"):
        list(Frames().push(stream))


@pytest.mark.parametrize(("payload", "code"), [(b"\x03\xe8bye", 1000), (b"", 1005)])
def test_the_code_of_a_close_frame_is_read(payload: bytes, code: int) -> None:
    assert (CLOSE, close_code(payload)) == (8, code)


def test_text_is_a_final_masked_text_frame() -> None:
    assert masked(TEXT, b"{}")[:2] == b"\x81\x82"
