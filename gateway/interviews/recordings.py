"""Recordings of spoken answers, kept if the operator allows it and the session has consent.

Recording n is the sound of the candidate's n-th message: an entry that holds a FLAC file (16 kHz,
mono, 16 bit). A log notes which recordings were kept, which could not be kept and why, and when the
consent was withdrawn. Both live as long as the session.
"""

import io
import json
import time
from dataclasses import dataclass

import soundfile

from gateway.interviews.consent import Consent
from gateway.interviews.keys import SessionKeys
from gateway.interviews.sessions import SessionRecord
from gateway.store import Append, Store
from pipeline.frames import INPUT_RATE_HZ, Word
from stages.interview import AnswerSpeech, InterviewSession, RecognitionSource, answers_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording. `at` is when it was stored, in seconds since the epoch.

    `problem` says why it was not kept: "too_large", "session_full", "busy" or "not_stored".
    """

    number: int
    at: float
    duration_ms: int = 0
    size_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingList:
    """A session's recordings, by number. After `withdrawn_at` there are none."""

    consent: Consent | None
    withdrawn_at: float | None = None
    items: tuple[Recorded, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    def find(self, number: int) -> Recorded | None:
        """The recording with that number, None if there is none that can be played."""
        found = (item for item in self.items if item.number == number and item.problem is None)
        return next(found, None)


async def recordings_of(store: Store, record: SessionRecord) -> RecordingList:
    """The list of the session's recordings."""
    if record.recording is None:
        return RecordingList(None)
    items: dict[int, Recorded] = {}
    withdrawn_at = None
    for _, line in await store.read(record.keys.recordings):
        entry = json.loads(line)
        if "withdrawn" in entry:
            withdrawn_at = withdrawn_at or entry["withdrawn"]
        else:
            items[entry["number"]] = Recorded(**entry)
    if withdrawn_at is not None:
        return RecordingList(record.recording, withdrawn_at)
    return RecordingList(record.recording, None, tuple(items[number] for number in sorted(items)))


async def sound_of(store: Store, session_id: str, number: int) -> bytes | None:
    """The recording as a FLAC file, None if it was erased or has expired."""
    entry = await store.get(SessionKeys(session_id).recording(number))
    return None if entry is None else entry.value


async def withdraw(store: Store, record: SessionRecord) -> RecordingList:
    """Erase the session's recordings and keep none from now on. Idempotent."""
    known = await recordings_of(store, record)
    if known.consent is None:
        return known
    if known.withdrawn_at is None:
        line = json.dumps({"withdrawn": round(time.time(), 3)}).encode()
        await store.commit(Append(record.keys.recordings, line, record.lifetime_s))
    for _, line in await store.read(record.keys.recordings):  # every one ever noted
        if (number := json.loads(line).get("number")) is not None:
            await store.delete(record.keys.recording(number))
    return await recordings_of(store, record)


def number_of(interview: InterviewSession) -> int:
    """The number of the candidate's last message; 0 if that is only the request to begin."""
    return max(0, len(_spoken(interview)) - 1)


def number_added(before: InterviewSession, after: InterviewSession) -> int | None:
    """The number of the candidate's new message since `before`, None if there is none."""
    number = number_of(after)
    return number if number > number_of(before) else None


def answers_by_number(interview: InterviewSession, numbers: tuple[int, ...]) -> dict[int, int]:
    """The number of the report's answer for each recording; both count from 1.

    A message that was no answer, such as a request to repeat the question, is left out.
    """
    spoken = _spoken(interview)
    # `answers_of` joins the words of messages that form one answer, so one word per message, the
    # recording's number, shows which answer each message belongs to.
    marks = {
        spoken[number]: AnswerSpeech(RecognitionSource(""), (Word(str(number), 0, 0),))
        for number in numbers
        if number < len(spoken)
    }
    return {
        int(word.text): at
        for at, answer in enumerate(answers_of(interview, marks), start=1)
        if answer.speech is not None
        for word in answer.speech.words
    }


def to_wav(flac: bytes) -> bytes:
    """A recording as a 16-bit WAV file. Blocks: call it in a thread."""
    out = io.BytesIO()
    with (
        soundfile.SoundFile(io.BytesIO(flac)) as source,
        soundfile.SoundFile(
            out, "w", source.samplerate, source.channels, format="WAV", subtype="PCM_16"
        ) as file,
    ):
        for pcm in source.blocks(INPUT_RATE_HZ, dtype="int16"):
            file.write(pcm)
    return out.getvalue()


def _spoken(interview: InterviewSession) -> list[int]:
    """The indexes of the candidate's messages; the first is the request to begin."""
    return [at for at, message in enumerate(interview.messages) if message.role == "user"]
