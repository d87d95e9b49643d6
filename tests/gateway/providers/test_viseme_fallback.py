"""Visemes for every voice: the synthesizer's own, or from the sound if it gives none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frames import VISEMES, Samples, Sentence, Speech, SpokenWord, Viseme
from stages.tts.espeak import EspeakSynthesizer
from stages.tts.viseme_fallback import Timing, VisemeFallback
from tests.support.service_peer import Raw, ServicePeer

RATE_HZ = 16_000


def voice(ms: int, level: int = 8000) -> Samples:
    at = np.arange(RATE_HZ * ms // 1000) / RATE_HZ
    return (level * np.sin(2 * np.pi * 700 * at)).astype(np.int16)


class Voice:
    """Speaks what it was given, and knows whether it was closed."""

    provider = "voice"
    rate_hz = RATE_HZ

    def __init__(self, *speeches: Speech | Exception) -> None:
        self._speeches = speeches
        self.closed = 0

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        try:
            for speech in self._speeches:
                if isinstance(speech, Exception):
                    raise speech
                yield speech
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        self.closed += 100


def spoken(stage: Any, text: str = "Tell me more.") -> list[Speech]:
    async def main() -> list[Speech]:
        return [speech async for speech in VisemeFallback(stage).speak(Sentence(3, text))]

    return asyncio.run(main())


def shapes(speeches: list[Speech]) -> list[tuple[int, int, str]]:
    return [(c.at_ms, c.duration_ms, c.shape) for speech in speeches for c in speech.cues]


def test_a_voice_without_timing_opens_and_closes_the_mouth() -> None:
    pieces = spoken(Voice(Speech(3, voice(400)), Speech(3, voice(200, 0))))
    assert [len(piece.pcm) * 1000 // RATE_HZ for piece in pieces] == [200, 160, 200, 40]
    assert {piece.turn for piece in pieces} == {3}
    moves = shapes(pieces)
    assert [shape for _, _, shape in moves] == ["aa", "aa", "aa", "sil", "sil"]
    assert moves[-1][0] + moves[-1][1] == 600


def test_no_sound_comes_before_its_shape() -> None:
    pieces = spoken(Voice(*(Speech(3, voice(7)) for _ in range(40))))
    heard_ms, shown_ms = 0.0, 0
    for piece in pieces:
        shown_ms = max([shown_ms, *(cue.at_ms + cue.duration_ms for cue in piece.cues)])
        heard_ms += len(piece.pcm) * 1000 / RATE_HZ
        assert shown_ms >= round(heard_ms)


def test_a_voice_with_timing_passes_untouched() -> None:
    timed = [
        Speech(3, voice(300), (Viseme(0, 300, "ou"),), (SpokenWord(0, 4, 0),)),
        Speech(3, voice(100)),
        Speech(3, voice(100), (Viseme(400, 100, "PP"),)),
    ]
    pieces = spoken(Voice(*timed))
    assert [one is other for one, other in zip(pieces, timed, strict=True)] == [True] * 3


def test_espeak_tells_its_timing_and_keeps_it() -> None:
    async def main() -> None:
        stage = EspeakSynthesizer()
        given: list[Speech] = []
        speak = stage.speak

        async def noted(sentence: Sentence) -> AsyncIterator[Speech]:
            async for speech in speak(sentence):
                given.append(speech)
                yield speech

        stage.speak = noted  # type: ignore[method-assign]
        for text in ("Tell me about a time when you disagreed.", "Hm.", "One, two; three: 4 - 5!"):
            given.clear()
            got = [piece async for piece in VisemeFallback(stage).speak(Sentence(1, text))]
            assert got
            assert all(one is other for one, other in zip(got, given, strict=True))
        await stage.aclose()

    asyncio.run(main())


def test_timing_that_comes_late_takes_over() -> None:
    late = Speech(3, voice(100), (Viseme(100, 100, "PP"),))
    pieces = spoken(Voice(Speech(3, voice(100)), late, Speech(3, voice(100))))
    assert shapes(pieces) == [(0, 80, "aa"), (80, 20, "aa"), (100, 0, "sil"), (100, 100, "PP")]
    assert pieces[-2] is late


def test_words_come_with_their_audio() -> None:
    words = (SpokenWord(0, 4, 0), SpokenWord(5, 2, 80))
    pieces = spoken(
        Voice(Speech(3, voice(60), (), words[:1]), Speech(3, voice(100), (), words[1:]))
    )
    assert tuple(word for piece in pieces for word in piece.words) == words
    assert pieces[0].words == words[:1]


def test_no_audio_makes_no_piece() -> None:
    assert spoken(Voice()) == []
    assert spoken(Voice(Speech(3, voice(0)))) == []


def test_what_a_voice_raises_is_raised_after_what_it_said() -> None:
    async def main() -> None:
        stage = VisemeFallback(Voice(Speech(3, voice(90)), OSError("gone")))
        speeches = stage.speak(Sentence(3, "Tell me more."))
        assert len((await anext(speeches)).pcm) == 80 * 16
        with pytest.raises(OSError, match="gone"):
            await anext(speeches)

    asyncio.run(main())


def test_closing_the_stream_closes_the_voice() -> None:
    async def main() -> None:
        stage = Voice(*(Speech(3, voice(100)) for _ in range(9)))
        speeches = VisemeFallback(stage).speak(Sentence(3, "Tell me more."))
        await anext(speeches)
        assert stage.closed == 0
        await speeches.aclose()
        assert stage.closed == 1
        await VisemeFallback(stage).aclose()
        assert stage.closed == 101

    asyncio.run(main())


def test_a_speech_server_moves_the_mouth_before_it_is_heard(gateway: Any) -> None:
    tone = np.tile(np.concatenate([voice(400), voice(100, 0)]), 2).tobytes()
    peer = ServicePeer({"/v1/audio/speech": Raw((tone,), kind="audio/pcm")})
    gateway.configured = True
    gateway.settings |= {
        "tts_engine": "openai",
        "tts_model": "m",
        "tts_voice": "v",
        "tts_rate_hz": RATE_HZ,
        "stt": "openai",
        "stt_model": "m",
        "llm": "scripted",
        "vad": "energy",
    }

    async def story() -> None:
        async with gateway.call() as caller:
            began_after: list[int] = []  # bytes of audio before each message with visemes
            caller.messages = Noted(lambda: began_after.append(len(caller.audio)))
            await caller.say(type="hello", version=1)
            ready = await caller.until("ready")
            assert ready["providers"]["tts"] == "openai"
            done = await caller.until("reply.done", turn=0)
            assert done["interrupted"] is False
            visemes = [m for m in caller.messages if m["type"] == "visemes"]
            cues = [cue for message in visemes for cue in message["cues"]]
            assert {cue["v"] for cue in cues} >= {"aa", "sil"}
            assert cues[-1]["v"] == "sil"
            assert cues[-1]["t"] + cues[-1]["d"] == len(caller.audio) // 32
            for message, heard in zip(visemes, began_after, strict=True):
                assert heard // 32 <= message["start_ms"]

    async def served() -> None:
        async with peer.running():
            gateway.settings |= {"tts_url": peer.url, "stt_url": peer.url}
            await gateway._run(story)

    asyncio.run(served())


class Noted(list[dict[str, Any]]):
    """Messages; `note` is called when one with visemes comes."""

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, message: dict[str, Any]) -> None:
        super().append(message)
        if message["type"] == "visemes":
            self._note()


@given(st.lists(st.integers(0, 1500)), st.sampled_from([8000, 11_025, 22_050, 24_000]))
def test_cues_cover_the_audio_however_it_came(sizes: list[int], rate_hz: int) -> None:
    audio = (np.sin(np.arange(sum(sizes)) / 7) * np.linspace(0, 9000, sum(sizes))).astype(np.int16)
    timing = Timing(3, rate_hz)
    done: list[Speech] = []
    at = 0
    for size in sizes:
        done += timing.push(Speech(3, audio[at : at + size]))
        at += size
    done += timing.finish()
    assert [sample for piece in done for sample in piece.pcm] == audio.tolist()
    assert all(0 < len(piece.pcm) <= rate_hz // 5 for piece in done)
    cues = [cue for piece in done for cue in piece.cues]
    assert all(one.at_ms + one.duration_ms == two.at_ms for one, two in pairwise(cues))
    assert {cue.shape for cue in cues} <= set(VISEMES)
    if done:
        assert cues[0].at_ms == 0
        assert cues[-1].shape == "sil"
        assert cues[-1].at_ms + cues[-1].duration_ms == round(len(audio) * 1000 / rate_hz)


def test_a_voice_that_learns_its_rate_when_it_starts_is_heard_at_that_rate() -> None:
    voice_ = Voice(Speech(3, np.tile(voice(100), 3)))
    stage = VisemeFallback(voice_)
    voice_.rate_hz, voice_.provider = 48_000, "renamed"
    assert (stage.rate_hz, stage.provider) == (48_000, "renamed")

    async def main() -> list[Speech]:
        return [speech async for speech in stage.speak(Sentence(3, "Tell me more."))]

    last = asyncio.run(main())[-1].cues[-1]
    assert last.at_ms + last.duration_ms == 100


def test_a_sentence_after_one_that_was_cancelled_begins_anew() -> None:
    async def main() -> None:
        stage = VisemeFallback(Voice(*(Speech(3, voice(90)) for _ in range(9))))
        whole = [speech async for speech in stage.speak(Sentence(3, "Tell me more."))]
        cut = stage.speak(Sentence(3, "Tell me more."))
        await anext(cut)
        await cut.aclose()
        again = [speech async for speech in stage.speak(Sentence(3, "Tell me more."))]
        assert shapes(again) == shapes(whole)

    asyncio.run(main())


def test_what_else_a_voice_can_do_is_not_hidden() -> None:
    class Worked(Voice):
        def stats(self) -> str:
            return "3 jobs"

    assert VisemeFallback(Worked()).stats() == "3 jobs"
    assert not hasattr(VisemeFallback(Voice()), "stats")
