"""Recordings are kept after the answer, for as long as the session, and never at its cost."""

import asyncio
import io
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from gateway.interviews import recorder as module
from gateway.interviews.consent import Consent
from gateway.interviews.recorder import Recorder, encode
from gateway.interviews.recordings import Recorded, RecordingList, recordings_of, sound_of, withdraw
from gateway.interviews.sessions import (
    SessionOwner,
    SessionRecord,
    delete,
    load,
    new,
    save,
)
from gateway.interviews.state import Given
from gateway.interviews.uploads import UploadRecording
from gateway.interviews.written import WrittenInterviews
from gateway.store import Entry, SqliteStore, StoreUnavailable
from pipeline.frames import Samples
from stages.interview import InterviewConfig

Story = Callable[[SqliteStore], Coroutine[Any, Any, None]]

TONE: Samples = (6000 * np.sin(2 * np.pi * np.arange(8_000) / 80)).astype(np.int16)
CONSENT = Consent(by="Ada", at=1_000.0)


class Clock:
    """Seconds that a test may let pass."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tell(tmp_path: Path, clock: Clock) -> Callable[[Story], None]:
    def tell(story: Story) -> None:
        async def main() -> None:
            store = SqliteStore(tmp_path / "parley.sqlite3", clock=clock)
            try:
                async with asyncio.timeout(20):
                    await story(store)
            finally:
                await store.aclose()

        asyncio.run(main())

    return tell


async def session(store: SqliteStore, consent: Consent | None = CONSENT) -> SessionRecord:
    config = InterviewConfig("Software Engineer", "auto", 2)
    record = new(config, mode="text", ttl_s=60, recording=consent)
    await save(store, record, None)
    return record


async def keep(
    store: Any, record: SessionRecord, *sounds: Any, allowed: bool = True, number: int = 1
) -> None:
    """Have the sounds kept, from that number on, and wait until that is done."""
    async with asyncio.TaskGroup() as group:
        recorder = Recorder(store, group, allowed=allowed)
        for at, sound in enumerate(sounds, start=number):
            recorder.keep(record, at, sound)
        await recorder.aclose()


async def shelf(store: SqliteStore, record: SessionRecord) -> RecordingList:
    return await recordings_of(store, record)


def problems(found: RecordingList) -> list[str | None]:
    return [item.problem for item in found.items]


def test_what_was_said_can_be_played_as_it_was(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(store, record, TONE)
        (item,) = (await shelf(store, record)).items
        file = await sound_of(store, record.id, 1)
        assert file is not None
        pcm, rate_hz = soundfile.read(io.BytesIO(file), dtype="int16")
        assert (rate_hz, item.duration_ms, item.size_bytes) == (16_000, 500, len(file))
        assert np.array_equal(pcm, TONE)
        assert len(file) < TONE.nbytes

    tell(story)


def test_an_upload_is_kept_from_its_beginning_and_its_file_closed(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        with tempfile.TemporaryFile() as file:
            file.write(np.tile(TONE, 5).tobytes())  # stands at its end, as after recognition
            await keep(store, record, UploadRecording(cast("Any", file), 40_000))
            assert file.closed
        assert [i.duration_ms for i in (await shelf(store, record)).items] == [2_500]

    tell(story)


@pytest.mark.parametrize(("consent", "allowed"), [(None, True), (CONSENT, False)])
def test_without_consent_or_permission_nothing_is_kept(
    tell: Any, consent: Consent | None, allowed: bool
) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store, consent)
        upload = UploadRecording(io.BytesIO(TONE.tobytes()), 8_000)
        await keep(store, record, TONE, upload, allowed=allowed)
        assert upload.file.closed
        assert (await shelf(store, record)).items == ()
        assert await sound_of(store, record.id, 1) is None

    tell(story)


def test_a_recording_over_the_bound_is_noted_and_the_next_one_kept(
    tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(7).integers(-9000, 9000, 64_000).astype(np.int16)
    monkeypatch.setattr(module, "MOST_BYTES", 40_000)

    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(store, record, noise, TONE)
        assert problems(await shelf(store, record)) == ["too_large", None]
        assert await sound_of(store, record.id, 1) is None

    tell(story)


def test_a_session_keeps_so_much_and_says_so_beyond_it(
    tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(encode(TONE, 1 << 20)[0])
    monkeypatch.setattr(module, "MOST_SESSION_BYTES", 2 * size)

    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(store, record, TONE, TONE, TONE)
        assert problems(await shelf(store, record)) == [None, None, "session_full"]
        monkeypatch.setattr(module, "MOST_SESSION_BYTES", 2 * size + 10)
        await keep(store, record, TONE, number=4)  # there is room, but not enough
        assert problems(await shelf(store, record))[3] == "session_full"

    tell(story)


def test_what_is_said_again_replaces_what_was_kept(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(store, record, TONE)
        await keep(store, record, TONE[:3_200])
        assert [i.duration_ms for i in (await shelf(store, record)).items] == [200]

    tell(story)


def test_too_many_at_a_time_are_noted_and_beyond_that_only_logged(
    tell: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    monkeypatch.setattr(module, "MOST_NOTED", 1)

    async def story(store: SqliteStore) -> None:
        record = await session(store)
        late = UploadRecording(io.BytesIO(TONE.tobytes()), 8_000)
        await keep(store, record, TONE, TONE, late)
        assert late.file.closed
        assert problems(await shelf(store, record)) == [None, "busy"]
        assert f"session {record.id}: recording 3 is not kept: busy" in caplog.messages

    tell(story)


class Ailing:
    """A store that fails at, or lets something happen before, its n-th commit."""

    def __init__(self, store: SqliteStore, event: Any, at: int = 1) -> None:
        self._store = store
        self._event = event
        self._left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *writes: Any) -> tuple[int, ...]:
        self._left -= 1
        if self._left == 0:
            await self._event()
        return await self._store.commit(*writes)


async def fails() -> None:
    raise StoreUnavailable("the disk is full")


def test_a_store_that_does_not_take_it_is_noted(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(Ailing(store, fails), record, TONE)
        assert problems(await shelf(store, record)) == ["not_stored"]

    tell(story)


def test_where_even_that_cannot_be_noted_it_is_logged(
    tell: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        monkeypatch.setattr(store, "commit", lambda *_: fails())
        await keep(store, record, TONE)
        assert f"session {record.id}: recording 1 is not kept" in caplog.messages

    tell(story)


@pytest.mark.parametrize("at", [1, 2])
def test_nothing_is_left_of_a_session_that_is_deleted_meanwhile(tell: Any, at: int) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        if at == 1:
            await keep(Ailing(store, lambda: delete(store, record.id)), record, TONE)
        else:
            await delete(store, record.id)
            await keep(store, record, TONE)
        assert await sound_of(store, record.id, 1) is None
        assert await store.read(f"recordings:{record.id}") == []

    tell(story)


def test_nothing_is_left_where_consent_is_taken_back_meanwhile(tell: Any) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(Ailing(store, lambda: withdraw(store, record)), record, TONE)
        assert await sound_of(store, record.id, 1) is None
        assert (await shelf(store, record)).items == ()
        await keep(store, record, TONE)  # and none is made from now on
        assert await sound_of(store, record.id, 1) is None

    tell(story)


def test_it_goes_with_an_unfinished_session(tell: Any, clock: Clock) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)
        await keep(store, record, TONE)
        clock.now += 61
        assert await sound_of(store, record.id, 1) is None
        assert (await shelf(store, record)).items == ()

    tell(story)


def test_it_lives_as_long_as_its_session_which_goes_on(tell: Any, clock: Clock) -> None:
    async def story(store: SqliteStore) -> None:
        made = await session(store)
        interviews = WrittenInterviews(store, SessionOwner.here())
        state = await interviews.start(made.id)
        after = (await interviews.submit(state, Given("we measured it first"))).state
        await keep(store, after.record, TONE)
        clock.now += 50
        after = (await interviews.submit(after, Given("and then we went on"))).state
        assert after.record.finished
        clock.now += 1_000_000
        assert await sound_of(store, made.id, 1) is not None
        assert len((await shelf(store, after.record)).items) == 1

    tell(story)


def test_a_session_that_is_finished_meanwhile_keeps_it(tell: Any, clock: Clock) -> None:
    async def story(store: SqliteStore) -> None:
        record = await session(store)

        async def finished() -> None:
            current, version = await load(store, record.id)
            await save(store, current.model_copy(update={"finished": True}), version)

        await keep(Ailing(store, finished), record, TONE)
        clock.now += 1_000_000
        assert await sound_of(store, record.id, 1) is not None

    tell(story)


def test_closing_waits_for_recordings_under_way_for_a_limited_time(
    tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_WAIT_S", 0.01)

    async def story(store: SqliteStore) -> None:
        record = await session(store)
        stuck = asyncio.Event()

        async def hangs(key: str) -> list[Entry]:
            await stuck.wait()
            return []

        monkeypatch.setattr(store, "read", hangs)
        upload = UploadRecording(io.BytesIO(TONE.tobytes()), 8_000)
        await keep(store, record, upload)
        assert upload.file.closed

    tell(story)


def test_a_recorded_item_knows_why_it_is_not_there() -> None:
    found = RecordingList(
        CONSENT, None, (Recorded(1, 5.0, problem="busy"), Recorded(2, 6.0, 500, 9))
    )
    assert (found.find(1), found.find(2), found.size_bytes) == (None, found.items[1], 9)
