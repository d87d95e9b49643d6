"""Chooses the reader of a client's audio, also if the format changes while audio waits."""

from collections import deque
from typing import Generic

from gateway.live.transport import AudioReader, P
from gateway.protocols.dialect import Command, Reconfigure


class AudioReaders(Generic[P]):
    """The readers of one client's audio, in the order of the commands that change its format.

    There is at most one for each waiting command; the ingress pacer bounds how many wait.
    """

    def __init__(self, reader: AudioReader[P]) -> None:
        self.current = reader
        """Decodes the audio that is fed now."""
        self._waiting: deque[tuple[Reconfigure, AudioReader[P]]] = deque()

    def follow(self, command: Reconfigure, reader: AudioReader[P]) -> None:
        """Use `reader` for audio that comes after the command, once `reach` is called with it."""
        self._waiting.append((command, reader))

    def reach(self, command: Command) -> None:
        """Decode with the command's reader from now on: all audio before the command was fed."""
        if self._waiting and self._waiting[0][0] is command:
            self.current = self._waiting.popleft()[1]
