"""Synthesis in a worker elsewhere: `parley worker tts`, or another server that speaks the protocol
of `docs/worker-protocol.md`.

A sentence whose worker is lost before its first sound is said by another worker; after that the
stream breaks off, and the session says what is left of it with the next voice.
"""

from collections.abc import AsyncIterator, Sequence

from pipeline.errors import StageFailed
from pipeline.frames import Sentence, Speech
from stages._remote_call import RemoteReply
from stages._remote_lines import RemoteLines
from stages._remote_protocol import LONGEST_SENTENCE, ProtocolViolation, speech


class RemoteSynthesizer:
    """A `pipeline.stage.Synthesizer` in the workers at `urls`, which give speech at `rate_hz`."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str | None = None,
        rate_hz: int = 24_000,
        provider: str = "remote",
    ) -> None:
        self.provider = provider
        self.rate_hz = rate_hz
        hello = {"stage": "tts", "rate_hz": rate_hz}
        self._lines = RemoteLines(urls, hello, provider=provider, key=key)

    def detail(self) -> str:
        """The worker's description of its voice, for people."""
        ready = self._lines.ready or {}
        words = [str(ready.get(name) or "")[:80] for name in ("provider", "detail")]
        return ", ".join(filter(None, words))

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Stream one sentence's audio as the worker makes it.

        Raises `CallerError` for text that the worker's voice cannot say, `StageBusy` if the worker
        has no place, `StageFailed` if it was lost or its voice failed. Cancelling, or closing the
        iterator, stops the worker's call.
        """
        begun = again = False
        while True:
            call = self._lines.open()
            try:
                call.send(
                    "speak",
                    text=sentence.text[:LONGEST_SENTENCE],
                    voice=sentence.voice,
                    language=sentence.language,
                )
                async for reply in call:
                    if reply.kind == "speech":
                        begun = True
                        yield self._told(sentence.turn, reply)
                return
            except StageFailed:
                if begun or again or not call.lost:
                    raise
                again = True
            finally:
                call.cancel()

    async def probe(self) -> str | None:
        """None if a worker answers, otherwise a sentence that says why not. Takes 1 s at most."""
        return await self._lines.probe()

    async def aclose(self) -> None:
        """End the connections. Sentences under way fail."""
        await self._lines.aclose()

    def _told(self, turn: int, reply: RemoteReply) -> Speech:
        try:
            return speech(turn, reply.fields, reply.pcm)
        except ProtocolViolation as error:
            raise StageFailed("tts", self.provider, "protocol", str(error)) from None
