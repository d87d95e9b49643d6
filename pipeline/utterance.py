"""One utterance's audio, kept whole so that any recogniser can take all of it."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from pipeline.languages import check_language
from pipeline.stage import Recognition, Transcriber
from pipeline.wordless import worded

logger = logging.getLogger("parley.session")

LONGEST_S = 120
"""Audio beyond this is not kept. Twice the longest turn, since a turn may be continued."""


class Utterance:
    """The audio of one turn, and its recognition.

    During speech the audio also goes to `stage`, if there is one, so that its recognition is nearly
    done when the person stops. `recognise` hands all of the audio to another transcriber. Each gets
    the `hints`, names and terms that are likely to be said, and the `language` that is spoken.
    """

    def __init__(
        self,
        turn: int,
        audio: Samples,
        end: int,
        stage: Transcriber | None,
        on_partial: Callable[[Transcript], None] | None = None,
        *,
        typed: str = "",
        hints: tuple[str, ...] = (),
        language: str | None = None,
        lost: int = 0,
    ) -> None:
        self.turn = turn
        self.typed = typed
        """Typed text of the same turn; it follows the spoken words."""
        self.end = end
        """The position in the input audio (samples) up to which the utterance has come."""
        self.lost = lost
        """Samples that were spoken and are not kept, because there were too many."""
        self._start = end - len(audio)
        self._audio = [audio]
        self._length = len(audio)
        self._stage = stage
        self._on_partial = on_partial
        self._hints = hints
        self._language = language
        self._recognition: Recognition | None = None
        self._cancelled = False
        self.reopen()

    def reopen(self) -> None:
        """Go on after `recognise` was called too early: recognition begins again."""
        if self._stage is None:
            return
        self._cancelled = False
        on_partial = None if self._on_partial is None else self._partial
        try:
            self._recognition = self._stage.open(self.turn, on_partial, self._hints, self._language)
        except Exception:  # only a head start is lost: `recognise` opens it again, guarded
            logger.exception("recogniser %r could not begin early", self._stage.provider)
        else:
            self._recognition.feed(self.audio)

    @property
    def audio(self) -> Samples:
        if len(self._audio) > 1:  # the next call returns the same array, without a copy
            self._audio = [np.concatenate(self._audio)]
        return self._audio[0]

    def tail(self, samples: int) -> Samples:
        """The last `samples` of the audio, or all of it if it has fewer."""
        pieces: list[Samples] = []
        missing = samples
        for piece in reversed(self._audio):
            pieces.append(piece[max(0, len(piece) - missing) :])
            missing -= len(pieces[-1])
            if not missing:
                break
        return np.concatenate(pieces[::-1])

    def since(self, position: int) -> Samples:
        """The audio from a position in the input audio on."""
        return self.audio[max(0, position - self._start) :]

    @property
    def start_ms(self) -> int:
        """Where in the input audio the utterance begins."""
        return self._start * 1000 // INPUT_RATE_HZ

    @property
    def duration_ms(self) -> int:
        """How much audio it has."""
        return self._length * 1000 // INPUT_RATE_HZ

    def joined(self, more: Samples) -> tuple[Samples, int]:
        """This utterance's audio with `more` after it, `LONGEST_S` at most, and the audio that it
        has `lost` so far."""
        whole = np.concatenate((*self._audio, more))
        kept = whole[: LONGEST_S * INPUT_RATE_HZ]
        return kept, self.lost + len(whole) - len(kept)

    def feed(self, pcm: Samples) -> None:
        """The next input audio. A plain call; audio past `LONGEST_S` is not kept but counted."""
        self.end += len(pcm)
        if self._length >= LONGEST_S * INPUT_RATE_HZ:
            self.lost += len(pcm)
            return
        self._audio.append(pcm)
        self._length += len(pcm)
        if self._recognition is not None:
            self._recognition.feed(pcm)

    def recognise(self, stage: Transcriber) -> AsyncIterator[Transcript]:
        """The utterance is over: yields its transcripts by `stage`, the last one final.

        Raises `CallerError` if the stage does not understand the language.
        """
        check_language("stt", stage, self._language)
        if stage is self._stage and self._recognition is not None:
            recognition, self._recognition = self._recognition, None
        else:
            recognition = stage.open(self.turn, None, self._hints, self._language)
            recognition.feed(self.audio)
        return _finish(recognition)

    def cancel(self) -> None:
        """Stop recognising and reporting partials; the audio is kept. Idempotent."""
        self._cancelled = True
        if self._recognition is not None:
            self._recognition.cancel()
            self._recognition = None

    def _partial(self, transcript: Transcript) -> None:
        if self._on_partial is not None and not self._cancelled:
            self._on_partial(worded(transcript))


async def _finish(recognition: Recognition) -> AsyncIterator[Transcript]:
    transcripts = recognition.finish()
    try:
        async for transcript in transcripts:
            yield transcript
    finally:
        recognition.cancel()
        if isinstance(transcripts, AsyncGenerator):  # else it would be closed later, unguarded
            await transcripts.aclose()
