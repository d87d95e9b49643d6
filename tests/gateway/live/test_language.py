"""A live interview in another language: asked for, recognised, spoken, and what is missing told."""

from typing import Any

import pytest

from gateway.interviews import sessions
from gateway.live.assistant import AssistantHost
from gateway.protocols.request import AssistantRequest, SessionRequest
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard
from pipeline.languages import AUTO
from pipeline.session import Stages
from stages.fakes import FakeSynthesizer, FakeTranscriber
from stages.interview import InterviewConfig
from stages.interview.lines import lines_for
from tests.support.calls import LocalCalls

ANSWER = "Ich habe den Fehler gesucht und dann den Dienst neu gestartet"


class Voice(FakeSynthesizer):
    def __init__(self) -> None:
        super().__init__(ms_per_word=20)
        self.said: list[str | None] = []

    def speak(self, sentence: Any) -> Any:
        self.said.append(sentence.language)
        return super().speak(sentence)


class EnglishOnly(FakeTranscriber):
    languages = ("en",)


class EnglishVoice(FakeSynthesizer):
    languages = ("en",)


@pytest.fixture
def german(local: LocalCalls) -> LocalCalls:
    local.transcriber = FakeTranscriber(texts=(ANSWER,), language="de")
    local.synthesizer = Voice()
    return local


def test_a_whole_interview_is_held_in_german(german: LocalCalls) -> None:
    interview = {"role": "Software Engineer", "totalQuestions": 2}

    async def story() -> None:
        async with german.call() as client:
            await client.say(type="hello", version=1, language="de-DE", interview=interview)
            ready = await client.until("ready")
            assert (ready["language"], ready["notices"]) == ("de", [])
            opening = await client.until("reply.done", turn=0)
            assert opening["heard"].startswith("Guten Tag, ich bin Parley")
            assert "Frage 1: " in opening["heard"]
            await client.speak_live()
            transcript = await client.until("transcript", turn=1)
            assert (transcript["text"], transcript["language"]) == (ANSWER, "de")
            await client.until("reply.done", turn=1)
            await client.say(type="text", text="Können Sie das bitte wiederholen?")
            again = await client.until("reply.done", turn=2)
            assert again["heard"].startswith(lines_for("de").repeats)
            await client.say(type="text", text="Das weiß ich leider nicht.")
            done = await client.until("reply.done", turn=3)
            assert done["heard"].startswith(lines_for("de").skips)
            await client.closed()
        record, _ = await sessions.load(german.store, "test")
        assert (record.language, record.finished) == ("de", True)
        assert set(german.transcriber.told) == {"de"}
        assert set(german.synthesizer.said) == {"de"}

    german.run(story)


def test_what_cannot_be_understood_is_said_in_german(german: LocalCalls) -> None:
    german.transcriber = FakeTranscriber(texts=("",))

    async def story() -> None:
        async with german.call() as client:
            await client.say(type="hello", version=1, language="de")
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("reply.done", turn=1)
            said = client.found("reply.text", turn=1)
            assert said[0]["text"].startswith("Entschuldigung, das habe ich nicht verstanden.")

    german.run(story)


def test_what_is_missing_for_the_language_is_said_at_once(local: LocalCalls) -> None:
    local.transcriber = EnglishOnly()
    local.synthesizer = EnglishVoice()

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, language="de")
            ready = await client.until("ready")
            assert {notice["code"]: notice["message"] for notice in ready["notices"]} == {
                "no_recogniser": "no recogniser here understands German: run `parley fetch base`,"
                " or type",
                "no_voice": "no voice here speaks German: the interviewer is only shown;"
                " espeak-ng would",
            }
            # The interview goes on in writing.
            done = await client.until("reply.done", turn=0)
            assert done["heard"].startswith("Guten Tag")
            await client.say(type="text", text=ANSWER)
            assert await client.until("interview", currentQuestion=2)

    local.run(story)


def test_auto_with_an_english_recogniser_is_english(local: LocalCalls) -> None:
    local.transcriber = EnglishOnly(texts=("I like to build things",))

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, language="auto")
            ready = await client.until("ready")
            assert ready["language"] == "auto"
            assert [notice["code"] for notice in ready["notices"]] == ["no_recogniser"]
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("transcript", turn=1)
            assert set(local.transcriber.told) == {"en"}

    local.run(story)


def test_auto_is_found_by_a_recogniser_that_knows_several_languages(local: LocalCalls) -> None:
    several = FakeTranscriber(texts=(ANSWER,), language="de", provider="several")

    def stages() -> Stages:
        given = local.scripted()
        candidates = [
            Candidate(stage.provider, stage, Breaker())
            for stage in (EnglishOnly(provider="english"), several)
        ]
        return Stages(
            given.detector, Guard("stt", candidates), given.responders, given.synthesizers
        )

    local.stages = stages

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, language="auto")
            ready = await client.until("ready")
            assert (ready["providers"]["stt"], ready["notices"]) == ("several", [])
            for turn in (0, 1, 2, 3):
                await client.until("reply.done", turn=turn)
                if turn < 3:
                    await client.speak_live()
            assert several.told == [None, None, "de"]

    local.run(story)


def test_a_stored_session_keeps_its_language(german: LocalCalls) -> None:
    async def story() -> None:
        config = InterviewConfig("Data Analyst", "auto", 2, "de")
        await sessions.create(german.store, config, mode="voice", ttl_s=60, session_id="test")
        async with german.call() as client:
            await client.say(type="hello", version=1, language="en")
            assert (await client.until("ready"))["language"] == "de"

    german.run(story)


def test_the_operators_language_is_the_default(german: LocalCalls) -> None:
    german.settings["stt_language"] = "de"

    async def story() -> None:
        async with german.call() as client:
            await client.say(type="hello", version=1)
            assert (await client.until("ready"))["language"] == "de"

    german.run(story)


def test_auto_finds_the_language_whatever_the_operators_is(german: LocalCalls) -> None:
    german.settings["stt_language"] = "en"

    async def story() -> None:
        async with german.call() as client:
            await client.say(type="hello", version=1, language="auto")
            for turn in (0, 1, 2, 3):
                await client.until("reply.done", turn=turn)
                if turn < 3:
                    await client.speak_live()
            assert german.transcriber.told == [None, None, "de"]

    german.run(story)


def test_an_assistant_has_the_operators_language_unless_its_client_names_one(
    german: LocalCalls,
) -> None:
    german.settings["stt_language"] = "fr"
    asked = AssistantRequest(lambda turn: ())

    async def story() -> None:
        hosts = (AssistantHost(asked, language) for language in (None, "de", AUTO))
        assert [german.calls.heard(host) for host in hosts] == ["fr", "de", AUTO]

    german.run(story)


def test_an_operators_language_without_interviews_is_heard_but_not_spoken(
    german: LocalCalls,
) -> None:
    german.settings["stt_language"] = "fr"

    async def story() -> None:
        async with german.call() as client:
            await client.say(type="hello", version=1)
            ready = await client.until("ready")
            assert ready["language"] == "fr"
            assert [notice["code"] for notice in ready["notices"]] == ["no_interviewer"]
            assert "Question 1" in (await client.until("reply.done", turn=0))["heard"]
            await client.speak_live()
            await client.until("transcript", turn=1)
            assert set(german.transcriber.told) == {"fr"}

    german.run(story)


@pytest.mark.parametrize("language", ["xx", "fr", "", "en; DROP", "de" * 500])
def test_another_language_is_refused_with_the_ones_that_there_are(
    local: LocalCalls, language: str
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, language=language)
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == ("unknown_language", True)
            assert error["message"].endswith("; available: en, de, auto")
            assert len(error["message"]) < 150
            await client.closed()

    local.run(story)


def test_an_assistant_speaks_the_language_that_its_client_names() -> None:
    asked = AssistantRequest(lambda turn: ())
    host = AssistantHost(asked, "de")
    assert (host.language, host.spoken, host.brief(1, "x").language) == ("de", "de", "de")
    host.request(SessionRequest(assistant=asked, language=AUTO))
    assert (host.language, host.spoken, host.brief(1, "x").language) == (AUTO, None, None)
    host.request(SessionRequest())
    assert host.language == AUTO


def test_an_assistant_may_change_its_language(local: LocalCalls) -> None:
    english, german = EnglishOnly(provider="english"), FakeTranscriber(provider="any")
    asked = AssistantRequest(lambda turn: ())

    def stages() -> Stages:
        given = local.scripted()
        candidates = [Candidate(each.provider, each, Breaker()) for each in (english, german)]
        return Stages(
            given.detector, Guard("stt", candidates), given.responders, given.synthesizers
        )

    local.stages = stages

    async def story() -> None:
        host = AssistantHost(asked, "en")
        session = local.calls.session(
            "test", host, SessionRequest(assistant=asked), rate_hz=16_000, observers=()
        )
        assert (session.policy.language, session.policy.turns.language) == ("en", "en")
        host.request(SessionRequest(assistant=asked, language="de"))
        session.listen_in(local.calls.heard(host))
        session.reconfigure(local.calls.turn_policy(SessionRequest(assistant=asked)))
        assert (session.policy.language, session.policy.turns.language) == ("de", "de")

    local.run(story)
