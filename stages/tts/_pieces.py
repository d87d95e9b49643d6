"""Cutting one sentence's audio into pieces with mouth cues, while it is still coming. Pure."""

import numpy as np

from pipeline.frames import Samples, Speech
from stages.tts._mouth import WINDOW_MS, Mouth

PIECE_MS = 200
"""The longest piece handed on at once."""


class Pieces:
    """One sentence's audio in pieces of 40 to 200 ms.

    At least one sample is kept back until the end is known, so that the last piece has the cue that
    closes the mouth.
    """

    def __init__(self, turn: int, rate_hz: int) -> None:
        self.samples = 0
        """How much audio has come so far."""
        self._turn = turn
        self._mouth = Mouth(rate_hz)
        self._kept: Samples = np.zeros(0, np.int16)

    def push(self, pcm: Samples) -> list[Speech]:
        """Take the next audio; give the pieces it completes."""
        self.samples += len(pcm)
        self._kept = np.concatenate((self._kept, pcm))
        window = self._mouth.window
        longest = PIECE_MS // WINDOW_MS * window
        pieces: list[Speech] = []
        while len(self._kept) > window:
            size = min((len(self._kept) - 1) // window * window, longest)
            piece, self._kept = self._kept[:size], self._kept[size:]
            pieces.append(Speech(self._turn, piece, self._mouth.cues(piece)))
        return pieces

    def finish(self) -> list[Speech]:
        """The sentence is over: its last piece, if it had any audio."""
        piece, self._kept = self._kept, self._kept[:0]
        if not len(piece):
            return []
        return [Speech(self._turn, piece, self._mouth.cues(piece, last=True))]
