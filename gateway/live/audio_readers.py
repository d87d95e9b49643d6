"""Which reader decodes a client's audio, where it changes its format while audio waits."""

from collections import deque
from typing import Generic

from gateway.live.transport import AudioReader, P
from gateway.protocols.dialect import Command, Reconfigure


class AudioReaders(Generic[P]):
    """One client's readers, in the order of the commands that change its format.

    At most one for each command that waits, which the ingress pacer bounds.
    """

    def __init__(self, reader: AudioReader[P]) -> None:
        self.current = reader
        """Decodes the audio that is fed now."""
        self._waiting: deque[tuple[Reconfigure, AudioReader[P]]] = deque()

    def follow(self, command: Reconfigure, reader: AudioReader[P]) -> None:
        """What comes behind the command is for `reader`; what waits is still decoded as it came."""
        self._waiting.append((command, reader))

    def reach(self, command: Command) -> None:
        """All audio before a command was fed: it holds from here on."""
        if self._waiting and self._waiting[0][0] is command:
            self.current = self._waiting.popleft()[1]
