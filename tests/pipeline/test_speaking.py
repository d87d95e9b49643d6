"""Sentences on their way to the voice: what it gets, what is shown, and what is remembered."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.frames import (
    Clear,
    Degraded,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    Sentence,
    Speech,
    Visemes,
)
from pipeline.session import SessionPolicy
from stages.fakes import FakeSynthesizer
from stages.tts.viseme_fallback import VisemeFallback


class Recorded(FakeSynthesizer):
    """Writes down the texts that it gets; without `timed` it gives words but no mouth shapes."""

    def __init__(self, *, timed: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.texts: list[str] = []
        self._timed = timed

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self.texts.append(sentence.text)
        async for speech in super().speak(sentence):
            yield speech if self._timed else replace(speech, cues=())


def test_the_voice_gets_speakable_text_and_the_client_the_sentence(conversation: Any) -> None:
    conversation.host.say = ("See [the docs](https://x.io/a) and say **why** x < 5. 🎉",)
    voice = Recorded()
    conversation.synthesizers = [voice]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert voice.texts == ["See the docs and say why x less than 5."]
    shown = ["See [the docs](https://x.io/a) and say **why** x < 5.", "🎉"]
    assert [frame.text for frame in conversation.all(ReplyText)] == shown
    (done,) = conversation.all(ReplyDone)
    assert done.heard == " ".join(shown)
    assert conversation.host.log == [("commit", 0, "", " ".join(shown))]


@pytest.mark.parametrize("lead_ms", [100, 200])
def test_a_reply_is_sent_as_far_ahead_as_its_client_wants(conversation: Any, lead_ms: int) -> None:
    conversation.policy = SessionPolicy(lead_ms=lead_ms)

    async def story() -> None:
        await conversation.until(ReplyAudio, 0)
        await conversation.pause(500)
        conversation.session.interrupt()

    conversation.run(story)
    (clear,) = conversation.all(Clear)
    sent_ms = conversation.all(ReplyAudio)[-1].at_ms + 20
    assert sent_ms - clear.at_ms == lead_ms


@pytest.mark.parametrize("say", [("🎉 Go on please.",), ("Great answer! 🎉",), ("Well... (...)",)])
def test_a_sentence_without_words_is_no_failure(conversation: Any, say: tuple[str, ...]) -> None:
    conversation.host.say = say

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.all(Degraded) == []
    assert " ".join(frame.text for frame in conversation.all(ReplyText)) == say[0]
    assert conversation.host.log == [("commit", 0, "", say[0])]


def test_ten_replies_that_end_in_an_emoji_open_no_breaker(conversation: Any) -> None:
    conversation.host.say = ("Good point. 🎉 🎉",)

    async def story() -> None:
        for turn in range(10):
            await conversation.until(ReplyDone, turn)
            await conversation.speak()
        await conversation.until(ReplyDone, 10)

    conversation.run(story)
    assert conversation.all(Degraded) == []


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [
        (300, "(smiles) Is"),
        (500, "(smiles) Is [it](https://x.io)"),
        (700, "(smiles) Is [it](https://x.io) <"),
        (1100, "(smiles) Is [it](https://x.io) < 5"),
        (1900, "(smiles) Is [it](https://x.io) < 5 or is it **more**"),
    ],
)
def test_what_was_heard_is_remembered_in_the_words_of_the_sentence(
    conversation: Any, timed: bool, heard_ms: int, heard: str
) -> None:
    conversation.host.say = ("(smiles) Is [it](https://x.io) < 5 or is it **more** than that?",)
    voice = Recorded(timed=timed)
    conversation.synthesizers = [VisemeFallback(voice)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.truncate(0, heard_ms)

    conversation.run(story)
    assert voice.texts == ["Is it less than 5 or is it more than that?"]
    assert conversation.all(Visemes) != []
    assert conversation.audio_ms(0) == 11 * 200
    assert conversation.host.log[-1] == ("correct", 0, heard)
    assert conversation.all(ReplyAudio) != []
