"""Recognition in a worker elsewhere: `parley worker stt`, or another server that speaks the
protocol of `docs/worker-protocol.md`.

If the worker dies, or is given up because it does not answer, all audio of the utterance so far
goes to another worker, at once and only once. If that worker fails too, the call fails, and the
next candidate gets the utterance.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from pipeline.errors import StageFailed
from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from pipeline.guard import first_due
from pipeline.utterance import LONGEST_S
from stages._remote_call import RemoteCall, RemoteReply
from stages._remote_lines import RemoteLines
from stages._remote_protocol import LONGEST_HINT, MOST_HINTS, Fields, ProtocolViolation, transcript

MESSAGE_SAMPLES = INPUT_RATE_HZ // 10
LIMIT_SAMPLES = LONGEST_S * INPUT_RATE_HZ
"""An utterance's audio beyond this is ignored; the audio before it is recognised."""


class RemoteTranscriber:
    """A `pipeline.stage.Transcriber` in the workers at `urls`, which are asked with `key`."""

    def __init__(
        self, urls: Sequence[str], *, key: str | None = None, provider: str = "remote"
    ) -> None:
        self.provider = provider
        self._lines = RemoteLines(urls, {"stage": "stt"}, provider=provider, key=key)

    @property
    def languages(self) -> tuple[str, ...] | None:
        """The codes of the languages that the worker knows; None for any, and while unknown."""
        told = (self._lines.ready or {}).get("languages")
        return tuple(map(str, told)) if isinstance(told, list) else None

    def detail(self) -> str:
        """The worker's description of its recogniser, for people."""
        return described(self._lines.ready)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> "RemoteRecognition":
        """Begin an utterance: its audio is sent while it is spoken, in pieces of 100 ms."""
        return RemoteRecognition(self._lines, self.provider, turn, on_partial, hints, language)

    async def probe(self) -> str | None:
        """None if a worker answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._lines.probe()

    async def aclose(self) -> None:
        """End the connections. Utterances under way fail."""
        await self._lines.aclose()


class RemoteRecognition:
    """One utterance. A `pipeline.stage.Recognition`."""

    def __init__(
        self,
        lines: RemoteLines,
        provider: str,
        turn: int,
        on_partial: Callable[[Transcript], None] | None,
        hints: Sequence[str],
        language: str | None,
    ) -> None:
        self._lines = lines
        self._provider = provider
        self._turn = turn
        self._on_partial = on_partial
        self._wanted = {
            "partials": on_partial is not None,
            "hints": [hint[:LONGEST_HINT] for hint in hints[:MOST_HINTS]],
            "language": language,
        }
        self._left = LIMIT_SAMPLES
        self._audio: list[Samples] = []
        self._sent = 0  # of these pieces
        self._kept_samples = 0  # in the others
        self._finishing = False
        self._again = False  # this is the second worker
        self._over = False
        self._call = self._open()

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio. A plain call: never blocks, never raises."""
        pcm = pcm[: self._left]
        self._left -= len(pcm)
        self._audio.append(pcm.copy())
        self._kept_samples += len(pcm)
        if self._kept_samples >= MESSAGE_SAMPLES:
            self._send()

    async def finish(self) -> AsyncIterator[Transcript]:
        """Yield the final transcript.

        Raises `StageFailed` if two workers were lost or the worker's recogniser failed, `StageBusy`
        if the worker has no place, `CallerError` if it cannot do the work. Cancelling, or closing
        the iterator, forgets the utterance.
        """
        try:
            self._finish()
            try:
                reply = await self._call.result()
            except StageFailed:
                if self._again or not self._call.lost:
                    raise
                self._begin_again()
                reply = await self._call.result()
            try:
                told = transcript(self._turn, reply.fields, final=True)
            except ProtocolViolation as error:
                raise StageFailed("stt", self._provider, "protocol", str(error)) from None
            yield told
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Forget the utterance. Idempotent; harmless after `finish` has ended."""
        self._left = 0
        self._over = True
        self._audio, self._sent, self._kept_samples = [], 0, 0
        self._call.cancel()

    def _open(self) -> RemoteCall:
        on_reply = None if self._on_partial is None else self._on_reply
        call = self._lines.open(on_reply, self._on_lost)
        call.send("open", **self._wanted)
        return call

    def _send(self) -> None:
        if self._kept_samples:
            self._call.send_sound(np.concatenate(self._audio[self._sent :]))
        self._sent, self._kept_samples = len(self._audio), 0

    def _finish(self) -> None:
        self._finishing = True
        self._send()
        self._call.send("finish", due_ms=_due_ms())

    def _on_lost(self) -> None:
        """The worker is gone while the person speaks: have another one hear it all at once."""
        if not (self._finishing or self._again or self._over):
            self._begin_again()

    def _begin_again(self) -> None:
        self._again = True
        self._call = self._open()
        self._sent, self._kept_samples = 0, sum(map(len, self._audio))
        if self._finishing:
            self._finish()
        else:
            self._send()

    def _on_reply(self, reply: RemoteReply) -> None:
        if self._on_partial is None or self._over:
            return
        try:
            told = transcript(self._turn, reply.fields, final=False)
        except ProtocolViolation:
            return  # the final one will fail, and says why
        self._on_partial(told)


def described(ready: Fields | None) -> str:
    """A worker's description of itself, for people; "" if nothing is known."""
    if ready is None:
        return ""
    words = [str(ready.get(name) or "")[:80] for name in ("provider", "detail")]
    return ", ".join(filter(None, words))


def _due_ms() -> int | None:
    """How soon the caller wants the text; None if it does not say."""
    due = first_due.get()
    if math.isinf(due):
        return None
    return max(0, round((due - asyncio.get_running_loop().time()) * 1000))
