"""Which reader decodes a client's audio, where it changes its format while audio waits."""

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
        """Audio that comes after the command is for `reader`; `reach` puts it to use."""
        self._waiting.append((command, reader))

    def reach(self, command: Command) -> None:
        """All audio before a command was fed: from here on its reader decodes."""
        if self._waiting and self._waiting[0][0] is command:
            self.current = self._waiting.popleft()[1]
