"""The sound of spoken answers, kept where the operator allows it and the session has consent.

Number n is what the candidate said as the n-th: its sound is an entry, a FLAC file (16 kHz, mono,
16 bit). A log tells what was kept, what could not be and why, and when the consent was taken back.
Both live as long as the session.
"""

import io
import json
import time
from dataclasses import dataclass

import soundfile

from gateway.interviews.keys import SessionKeys
from gateway.interviews.sessions import Consent, SessionRecord
from gateway.store import Append, Store
from pipeline.frames import INPUT_RATE_HZ, Word
from stages.interview import AnswerSpeech, InterviewSession, RecognitionSource, answers_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording. `at` is when it was stored, in seconds since the epoch.

    `problem` says why there is nothing: "too_large", "session_full", "busy" or "not_stored".
    """

    number: int
    at: float
    duration_ms: int = 0
    size_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingList:
    """What is known of a session's recordings, by number. After `withdrawn_at` there are none."""

    consent: Consent | None
    withdrawn_at: float | None = None
    items: tuple[Recorded, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    def find(self, number: int) -> Recorded | None:
        """The recording of that number that can be played."""
        found = (item for item in self.items if item.number == number and item.problem is None)
        return next(found, None)


async def recordings_of(store: Store, record: SessionRecord) -> RecordingList:
    """Which recordings the session has."""
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
    """The recording as a FLAC file, None where it is not there any more."""
    entry = await store.get(SessionKeys(session_id).recording(number))
    return None if entry is None else entry.value


async def withdraw(store: Store, record: SessionRecord) -> RecordingList:
    """Erase the session's recordings, and keep none from now on. Harmless where that was done."""
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
    """The number of what the candidate said last; 0 where that was only the wish to begin."""
    return max(0, len(_spoken(interview)) - 1)


def number_added(before: InterviewSession, after: InterviewSession) -> int | None:
    """The number of what the candidate has said since `before`, None where that was nothing."""
    number = number_of(after)
    return number if number > number_of(before) else None


def answers_by_number(interview: InterviewSession, numbers: tuple[int, ...]) -> dict[int, int]:
    """To which answers of the report the recordings belong, both counting from 1.

    What was no answer, a request to repeat the question, say, belongs to none.
    """
    spoken = _spoken(interview)
    # What belongs to one answer is joined with its words: a word of its own marks each message.
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
    """A recording as a WAV file of 16 bit. For a thread."""
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
    """Where the candidate's messages are; the first is the wish to begin."""
    return [at for at, message in enumerate(interview.messages) if message.role == "user"]
