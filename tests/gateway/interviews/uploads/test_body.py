"""The body of an upload, bare or in a form, and what is wrong with some."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from gateway.interviews.uploads import body as body_module
from gateway.interviews.uploads.body import MAX_FIELD_BYTES, SPOOL_BYTES, read_body, takes
from gateway.interviews.uploads.errors import UploadError
from pipeline.testing import run_virtual
from tests.support.examples import examples

MOST = 100_000
FILE = b'Content-Disposition: form-data; name="audio"; filename="a.wav"\r\nContent-Type: audio/wav'
FORM = "multipart/form-data; boundary=XX"


def text(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"'.encode()


def form(*parts: tuple[bytes, bytes], end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(b"--XX\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Read:
    """The result of reading a body."""

    def __init__(
        self,
        data: bytes | AsyncIterator[bytes],
        content_type: str = FORM,
        size: int = 65_536,
        most_bytes: int = MOST,
        **headers: str,
    ) -> None:
        self.error: UploadError | None = None
        self.content = b""
        self.fields: dict[str, str] = {}
        self.media_type = ""
        stream = chunks(data, size) if isinstance(data, bytes) else data
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def main() -> None:
            try:
                found = await read_body(
                    {"content-type": content_type, **named}, stream, most_bytes=most_bytes
                )
            except UploadError as error:
                self.error = error
                return
            with found:
                self.content = found.file.read()
                self.fields, self.media_type = found.fields, found.media_type
                assert len(self.content) == found.size
            assert found.file.closed

        (asyncio.run if most_bytes > SPOOL_BYTES else run_virtual)(main())

    @property
    def refusal(self) -> tuple[int, str]:
        assert self.error is not None
        return self.error.status, self.error.code


# --- what is taken ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["audio/wav", "audio/webm;codecs=opus", "Audio/FLAC", "application/octet-stream", "video/webm"],
)
def test_a_bare_file_is_taken_as_it_is(content_type: str) -> None:
    read = Read(b"RIFF" * 100, content_type)
    assert read.content == b"RIFF" * 100
    assert read.media_type == content_type.partition(";")[0].lower()


@pytest.mark.parametrize("size", [1, 7, 100, 65_536])
def test_a_form_gives_its_file_and_its_fields_however_it_is_cut(size: int) -> None:
    sound = bytes(range(256)) * 3 + b"\r\n--XX\r--X\r\n--"
    data = form((text("question"), "4 – now".encode()), (FILE, sound), (text("last"), b""))
    read = Read(data, size=size)
    assert read.error is None
    assert (sound, {"question": "4 – now", "last": ""}, "audio/wav") == (
        read.content, read.fields, read.media_type,
    )  # fmt: skip


def test_a_part_of_an_audio_type_is_the_file_without_a_name() -> None:
    head = text("answer") + b"\r\nContent-Type: audio/ogg"
    assert Read(form((head, b"OggS"))).content == b"OggS"


def test_a_large_file_lies_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(3 * SPOOL_BYTES)
    found = Read(data, "audio/wav", most_bytes=4 * SPOOL_BYTES)
    assert found.content == data


def test_a_file_may_have_every_byte_that_is_allowed() -> None:
    assert len(Read(bytes(MOST), "audio/wav").content) == MOST
    assert len(Read(form((FILE, bytes(MOST)), (text("x"), bytes(16_000)))).content) == MOST


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("audio/mpeg", True),
        (FORM, True),
        ("video/mp4", True),
        ("application/json", False),
        ("video/avi", False),
        ("", False),
    ],
)
def test_uploads_are_distinguished_from_other_requests(content_type: str, expected: bool) -> None:
    assert expected == takes({"content-type": content_type})


# --- what is refused -------------------------------------------------------------------------


class Endless:
    """A body that goes on until it is no longer read."""

    def __init__(self, first: bytes = b"", chunk: bytes = bytes(10_000)) -> None:
        self.given = 0
        self._first = first
        self._chunk = chunk

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._first
        while True:
            self.given += len(self._chunk)
            yield self._chunk


@pytest.mark.parametrize(
    ("content_type", "first"), [("audio/wav", b""), (FORM, b"--XX\r\n" + FILE + b"\r\n\r\n")]
)
def test_an_endless_body_is_read_no_further_than_allowed(content_type: str, first: bytes) -> None:
    endless = Endless(first)
    assert Read(endless.stream(), content_type).refusal == (413, "too_large")
    assert endless.given <= MOST + 20_000


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    endless = Endless()
    read = Read(endless.stream(), "audio/wav", content_length=str(MOST + 1))
    assert read.refusal == (413, "too_large")
    assert str(read.error) == "The file is larger than 0.0953674 MB"
    assert Read(b"", FORM, content_length="9" * 400).refusal == (413, "too_large")
    assert endless.given == 0


def test_a_form_of_text_without_end_is_refused() -> None:
    endless = Endless(b"--XX\r\n" + text("x") + b"\r\n\r\n")
    assert Read(endless.stream()).refusal == (400, "invalid_form_field")
    assert endless.given <= MAX_FIELD_BYTES + 10_000


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "video/avi"])
def test_other_media_types_are_refused(content_type: str) -> None:
    assert Read(b"RIFF", content_type).refusal == (415, "unsupported_media_type")


def test_a_compressed_body_is_refused() -> None:
    read = Read(b"RIFF", "audio/wav", content_encoding="gzip")
    assert read.refusal == (415, "unsupported_media_type")


MALFORMED: Sequence[tuple[str, bytes, str]] = [
    ("nothing", b"", "invalid_multipart"),
    ("no form", b"RIFF" * 100, "invalid_multipart"),
    ("no end", form((FILE, b"RIFF"), end=b""), "invalid_multipart"),
    ("no file", form((text("x"), b"1")), "no_file"),
    ("two files", form((FILE, b"1"), (FILE, b"2")), "several_files"),
    ("a field twice", form((text("x"), b""), (text("x"), b""), (FILE, b"")), "invalid_form_field"),
    ("a nameless part", form((b"Content-Type: text/plain", b"1")), "invalid_multipart"),
    ("no text", form((text("x"), b"\xff\xfe"), (FILE, b"")), "invalid_form_field"),
    ("a long header", form((FILE + b"\r\nX: " + b"y" * 2000, b"")), "invalid_multipart"),
    ("many headers", form((FILE + b"\r\nX: y" * 20, b"")), "invalid_multipart"),
    ("many fields", form(*((text(f"f{n}"), b"") for n in range(50))), "invalid_multipart"),
    ("a long field", form((text("x"), bytes(20_000)), (FILE, b"")), "invalid_form_field"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expected"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
@pytest.mark.parametrize("size", [3, 65_536])
def test_a_malformed_form_is_refused_with_a_reason(data: bytes, expected: str, size: int) -> None:
    read = Read(data, size=size)
    assert (400, expected) == read.refusal
    assert str(read.error)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"{FORM}{'y' * 5000}"],
)
def test_a_form_without_a_boundary_that_can_be_is_refused(content_type: str) -> None:
    assert Read(form((FILE, b"")), content_type).refusal == (400, "invalid_multipart")


def test_a_client_that_goes_leaves_nothing() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"RIFF"
        raise ClientDisconnect

    assert Read(stream(), "audio/wav").refusal == (400, "incomplete_body")


@pytest.mark.parametrize(("pause_s", "given"), [(30.0, 1), (10.0, 30)])
def test_a_body_that_comes_too_slowly_is_given_up(pause_s: float, given: int) -> None:
    count = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal count
        while True:
            count += 1
            yield b"RIFF"
            await asyncio.sleep(pause_s)

    assert Read(stream(), "audio/wav").refusal == (408, "too_slow")
    assert count == pytest.approx(given, abs=1)


def test_cancelling_deletes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = body_module.tempfile.SpooledTemporaryFile

    def make(**options: Any) -> Any:
        made.append(original(**options))
        return made[-1]

    monkeypatch.setattr(body_module.tempfile, "SpooledTemporaryFile", make)

    async def stream() -> AsyncIterator[bytes]:
        yield b"RIFF"
        await asyncio.sleep(5)

    async def main() -> None:
        reading = asyncio.create_task(
            read_body({"content-type": "audio/wav"}, stream(), most_bytes=MOST)
        )
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()

    run_virtual(main())
    assert [file.closed for file in made] == [True]


@examples(200)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"--XX", b"--XX--", b"\r\n", FILE, text("x"), b"\r\n\r\n", b"\xff"]),
            st.binary(max_size=20),
        ),
        max_size=20,
    ),
    st.integers(1, 50),
)
def test_no_form_makes_it_raise_anything_else(parts: list[bytes], size: int) -> None:
    read = Read(b"".join(parts), size=size)
    assert read.error is None or read.error.status == 400
