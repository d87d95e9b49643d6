"""The work of a worker for one gateway's connection: one call at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

from pipeline.errors import StageBusy
from pipeline.frames import Sentence, Speech, Transcript
from pipeline.guard import first_due
from pipeline.stage import Converter, Recognition, Synthesizer, Transcriber
from stages._remote_protocol import (
    LONGEST_AUDIO_BYTES,
    LONGEST_SENTENCE,
    MOST_HINTS,
    Fields,
    ProtocolViolation,
    control,
    failure_fields,
    heard,
    optional_text,
    sound,
    speech_fields,
    text,
    transcript_fields,
)

PIECE_S = 0.5
"""Speech is sent in pieces of this length at most."""

Said = asyncio.Queue[bytes | str]


class RemoteWork(Protocol):
    """The calls of one connection. Plain calls, but for `ended`."""

    @property
    def under_way(self) -> bool:
        """Whether a call has begun and is not over."""

    def take(self, kind: str, epoch: int, fields: Fields) -> None:
        """A control message. Raises `ProtocolViolation`."""

    def hear(self, data: bytes) -> None:
        """A binary message. Raises `ProtocolViolation`."""

    def cancel(self) -> None:
        """The call, if there is one, is over. Idempotent."""

    async def ended(self) -> None:
        """Return when no work of any call goes on."""


class _Calls:
    """One call at a time; a later one ends the one before."""

    def __init__(self, said: Said, begin: Callable[[], bool], end: Callable[[], None]) -> None:
        self.epoch = -1
        self.under_way = False
        self._said = said
        self._begin = begin
        self._end = end
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self, epoch: int) -> bool:
        """Begin the call; False, after telling the gateway, if there is no place for it."""
        self.leave()
        self.epoch = epoch
        self.under_way = self._begin()
        if not self.under_way:
            busy = StageBusy("", "", "all places of the worker are taken", retry_after_s=1.0)
            self.run(self.fail(epoch, busy))
        return self.under_way

    def leave(self) -> None:
        """The call is over, and its work ends."""
        if self.under_way:
            self.under_way = False
            self._end()
        for task in self._tasks:
            task.cancel()

    def run(self, work: Any) -> None:
        """Do something for the call, until `leave`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def over(self, epoch: int) -> None:
        """The call has ended by itself."""
        if self.under_way and epoch == self.epoch:
            self.under_way = False
            self._end()

    async def say(self, message: bytes | str) -> None:
        await self._said.put(message)

    def say_if_room(self, message: str) -> None:
        """Send a message that may be left out, if there is room."""
        if self._said.qsize() < self._said.maxsize // 2:
            self._said.put_nowait(message)

    async def fail(self, epoch: int, error: Exception) -> None:
        kind, fields = failure_fields(error)
        await self.say(control(kind, epoch=epoch, **fields).decode())

    async def ended(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)


class RecognitionWork:
    """Utterances for one gateway."""

    def __init__(
        self, stage: Transcriber, said: Said, begin: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._stage = stage
        self._calls = _Calls(said, begin, end)
        self._recognition: Recognition | None = None

    @property
    def under_way(self) -> bool:
        return self._calls.under_way

    def take(self, kind: str, epoch: int, fields: Fields) -> None:
        if kind == "open":
            if epoch > self._calls.epoch:
                self._open(epoch, fields)
        elif kind not in ("finish", "cancel"):
            raise ProtocolViolation(f"there is no {kind[:40]!r}")
        elif epoch != self._calls.epoch:
            return
        elif kind == "cancel":
            self.cancel()
        elif self._recognition is not None:
            recognition, self._recognition = self._recognition, None
            self._calls.run(self._finish(epoch, recognition, _due_s(fields)))

    def hear(self, data: bytes) -> None:
        epoch, pcm = heard(data, LONGEST_AUDIO_BYTES)
        if epoch == self._calls.epoch and self._recognition is not None:
            self._recognition.feed(pcm)

    def cancel(self) -> None:
        self._drop()
        self._calls.leave()

    async def ended(self) -> None:
        await self._calls.ended()

    def _drop(self) -> None:
        if self._recognition is not None:
            self._recognition.cancel()
            self._recognition = None

    def _open(self, epoch: int, fields: Fields) -> None:
        hints = fields.get("hints") or []
        if not isinstance(hints, list) or not all(isinstance(hint, str) for hint in hints):
            raise ProtocolViolation("hints are no texts")
        language = optional_text(fields, "language")
        self._drop()
        if not self._calls.enter(epoch):
            return

        def on_partial(partial: Transcript) -> None:
            if epoch == self._calls.epoch and self._calls.under_way:
                told = {"text": partial.text, "language": partial.language}
                self._calls.say_if_room(control("partial", epoch=epoch, **told).decode())

        wanted = on_partial if fields.get("partials") else None
        self._recognition = self._stage.open(epoch, wanted, hints[:MOST_HINTS], language)

    async def _finish(self, epoch: int, recognition: Recognition, due_s: float) -> None:
        first_due.set(asyncio.get_running_loop().time() + due_s)  # this task's own
        transcripts = recognition.finish()
        try:
            async for transcript in transcripts:
                if transcript.final:
                    told = transcript_fields(transcript)
                    await self._calls.say(control("final", epoch=epoch, **told).decode())
                    break
            else:
                await self._calls.fail(epoch, RuntimeError())
        except Exception as error:  # the gateway raises it
            await self._calls.fail(epoch, error)
        finally:
            recognition.cancel()
            await _close(transcripts)
            self._calls.over(epoch)


class SynthesisWork:
    """Sentences for one gateway, at the sample rate that it wants."""

    def __init__(
        self,
        stage: Synthesizer,
        said: Said,
        begin: Callable[[], bool],
        end: Callable[[], None],
        convert: Callable[[int, int], Converter],
        rate_hz: int,
    ) -> None:
        self._stage = stage
        self._calls = _Calls(said, begin, end)
        self._convert = convert
        self._rate_hz = rate_hz

    @property
    def under_way(self) -> bool:
        return self._calls.under_way

    def take(self, kind: str, epoch: int, fields: Fields) -> None:
        if kind == "speak":
            if epoch > self._calls.epoch:
                said = text(fields, "text")[:LONGEST_SENTENCE]
                voice, language = (optional_text(fields, name) for name in ("voice", "language"))
                if self._calls.enter(epoch):
                    self._calls.run(self._speak(epoch, Sentence(epoch, said, voice, language)))
        elif kind != "cancel":
            raise ProtocolViolation(f"there is no {kind[:40]!r}")
        elif epoch == self._calls.epoch:
            self.cancel()

    def hear(self, data: bytes) -> None:
        raise ProtocolViolation("sound for a voice")

    def cancel(self) -> None:
        self._calls.leave()

    async def ended(self) -> None:
        await self._calls.ended()

    async def _speak(self, epoch: int, sentence: Sentence) -> None:
        pieces = self._stage.speak(sentence)
        converter = self._convert(self._stage.rate_hz, self._rate_hz)
        try:
            async for piece in pieces:
                pcm = converter.push(piece.pcm)
                await self._say(epoch, Speech(epoch, pcm, piece.cues, piece.words))
            rest = converter.flush()
            if len(rest):
                await self._say(epoch, Speech(epoch, rest))
            await self._calls.say(control("end", epoch=epoch).decode())
        except Exception as error:  # the gateway raises it
            await self._calls.fail(epoch, error)
        finally:
            await _close(pieces)
            self._calls.over(epoch)

    async def _say(self, epoch: int, piece: Speech) -> None:
        await self._calls.say(control("speech", epoch=epoch, **speech_fields(piece)).decode())
        step = int(self._rate_hz * PIECE_S)
        for at in range(0, max(1, len(piece.pcm)), step):
            await self._calls.say(sound(epoch, piece.pcm[at : at + step]))


async def _close(stream: AsyncIterator[Any]) -> None:
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()


def _due_s(fields: Fields) -> float:
    due_ms = fields.get("due_ms")
    return due_ms / 1000 if isinstance(due_ms, (int, float)) and due_ms >= 0 else float("inf")
