"""The list of a session's recordings, and the answers that they belong to."""

import asyncio
import io
from pathlib import Path

import numpy as np
import soundfile

from gateway.interviews.recorder import encode
from gateway.interviews.recordings import (
    RecordingList,
    answers_by_number,
    number_of,
    recordings_of,
    to_wav,
    withdraw,
)
from gateway.interviews.sessions import new, save
from gateway.store import SqliteStore
from stages.interview import InterviewConfig, InterviewSession, respond, start

CONFIG = InterviewConfig("Software Engineer", "auto", 3)
ANSWER = "I would begin with the logs and then try to reproduce it on my own machine"


def interview(*said: str) -> InterviewSession:
    session = start(CONFIG).session
    for text in said:
        session = respond(session, text).session
    return session


def test_what_the_candidate_says_is_numbered_from_one() -> None:
    assert [number_of(interview(*([ANSWER] * n))) for n in range(3)] == [0, 1, 2]


def test_a_request_to_repeat_belongs_to_no_answer() -> None:
    session = interview(ANSWER, "Could you repeat the question, please?", ANSWER)
    assert number_of(session) == 3
    assert answers_by_number(session, (1, 2, 3)) == {1: 1, 3: 2}


def test_only_recorded_answers_are_listed() -> None:
    assert answers_by_number(interview(ANSWER, ANSWER), (2,)) == {2: 2}
    assert answers_by_number(interview(ANSWER), (1, 7)) == {1: 1}  # 7 was taken back with its turn


def test_a_recording_becomes_a_wav_file() -> None:
    pcm = np.arange(-20_000, 20_000, 2, dtype=np.int16)
    found, rate_hz = soundfile.read(io.BytesIO(to_wav(encode(pcm, 1 << 20)[0])), dtype="int16")
    assert rate_hz == 16_000
    assert np.array_equal(found, pcm)


def test_without_consent_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    async def story() -> None:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        record = new(CONFIG, mode="text", ttl_s=60)
        await save(store, record, None)
        assert (
            await withdraw(store, record)
            == RecordingList(None)
            == await recordings_of(store, record)
        )
        assert await store.read(f"recordings:{record.id}") == []
        await store.aclose()

    asyncio.run(story())
