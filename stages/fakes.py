"""Scripted stages for tests and benchmarks, one for every slot, with faults on demand.

A `pipeline.testing.Script` says how one call behaves; a stage takes one script for all its calls,
or a script for each call, of which the last one is repeated::

    FakeSynthesizer(Script(), Script(error=OSError("gone"), after=1), Script(stall=True))

Fakes are never used as a real feature.
"""

import weakref
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from pipeline.errors import StageFailed
from pipeline.frames import (
    AvatarFrame,
    Samples,
    Sentence,
    Speech,
    SpokenWord,
    TextDelta,
    Transcript,
    Viseme,
)
from pipeline.stage import OnChunk, Recognition, ReplyRequest, Scene, VadStream
from pipeline.testing import Script, play

__all__ = [
    "FakeAnimator",
    "FakeDetector",
    "FakeResponder",
    "FakeSynthesizer",
    "FakeTranscriber",
    "FakeTurnModel",
    "Script",
]

CHUNK = 512


class _Scripts:
    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = list(scripts) or [Script()]

    def next(self) -> Script:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]


# --- voice detection -------------------------------------------------------------------------


class FakeDetector:
    """Reports every chunk that is louder than `level` as speech, inside `feed`."""

    provider = "fake"

    def __init__(self, level: int = 500) -> None:
        self._level = level
        self._streams: weakref.WeakSet[_FakeStream] = (
            weakref.WeakSet()
        )  # those of sessions that live

    def open(self, on_chunk: OnChunk) -> VadStream:
        stream = _FakeStream(on_chunk, self._level)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        for stream in list(self._streams):
            stream.close()


class _FakeStream:
    def __init__(self, on_chunk: OnChunk, level: int) -> None:
        self._on_chunk = on_chunk
        self._level = level
        self._rest: Samples = np.zeros(0, np.int16)
        self._position = 0
        self._open = True

    def feed(self, pcm: Samples) -> None:
        self._rest = np.concatenate((self._rest, pcm))
        while self._open and len(self._rest) >= CHUNK:
            chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
            self._position += CHUNK
            loud = int(np.abs(chunk.astype(np.int32)).max()) > self._level
            self._on_chunk(self._position, 0.99 if loud else 0.01)

    def close(self) -> None:
        self._open = False


# --- turn models - -----------------------------------------------------------------------------


class FakeTurnModel:
    """Answers each question with the next of `answers`; the last one is repeated.

    `heard` has the audio of the questions.
    """

    def __init__(
        self,
        *scripts: Script,
        answers: Sequence[float] = (0.95,),
        provider: str = "fake-turn",
    ) -> None:
        self.provider = provider
        self.heard: list[Samples] = []
        self._answers = list(answers)
        self._scripts = _Scripts(scripts)

    async def finished(self, audio: Samples) -> float:
        self.heard.append(audio)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        async for probability in play([answer], self._scripts.next()):
            return probability
        raise StageFailed("turn", self.provider, "empty")

    async def aclose(self) -> None:
        pass


# --- recognition -----------------------------------------------------------------------------


class FakeTranscriber:
    """Recognises the next of `texts` in every utterance, and starts again after the last.

    With `partials`, every feed reports one more word of the text.
    """

    def __init__(
        self,
        *scripts: Script,
        texts: Sequence[str] = ("hello there",),
        partials: bool = False,
        provider: str = "fake-stt",
        language: str = "en",
    ) -> None:
        self.provider = provider
        self._scripts = _Scripts(scripts)
        self._texts = list(texts)
        self._partials = partials
        self._heard = 0
        self.language = language
        """The language of the transcripts; set it to speak another."""
        self.told: list[str | None] = []
        """The language that each utterance was opened with."""
        self.open_now = 0
        """Utterances that have neither ended nor been cancelled."""

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> Recognition:
        self.told.append(language)
        return _FakeRecognition(self, turn, on_partial if self._partials else None)

    @property
    def text(self) -> str:
        """The text that the next utterance will have."""
        return self._texts[self._heard % len(self._texts)]

    def transcripts(self, turn: int) -> AsyncIterator[Transcript]:
        """The transcripts of the next utterance."""
        text = self.text
        self._heard += 1
        final = Transcript(turn, text, final=True, language=self.language, confidence=0.9)
        return play([final], self._scripts.next())

    async def aclose(self) -> None:
        pass


class _FakeRecognition:
    def __init__(
        self,
        stage: FakeTranscriber,
        turn: int,
        on_partial: Callable[[Transcript], None] | None,
    ) -> None:
        self._stage = stage
        self._turn = turn
        self._on_partial = on_partial
        self._words = 0
        self._open = True
        stage.open_now += 1

    def feed(self, pcm: Samples) -> None:
        if self._on_partial is None:
            return
        words = self._stage.text.split()
        if self._words < len(words):
            self._words += 1
            text = " ".join(words[: self._words])
            self._on_partial(Transcript(self._turn, text, final=False))

    def finish(self) -> AsyncIterator[Transcript]:
        return self._stage.transcripts(self._turn)

    def cancel(self) -> None:
        if self._open:
            self._open = False
            self._stage.open_now -= 1


# --- reply -----------------------------------------------------------------------------------


class FakeResponder:
    """Replies with the brief's lines, or with `text` if one is given, word by word."""

    def __init__(
        self, *scripts: Script, text: str | None = None, provider: str = "fake-llm"
    ) -> None:
        self.provider = provider
        self._scripts = _Scripts(scripts)
        self._text = text
        self.requests: list[ReplyRequest] = []

    def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta]:
        self.requests.append(request)
        text = self._text if self._text is not None else " ".join(request.brief.say)
        words = [TextDelta(request.turn, word + " ") for word in text.split()]
        return play(words, self._scripts.next())

    async def aclose(self) -> None:
        pass


# --- synthesis -------------------------------------------------------------------------------


class FakeSynthesizer:
    """Speaks a steady tone: `ms_per_word` for every word, in pieces of one word each."""

    def __init__(
        self,
        *scripts: Script,
        ms_per_word: int = 200,
        rate_hz: int = 16_000,
        provider: str = "fake-tts",
    ) -> None:
        self.provider = provider
        self.rate_hz = rate_hz
        self._scripts = _Scripts(scripts)
        self._ms_per_word = ms_per_word

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        pieces = []
        offset = 0
        for index, word in enumerate(sentence.text.split()):
            offset = sentence.text.index(word, offset)
            at_ms = index * self._ms_per_word
            pieces.append(
                Speech(
                    sentence.turn,
                    self._tone(at_ms),
                    (Viseme(at_ms, self._ms_per_word, "aa"),),
                    (SpokenWord(offset, len(word), at_ms),),
                )
            )
            offset += len(word)
        return play(pieces, self._scripts.next())

    def _tone(self, at_ms: int) -> Samples:
        start = at_ms * self.rate_hz // 1000
        time_s = np.arange(start, start + self._ms_per_word * self.rate_hz // 1000) / self.rate_hz
        return (np.sin(2 * np.pi * 220 * time_s) * 8000).astype(np.int16)

    async def aclose(self) -> None:
        pass


# --- animation -------------------------------------------------------------------------------


class FakeAnimator:
    """Gives a picture every `frame_ms` of a scene; its bytes are words such as "speaking 1080".

    `scenes` has the scenes that were asked for.
    """

    def __init__(self, *scripts: Script, provider: str = "fake-avatar") -> None:
        self.provider = provider
        self.scenes: list[Scene] = []
        self._scripts = _Scripts(scripts)

    def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
        self.scenes.append(scene)
        speech = scene.speech
        end_ms = speech.at_ms + len(speech.pcm) * 1000 // speech.rate_hz
        frames = [
            AvatarFrame(speech.turn, at_ms, "text/plain", f"{scene.mood} {at_ms}".encode())
            for at_ms in range(speech.at_ms, end_ms, scene.frame_ms)
        ]
        return play(frames, self._scripts.next())

    async def aclose(self) -> None:
        pass
