"""The files of a session that `journals` writes: the journal, and beside it the person's audio.

The event loop hands pieces over, and one thread writes them. If a piece is lost, its file ends
there: a journal with a gap would replay to other decisions, and every position after a gap in the
audio would be wrong.
"""

import logging
import os
import queue
import struct
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from pipeline.frames import INPUT_RATE_HZ, Samples

logger = logging.getLogger("parley.journals")

PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL

WAITING_LINES = 10_000
"""About a megabyte: the lines of a thousand sessions in a second."""

WAITING_AUDIO_BYTES = 16 * 1024 * 1024
"""Audio that waits for the disk: more than a second of 500 sessions."""

PIECE_BYTES = INPUT_RATE_HZ
"""Audio is handed over in pieces of half a second or more; a process that dies loses the last."""

MAX_AUDIO_BYTES = 512 * 1024 * 1024
"""The audio of one session: 4 h 39 min."""

MOST_AT_ONCE = 99
"""The most journals of one session that begin in the same second."""

HEADER_BYTES = 44
"""The length of a WAV file's header: RIFF, `fmt ` of 16 bytes, and the head of `data`."""

AUDIO = ".wav"
"""The ending of the audio beside a journal."""

Entry: TypeAlias = "tuple[KeptFile, str | bytes] | str | None"
"""For the thread: a piece of a file ("": it has ended), a session whose files are to be deleted,
or the end."""


class WaitingWrites:
    """The queue of entries for the thread. The event loop puts them, the thread takes them."""

    def __init__(self) -> None:
        self._entries: queue.Queue[Entry] = queue.Queue()
        # Bytes of audio. One side writes each of them, so that neither needs a lock.
        self._audio_put = 0
        self._audio_taken = 0

    def offer(self, entry: Entry) -> bool:
        """Put an entry, unless too much waits."""
        if self._entries.qsize() >= WAITING_LINES:
            return False
        size = _audio_bytes(entry)
        if size and self._audio_put - self._audio_taken + size > WAITING_AUDIO_BYTES:
            return False
        self._audio_put += size
        self._entries.put_nowait(entry)
        return True

    def put(self, entry: Entry) -> None:
        """Put an entry in any case: that a file has ended, or that all have."""
        self._entries.put_nowait(entry)

    def take(self) -> Entry:
        """The next entry. Blocks."""
        entry = self._entries.get()
        self._audio_taken += _audio_bytes(entry)
        return entry


def _audio_bytes(entry: Entry) -> int:
    return len(entry[1]) if isinstance(entry, tuple) and isinstance(entry[1], bytes) else 0


class KeptFile(ABC):
    """A file of one session. The event loop hands over; `create` and `append` are the thread's."""

    def __init__(self, path: Path, waiting: WaitingWrites) -> None:
        self.path = path
        self.broken = False
        """Whether the file takes no further pieces."""
        self.failed = False
        """Whether a piece could not be written."""
        self.file: IO[Any] | None = None
        self._waiting = waiting

    def _hand(self, piece: str | bytes) -> None:
        """Pass a piece to the thread. Neither blocks nor raises."""
        if not self.broken and not self._waiting.offer((self, piece)):
            self.broken = True
            logger.warning("%s ends early: the disk does not keep up", self.path)

    def close(self) -> None:
        """End the file: no piece follows. Its entry is put however much waits, because the thread
        would otherwise leave the file open."""
        self._waiting.put((self, ""))

    @abstractmethod
    def create(self) -> bool:
        """Open a new file; False if there is to be none. Raises `OSError`."""

    @abstractmethod
    def append(self, piece: str | bytes) -> None:
        """Write a piece. Raises `OSError`."""


class JournalFile(KeptFile):
    """The journal, and the person's `audio` if that is kept; both are closed together."""

    def __init__(self, path: Path, waiting: WaitingWrites, *, audio: bool = False) -> None:
        super().__init__(path, waiting)
        self.audio = AudioFile(self, waiting) if audio else None

    def write(self, line: str) -> None:
        """Take a line. Neither blocks nor raises."""
        self._hand(line)

    def close(self) -> None:
        if self.audio is not None:
            self.audio.close()
        super().close()

    def create(self) -> bool:
        # Readable by its owner only: it holds who spoke when, and with `texts` the words.
        self.file = os.fdopen(self._private(), "w", encoding="utf-8", buffering=1)
        return True

    def append(self, piece: str | bytes) -> None:
        assert self.file is not None
        self.file.write(piece)

    def _private(self) -> int:
        """Make the file; a session that begins twice in a second has two."""
        first = self.path
        for more in range(2, MOST_AT_ONCE + 1):
            with suppress(FileExistsError):
                return os.open(self.path, PRIVATE, 0o600)
            self.path = first.with_name(f"{first.stem}.{more}{first.suffix}")
        return os.open(self.path, PRIVATE, 0o600)


class AudioFile(KeptFile):
    """All input audio of the session, as a WAV file beside its journal: mono, 16 kHz, 16 bit.

    Sample `n` of the file is sample `n` of the session's input, whose position is what chunks,
    `SpeechStarted` and `SpeechStopped` have. The header is written again with each piece, so that
    the file can be read at any time, and after its process died.
    """

    def __init__(self, journal: JournalFile, waiting: WaitingWrites) -> None:
        super().__init__(journal.path.with_suffix(AUDIO), waiting)
        self._journal = journal
        self._piece = bytearray()
        self._taken = 0
        self._written = 0  # of the thread

    def keep(self, pcm: Samples) -> None:
        """Take the next input audio. Neither blocks nor raises."""
        if self.broken:
            return
        self._piece += pcm.astype("<i2", copy=False).tobytes()
        if len(self._piece) < PIECE_BYTES:
            return
        self._hand_over()
        if self._taken >= MAX_AUDIO_BYTES and not self.broken:
            self.broken = True
            logger.warning("%s ends early: it is full", self.path)

    def close(self) -> None:
        if self._piece and not self.broken:
            self._hand_over()
        super().close()

    def _hand_over(self) -> None:
        piece = bytes(self._piece)
        self._piece.clear()
        self._taken += len(piece)
        self._hand(piece)

    def create(self) -> bool:
        self.path = self._journal.path.with_suffix(AUDIO)
        if not self._journal.path.exists():  # deleted with its session, or it gave way
            return False
        self.file = os.fdopen(os.open(self.path, PRIVATE, 0o600), "wb")
        return True

    def append(self, piece: str | bytes) -> None:
        assert self.file is not None
        assert isinstance(piece, bytes)
        if not self._written:
            self.file.write(wav_header(0))
        self.file.write(piece)
        self.file.flush()
        self._written += len(piece)
        os.pwrite(self.file.fileno(), wav_header(self._written), 0)


def wav_header(size: int) -> bytes:
    """The first `HEADER_BYTES` of a WAV file with `size` bytes of input audio."""
    rate, width = INPUT_RATE_HZ, 2
    about = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width)
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + size, b"WAVE")
    return riff + about + struct.pack("<4sI", b"data", size)
