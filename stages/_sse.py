"""Server-sent events: the events in a stream of bytes that is cut anywhere. Pure.

Follows "Interpreting an event stream" of the WHATWG HTML standard, with three exceptions for real
servers: at the end of the stream, an event without its blank line counts if its last line is whole;
an event without text (a keep-alive) never counts; and JSON objects that each have a line
are events of their own, be it without `data:`, as lines of NDJSON, or without blank lines between.
"""

MAX_LINE_BYTES = 64 << 10
MAX_EVENT_BYTES = 256 << 10

_BOM = b"\xef\xbb\xbf"


class MalformedStream(ValueError):
    """A line or an event is longer than its limit."""


class EventStream:
    """Decodes one stream. `event`, `id` and `retry` fields are ignored: only data is wanted."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False  # a line feed at the start of the next chunk ends no further line
        self._first = True

    def feed(self, chunk: bytes) -> list[str]:
        """The data of each event that `chunk` completes, its lines joined by line feeds.

        Raises `MalformedStream` for a line over 64 KiB or an event over 256 KiB. Bytes that are not
        UTF-8 become replacement characters.
        """
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        events: list[str] = []
        for part in chunk.splitlines(keepends=True):
            self._line += part
            if len(self._line) > MAX_LINE_BYTES:
                raise MalformedStream(f"a line of more than {MAX_LINE_BYTES} bytes")
            if part.endswith((b"\n", b"\r")):
                line = bytes(self._line).rstrip(b"\r\n")
                self._line.clear()
                self._take(line, events)
        return events

    def finish(self) -> list[str]:
        """End the stream: returns the event whose blank line is missing, if any."""
        events: list[str] = []
        self._dispatch(events)
        return events

    def _take(self, line: bytes, events: list[str]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            if len(self._data) == 1 and _is_whole(self._data[0]) and _begins(value):
                self._dispatch(events)  # there should have been a blank line
            self._data.append(value)
            self._data_bytes += len(value) + 1
            if self._data_bytes > MAX_EVENT_BYTES:
                raise MalformedStream(f"an event of more than {MAX_EVENT_BYTES} bytes")
        elif _is_whole(line):
            self._dispatch(events)
            events.append(line.decode(errors="replace"))

    def _dispatch(self, events: list[str]) -> None:
        text = b"\n".join(self._data).decode(errors="replace")
        self._data, self._data_bytes = [], 0
        if text:
            events.append(text)


def _is_whole(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")


def _begins(line: bytes) -> bool:
    return line.startswith((b"{", b"[DONE]"))
