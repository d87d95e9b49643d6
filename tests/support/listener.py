"""A recogniser that tells how much it was fed."""

from typing import Any

from pipeline.frames import Samples
from stages.fakes import FakeTranscriber


class Listener(FakeTranscriber):
    """Hears `text` in every utterance and counts the `samples` of all of them."""

    def __init__(self) -> None:
        super().__init__(texts=("I like to build things that last",))
        self.samples = 0

    def open(self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None) -> Any:
        recognition: Any = super().open(turn, on_partial, hints, language)
        recognition.feed = self._count
        return recognition

    def _count(self, pcm: Samples) -> None:
        self.samples += len(pcm)
