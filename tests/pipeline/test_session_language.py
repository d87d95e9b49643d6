"""A session in a language: it is recognised, judged and spoken in it; "auto" finds it."""

from dataclasses import replace
from typing import Any

from pipeline.canned import CANNED_LINES
from pipeline.frames import Degraded, ReplyDone, ReplyText, SpeechStopped
from pipeline.languages import AUTO
from pipeline.session import SessionPolicy
from pipeline.stage import Brief
from pipeline.testing import Script
from pipeline.turns import TurnPolicy
from stages.fakes import FakeSynthesizer, FakeTranscriber


class EnglishOnly(FakeTranscriber):
    languages = ("en",)


class Voice(FakeSynthesizer):
    """Keeps the languages that its sentences had."""

    def __init__(self, provider: str, *languages: str) -> None:
        super().__init__(provider=provider)
        self.languages = languages or None
        self.said: list[str | None] = []

    def speak(self, sentence: Any) -> Any:
        self.said.append(sentence.language)
        return super().speak(sentence)


GERMAN = SessionPolicy(
    speculate=False,
    turns=TurnPolicy(language="de"),
    canned=CANNED_LINES["de"],
    language="de",
)


def test_recogniser_and_voice_for_the_language_are_used(conversation: Any) -> None:
    english = EnglishOnly(provider="english-stt")
    german = FakeTranscriber(texts=("Ich mag Tests",), language="de")
    first, second = Voice("english-tts", "en"), Voice("german-tts", "de")
    conversation.transcribers = [english, german]
    conversation.synthesizers = [first, second]
    conversation.host.wishes = Brief((), language="de")
    conversation.policy = GERMAN

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert ("accept", 1, "Ich mag Tests") in conversation.host.log
    assert (english.told, set(german.told)) == ([], {"de"})
    assert (first.said, second.said) == ([], ["de", "de"])
    gave_way = [(each.stage, each.source, each.target) for each in conversation.all(Degraded)]
    assert gave_way == [
        ("tts", "english-tts", "german-tts"),
        ("stt", "english-stt", "fake-stt"),
        ("tts", "english-tts", "german-tts"),
    ]


def test_the_canned_lines_have_the_language(conversation: Any) -> None:
    voice = Voice("german-tts")
    conversation.transcribers = [FakeTranscriber(texts=("",))]
    conversation.synthesizers = [voice]
    conversation.host.wishes = Brief((), language="de")
    conversation.policy = GERMAN

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert [said.text for said in conversation.all(ReplyText)][1:] == [CANNED_LINES["de"].unheard]
    assert voice.said == ["de", "de"]


def test_auto_finds_the_language_in_two_turns_and_judges_endings_by_it(conversation: Any) -> None:
    stage = FakeTranscriber(
        Script(), texts=("das habe ich gebaut weil",), partials=True, language="de"
    )
    conversation.transcribers = [stage]
    conversation.policy = SessionPolicy(speculate=False, language=AUTO)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in (1, 2, 3):
            await conversation.speak()
            await conversation.until(ReplyDone, turn)

    conversation.run(story)
    assert stage.told == [None, None, "de"]
    assert conversation.session.policy.turns.language == "de"
    stopped = [at for at, frame in conversation.frames if isinstance(frame, SpeechStopped)]
    done = [at for at, frame in conversation.frames if isinstance(frame, ReplyDone)]
    waited = [round(at - before, 1) for at, before in zip(stopped, done, strict=False)]
    # After "weil" a German sentence goes on: the end is waited for longer, once this is German.
    assert waited[0] == waited[1] < waited[2]


def test_another_language_holds_from_the_next_utterance_on(conversation: Any) -> None:
    stage = FakeTranscriber(texts=("one", "two"))
    conversation.transcribers = [stage]
    conversation.policy = replace(GERMAN, language="fr")

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        conversation.session.listen_in("fr")
        conversation.session.listen_in("es")
        await conversation.speak()
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert stage.told == ["fr", "es"]


def test_the_canned_lines_may_change_with_the_language(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(texts=("", ""))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        conversation.session.listen_in("de", CANNED_LINES["de"])
        await conversation.speak()
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert [said.text for said in conversation.all(ReplyText)][1:] == [
        CANNED_LINES["en"].unheard,
        CANNED_LINES["de"].unheard,
    ]
