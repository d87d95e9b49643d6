"""Recorded answers: `/api/sessions/{id}/recordings`, and each as a file with byte ranges."""

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.recordings import (
    RecordingList,
    answers_by_number,
    recordings_of,
    sound_of,
    to_wav,
    withdraw,
)
from gateway.interviews.service import InterviewService
from gateway.interviews.sessions import load
from gateway.interviews.state import InterviewState
from gateway.reports.page import Player, ReportSound
from gateway.rest.operation import HttpReply, Operation, ResponseSpec, negotiate
from gateway.rest.problems import NO_SUCH_SESSION, STORE_UNAVAILABLE, Kind
from gateway.rest.sending import DOWNLOADS_FULL, Outgoing, Reservation, Sent
from gateway.rest.session_models import ShownConsent, utc
from gateway.rest.sessions import TAGS, session_id_of
from gateway.store import Store
from pipeline.frames import INPUT_RATE_HZ

NO_SUCH_RECORDING = Kind("no_such_recording", 404, "There is no recording with this number")
INVALID_RANGE = Kind("invalid_range", 416, "The recording has no such range")

FLAC, WAV = "audio/flac", "audio/wav"

MOST_CONVERTED = 2
"""Recordings that are converted to WAV at a time: up to 20 MB each."""

MOST_EMBEDDED_BYTES = 20 << 20
"""The limit for all recordings that are embedded in a report's page."""

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class ShownRecording(BaseModel):
    """One recorded answer. `number` counts the candidate's messages, from 1.

    `answer` is the number of the report's question that it belongs to, null if it was no answer.
    `problem` says why it was not kept: too_large, session_full, busy or not_stored; `url` is null
    then.
    """

    number: int
    answer: int | None
    recorded: Annotated[str, Field(description="when it was stored, UTC")]
    duration_ms: int
    size_bytes: int
    url: str | None
    problem: str | None


class Recordings(BaseModel):
    """A session's recordings. Without consent, or after its withdrawal, there are none."""

    consent: ShownConsent | None
    recordings: list[ShownRecording]

    @classmethod
    def of(cls, state: InterviewState, known: RecordingList) -> "Recordings":
        """The recordings for a response."""
        numbers = tuple(item.number for item in known.items)
        interview = state.interview
        answers = {} if interview is None else answers_by_number(interview, numbers)
        shown = [
            ShownRecording(
                number=item.number,
                answer=answers.get(item.number),
                recorded=utc(item.at),
                duration_ms=item.duration_ms,
                size_bytes=item.size_bytes,
                url=None if item.problem else url_of(state.record.id, item.number),
                problem=item.problem,
            )
            for item in known.items
        ]
        return cls(consent=ShownConsent.of(known), recordings=shown)


def url_of(session_id: str, number: int) -> str:
    """The path of a recording on this server."""
    return f"/api/sessions/{session_id}/recordings/{number}"


async def sound_for_page(store: Store, state: InterviewState, base: str) -> ReportSound | None:
    """The recordings for the report's page, None without consent.

    Recordings beyond `MOST_EMBEDDED_BYTES` in all are linked below `base`.
    """
    shown = Recordings.of(state, await recordings_of(store, state.record))
    if shown.consent is None:
        return None
    players: dict[int, list[Player]] = {}
    left_bytes = MOST_EMBEDDED_BYTES
    for recording in shown.recordings:
        if recording.answer is None or recording.url is None:
            continue
        source = f"{base}{recording.url}"
        embedded = recording.size_bytes <= left_bytes
        if embedded:
            file = await sound_of(store, state.record.id, recording.number)
            if file is None:  # it was erased meanwhile
                continue
            left_bytes -= len(file)
            source = await asyncio.to_thread(_as_data, file)
        player = Player(source, recording.duration_ms, embedded)
        players.setdefault(recording.answer, []).append(player)
    consent = shown.consent
    return ReportSound(consent.by, consent.at, consent.withdrawn, players)


def _as_data(file: bytes) -> str:
    return f"data:{FLAC};base64,{base64.b64encode(file).decode()}"


def recording_operations(
    interviews: Callable[[], InterviewService], store: Store
) -> list[Operation]:
    """All endpoints of recordings."""
    converting = asyncio.Semaphore(MOST_CONVERTED)
    outgoing = Outgoing()

    async def listed(request: Request) -> Recordings:
        state = await interviews().written.state(session_id_of(request))
        return Recordings.of(state, await recordings_of(store, state.record))

    async def play(request: Request) -> Response:
        form = negotiate(request, (FLAC, WAV))
        record, _ = await load(store, session_id_of(request))
        number = request.path_params["number"]
        found = None
        if number.isascii() and number.isdigit() and len(number) < 10:
            found = (await recordings_of(store, record)).find(int(number))
        if found is None:
            raise NO_SUCH_RECORDING()
        wav_bytes = 2 * INPUT_RATE_HZ * found.duration_ms // 1000
        reservation = outgoing.reserve(wav_bytes if form == WAV else found.size_bytes)
        try:
            file = await sound_of(store, record.id, found.number)
            if file is None:
                raise NO_SUCH_RECORDING()
            if form == WAV:
                async with converting:
                    file = await asyncio.to_thread(to_wav, file)
            etag = f'"{found.number}-{round(found.at * 1000)}-{form[-4:]}"'
            return _part(request, file, form, etag, reservation)
        except BaseException:
            reservation.release()
            raise

    async def erase(request: Request) -> HttpReply:
        record, _ = await load(store, session_id_of(request))
        await withdraw(store, record)
        return HttpReply(status=204)

    return [
        Operation(
            method="GET",
            path="/api/sessions/{id}/recordings",
            name="listRecordings",
            handler=listed,
            summary="List the recorded answers",
            tags=TAGS,
            answers={200: ResponseSpec("The recordings", Recordings)},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE),
        ),
        Operation(
            method="DELETE",
            path="/api/sessions/{id}/recordings",
            name="deleteRecordings",
            handler=erase,
            summary="Withdraw the consent to recording",
            description="All recordings of the session are erased, and none is made from now on."
            " Idempotent.",
            tags=TAGS,
            answers={204: ResponseSpec("They are gone")},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE),
        ),
        Operation(
            method="GET",
            path="/api/sessions/{id}/recordings/{number}",
            name="getRecording",
            handler=play,
            summary="Get a recorded answer",
            description="16 kHz, mono, as FLAC, or as WAV if `Accept` asks for it. One `Range`"
            " of bytes is answered with 206, several with the whole file.",
            tags=TAGS,
            answers={
                200: ResponseSpec(
                    "The recording",
                    media=(FLAC, WAV),
                    headers={"ETag": "changes with the sound", "Accept-Ranges": "bytes"},
                ),
                206: ResponseSpec(
                    "A part of it",
                    media=(FLAC, WAV),
                    headers={"Content-Range": "which bytes, of how many"},
                ),
            },
            errors=(
                NO_SUCH_SESSION,
                NO_SUCH_RECORDING,
                INVALID_RANGE,
                DOWNLOADS_FULL,
                STORE_UNAVAILABLE,
            ),
        ),
    ]


def _part(
    request: Request, file: bytes, form: str, etag: str, reservation: Reservation
) -> Response:
    """The file, or the part of it that `Range` names (RFC 9110, 14)."""
    headers = {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "accept-ranges": "bytes",
        "vary": "Accept",
        "etag": etag,
    }
    wanted = _RANGE.fullmatch(request.headers.get("range", "").strip())
    first, last = ("", "") if wanted is None else (wanted[1], wanted[2])
    wrong = not first + last or (first and last and int(last) < int(first))
    if wrong or request.headers.get("if-range", etag) != etag:
        return Sent(file, 200, headers, form, reservation)
    if first:
        start, stop = int(first), min(int(last) + 1 if last else len(file), len(file))
    else:  # the last `last` bytes
        start, stop = max(0, len(file) - int(last)), len(file)
    if start >= stop:
        raise INVALID_RANGE(headers={"content-range": f"bytes */{len(file)}"})
    headers["content-range"] = f"bytes {start}-{stop - 1}/{len(file)}"
    return Sent(file[start:stop], 206, headers, form, reservation)
