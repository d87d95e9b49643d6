"""Languages over OpenAI's Realtime API, whose session names any that a recogniser may know."""

from itertools import count
from typing import Any

import pytest

from gateway.interviews import sessions
from gateway.protocols.dialect import Reconfigure, Start
from gateway.protocols.openai_realtime import OpenAiRealtime
from gateway.protocols.openai_realtime.session import RealtimeSession
from gateway.protocols.request import AssistantRequest, SessionRequest
from pipeline.canned import CANNED_LINES
from stages.fakes import FakeSynthesizer, FakeTranscriber
from stages.interview import InterviewConfig
from tests.support.calls import LocalCalls
from tests.support.commands import CommandDialect

NUMBERS = count()


class EnglishOnly(FakeTranscriber):
    languages = ("en",)


class EnglishVoice(FakeSynthesizer):
    languages = ("en",)


def client_of(model: str, language: str | None = None) -> OpenAiRealtime:
    named = None if language is None else {"language": language}
    session = RealtimeSession(model, transcription=named)
    return OpenAiRealtime(session, new_id=lambda kind: f"{kind}_{next(NUMBERS)}")


def speaks(language: str) -> dict[str, Any]:
    session = {"type": "realtime", "audio": {"input": {"transcription": {"language": language}}}}
    return {"type": "session.update", "session": session}


def codes(client: Any) -> list[str]:
    return [message["error"]["code"] for message in client.found("error")]


@pytest.mark.parametrize("stored", [True, False])
def test_an_interview_in_a_language_without_interviews_is_held_in_its_own(
    local: LocalCalls, stored: bool
) -> None:
    local.settings["stt_language"] = "de"

    async def story() -> None:
        if stored:
            config = InterviewConfig("Data Analyst", "auto", 2, "de")
            await sessions.create(local.store, config, mode="voice", ttl_s=60, session_id="test")
        async with local.call(dialect=client_of("interview", "fr")) as client:
            await client.until("session.created")
            error = (await client.until("error"))["error"]
            assert error["code"] == "unknown_language"
            assert error["message"] == (
                "no interview is held in language 'fr': this one has German;"
                " available: en, de, auto"
            )
            await client.until("response.done")
        assert (await sessions.load(local.store, "test"))[0].language == "de"

    local.run(story)


def test_what_an_assistants_language_lacks_is_told_when_it_is_named(local: LocalCalls) -> None:
    local.transcriber, local.synthesizer = EnglishOnly(), EnglishVoice()

    async def story() -> None:
        async with local.call(dialect=client_of("any", "en")) as client:
            await client.until("session.created")
            await client.say(**speaks("en"))
            await client.until("session.updated")
            assert codes(client) == []
            await client.say(**speaks("fr"))
            await client.until("error")
            assert codes(client) == ["no_recogniser", "no_voice"]
            kinds = [message["type"] for message in client.messages]
            assert kinds[-3:] == ["session.updated", "error", "error"]
            await client.say(**speaks("fr"))  # nothing new
            await client.say(**speaks("en"))
            assert codes(client) == ["no_recogniser", "no_voice"]

    local.run(story)


def test_what_an_assistants_language_lacks_is_told_at_once(local: LocalCalls) -> None:
    local.transcriber = EnglishOnly()

    async def story() -> None:
        async with local.call(dialect=client_of("any", "de")) as client:
            await client.until("error")
            assert [message["type"] for message in client.messages] == ["session.created", "error"]
            assert codes(client) == ["no_recogniser"]

    local.run(story)


def test_an_assistants_lines_for_failures_follow_its_language(local: LocalCalls) -> None:
    local.transcriber = FakeTranscriber(texts=("",))
    asked = AssistantRequest(lambda turn: ())
    dialect = CommandDialect(Start(SessionRequest(assistant=asked, language="en")))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("SessionReady")
            for turn, language in enumerate(("en", "de", "fr"), 1):
                request = SessionRequest(assistant=asked, language=language)
                await client.send(dialect.message(Reconfigure(request)))
                await client.speak_live()
                await client.until("ReplyDone", turn=turn)
                said = "".join(text["text"] for text in client.found("ReplyText", turn=turn))
                assert said.strip() == CANNED_LINES.get(language, CANNED_LINES["en"]).unheard

    local.run(story)
