"""The body of an upload: one audio file, bare or in a form; a large file is stored on disk.

The multipart parser is python-multipart (Apache-2.0, pure Python, maintained by starlette's
maintainers), which stores no data itself. The alternative, `multipart`, has more limits built in,
but both install a module of the same name and starlette's users have the first. So this module sets
the limits: on all bytes before they are stored, on parts, headers, text fields and time.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from gateway.interviews.uploads.errors import (
    UploadError,
    UploadMalformed,
    UploadNotTaken,
    UploadTooLarge,
    UploadTooSlow,
)

# It logs every malformed body; the client gets an error, so no log line is needed.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

SPOOL_BYTES = 1 << 20
"""A larger file is moved from memory to an anonymous temporary file."""

MAX_FIELDS = 16
MAX_FIELD_BYTES = 16 << 10
MAX_HEADER_BYTES = 1 << 10
MAX_HEADERS = 8

FORM_BYTES = (MAX_FIELDS + 1) * (MAX_FIELD_BYTES + 2 * MAX_HEADER_BYTES)
"""The most bytes of a form without its file."""

STALL_S = 20.0
TOTAL_S = 300.0
"""The next bytes of a body must arrive within STALL_S, the whole body within TOTAL_S: 25 MB at 0.7
Mbit/s."""

_CONTAINERS = ("application/ogg", "application/octet-stream", "video/webm", "video/mp4")
"""Media types, besides audio/*, with which browsers and tools send recordings."""


@dataclass(slots=True)
class UploadBody:
    """A received file. Its content is unchecked, and its media type is the client's claim.

    Use it as a context manager: leaving deletes the file. `fields` are a form's text fields.
    """

    file: BinaryIO
    size: int = 0
    media_type: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Delete the file."""
        self.file.close()

    def __enter__(self) -> "UploadBody":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def takes(headers: Mapping[str, str]) -> bool:
    """Whether the request's media type is one of an upload, and not JSON, for example."""
    media_type = _media_type(headers)
    return media_type == "multipart/form-data" or _is_audio(media_type)


async def read_body(
    headers: Mapping[str, str], stream: AsyncIterator[bytes], *, most_bytes: int
) -> UploadBody:
    """Read a request's body: bare `audio/*`, or `multipart/form-data` with one file in it.

    `headers` have lower-case names (or are starlette's); `stream` is `request.stream()`. A part of
    a form is its file if it has a file name or an audio type; other parts are text.

    Raises `UploadMalformed`, `UploadTooSlow`, `UploadTooLarge` and `UploadNotTaken`; after
    `UploadTooSlow` and `UploadTooLarge` the connection cannot be used again. After an error or a
    cancellation no data is left.
    """
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UploadNotTaken("unsupported_media_type", "The body must not be compressed")
    media_type = _media_type(headers)
    form: _Form | None = None
    allowed = most_bytes
    if media_type == "multipart/form-data":
        allowed += FORM_BYTES
        form = _Form(headers["content-type"])
    elif not _is_audio(media_type):
        message = "The body must be sent as multipart/form-data or as audio/…"
        raise UploadNotTaken("unsupported_media_type", message)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > allowed:
        raise _too_large(most_bytes)
    body = UploadBody(
        cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)),  # noqa: SIM115
        media_type=media_type,
    )
    try:
        await _receive(body, form, stream, allowed, most_bytes)
        if form is not None:
            form.complete()
            body.fields, body.media_type = form.fields, form.media_type
        body.file.seek(0)
    except BaseException:
        body.close()
        raise
    return body


async def _receive(
    body: UploadBody,
    form: "_Form | None",
    stream: AsyncIterator[bytes],
    allowed: int,
    most_bytes: int,
) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + TOTAL_S
    received = 0
    try:
        while True:
            async with asyncio.timeout_at(min(ends, loop.time() + STALL_S)):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            received += len(chunk)
            if received > allowed:
                raise _too_large(most_bytes)
            data = chunk if form is None else form.feed(chunk)
            body.size += len(data)
            if body.size > most_bytes:
                raise _too_large(most_bytes)
            if body.size <= SPOOL_BYTES:
                body.file.write(data)
            else:  # writing to disk may block
                await asyncio.to_thread(body.file.write, data)
    except TimeoutError:
        raise UploadTooSlow("too_slow", "The body came too slowly") from None
    except ClientDisconnect:
        raise UploadMalformed("incomplete_body", "The body broke off") from None


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_audio(media_type: str) -> bool:
    return media_type.startswith("audio/") or media_type in _CONTAINERS


def _too_large(most_bytes: int) -> UploadError:
    return UploadTooLarge("too_large", f"The file is larger than {most_bytes / (1 << 20):g} MB")


class _Form:
    """A multipart body that is parsed as it arrives. `feed` returns the bytes of the file."""

    def __init__(self, content_type: str) -> None:
        self.fields: dict[str, str] = {}
        self.media_type = ""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise _malformed("it has no boundary")
        self._ended = False
        self._files = 0
        self._parts = 0
        self._in_file = False
        self._name = ""
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._text = bytearray()
        self._data: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, start, end: self._header.extend(
                        data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_ends,
                    "on_end": self._end,
                },
                max_header_count=MAX_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError:
            raise _malformed("its boundary is too long") from None

    def feed(self, chunk: bytes) -> bytes:
        """Parse the body's next bytes; returns those that belong to the file."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _malformed("its parts cannot be told apart") from None
        data, self._data = b"".join(self._data), []
        return data

    def complete(self) -> None:
        """Raises `UploadMalformed` unless the form has ended and had a file."""
        if not self._ended:
            raise _malformed("it has no end")
        if not self._files:
            raise UploadMalformed("no_file", "The form holds no file")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_FIELDS + 1:
            raise _malformed(f"it has more than {MAX_FIELDS} fields")
        self._headers.clear()
        self._text.clear()

    def _header_ends(self) -> None:
        self._headers[bytes(self._header).strip().lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("a part has no name")
        self._name = _text(options[b"name"], "the name of a field")
        media_type = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        self._in_file = b"filename" in options or media_type.startswith(b"audio/")
        if self._in_file:
            self._files += 1
            if self._files > 1:
                raise UploadMalformed("several_files", "The form holds more than one file")
            self.media_type = media_type.decode("latin-1")
        elif self._name in self.fields:
            raise UploadMalformed("invalid_form_field", "A field of the form comes twice")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            message = f"A text field of the form is longer than {MAX_FIELD_BYTES >> 10} kB"
            raise UploadMalformed("invalid_form_field", message)

    def _part_ends(self) -> None:
        if not self._in_file:
            self.fields[self._name] = _text(bytes(self._text), "a field of the form")

    def _end(self) -> None:
        self._ended = True


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UploadMalformed("invalid_form_field", f"{what.capitalize()} is no UTF-8") from None


def _malformed(reason: str) -> UploadMalformed:
    return UploadMalformed("invalid_multipart", f"The body is no multipart form: {reason}")
