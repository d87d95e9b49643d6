"""The worker's side: one recogniser or one voice, and the gateways that use it, whichever server
has made their connections (`docs/worker-protocol.md`)."""

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from pipeline.stage import Converter, Synthesizer, Transcriber
from stages._remote_connection import ConnectionLost, WorkerConnection
from stages._remote_protocol import (
    PROTOCOL,
    Fields,
    ProtocolViolation,
    control,
    number,
    parsed,
)
from stages._remote_work import RecognitionWork, RemoteWork, SynthesisWork

logger = logging.getLogger("stages.remote")

HELLO_S = 5.0
"""How soon after the handshake a gateway must send `hello`."""

LAST_WORDS_S = 1.0
"""How long the last messages may take to the gateways."""

UNUSED_S = 2.0
"""How long a connection of one call may wait for its call, and stay open after it."""

MOST_CONNECTIONS = 2048
MOST_UNSENT = 64
"""Messages that may wait for one gateway; beyond half of it partial transcripts are left out."""

NORMAL, RESTARTING, POLICY, PROTOCOL_ERROR = 1000, 1012, 1008, 1002


class Conversations:
    """Serves `stage`, whose slot is "stt" or "tts", to gateways that show `key`, if there is one.

    At most `places` calls are under way at a time; a further one is refused as busy. `convert`
    makes a converter from a voice's sample rate to the one that a gateway wants. A server calls
    `converse` for each connection that `refusal` allows, and `drain` to end them.

    With `single` a connection carries one call: the gateway is asked to leave it (`draining`) when
    the call begins, or when none comes. Then a load balancer chooses for each call, and the number
    of connections says how busy this worker is.
    """

    def __init__(
        self,
        slot: Literal["stt", "tts"],
        stage: Transcriber | Synthesizer,
        convert: Callable[[int, int], Converter],
        *,
        key: str | None = None,
        places: int = 64,
        single: bool = False,
    ) -> None:
        self.calls = 0
        """Calls under way."""
        self.draining = False
        self._slot = slot
        self._stage: Any = stage
        self._convert = convert
        self._key = key
        self._places = places
        self._single = single
        self._said: dict[WorkerConnection, asyncio.Queue[bytes | str]] = {}
        self._idle = asyncio.Event()

    def health(self) -> dict[str, Any]:
        """What `GET /health` tells."""
        return {
            "status": "draining" if self.draining else "ready",
            "stage": self._slot,
            "provider": self._stage.provider,
            "calls": self.calls,
            "places": self._places,
        }

    def refusal(self, authorization: str) -> tuple[int, str] | None:
        """The HTTP status, with words, for a client that may not connect; None if it may.

        `authorization` is the header of this name, "" if there is none.
        """
        if self._key is not None:
            given = authorization.encode(errors="replace")
            if not hmac.compare_digest(given, f"Bearer {self._key}".encode()):
                return 401, "this worker needs its key"
        if len(self._said) >= MOST_CONNECTIONS:
            return 503, "too many connections"
        return None

    async def drain(self, within_s: float) -> None:
        """Begin no further call, let those under way end within this time, then close."""
        self.draining = True
        for said in self._said.values():
            _put(said, control("draining").decode())
        try:
            async with asyncio.timeout(within_s):
                while self.calls:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            logger.warning("%d calls are broken off", self.calls)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                for said in tuple(self._said.values()):
                    await said.join()
        closing = [one.close(RESTARTING, "the worker ends") for one in tuple(self._said)]
        await asyncio.gather(*closing)

    async def converse(self, connection: WorkerConnection) -> None:
        """Serve one gateway until its connection ends."""
        said: asyncio.Queue[bytes | str] = asyncio.Queue(MOST_UNSENT)
        self._said[connection] = said
        tasks = {asyncio.create_task(_write(connection, said))}
        work: RemoteWork | None = None
        try:
            hello = await self._hello(connection)
            if hello is None:
                return
            left = asyncio.Event()
            work = self._work(hello, said, left)
            if self.draining:
                await said.put(control("draining").decode())
            begun = asyncio.Event()
            if self._single:
                tasks.add(asyncio.create_task(_have_leave(connection, said, work, begun, left)))
            while True:
                self._take(work, await connection.recv())
                begun.set()
        except ProtocolViolation as error:
            logger.warning("a gateway sent nonsense: %s", error)
            await connection.close(PROTOCOL_ERROR, _reason(error))
        except ConnectionLost:
            pass
        finally:
            # A server may cancel this while it waits below, so nothing else comes after that.
            if work is not None:
                work.cancel()
            for task in tasks:
                task.cancel()
            del self._said[connection]
            while not said.empty():  # or `drain` would wait for it
                said.get_nowait()
                said.task_done()
            await asyncio.wait(tasks)
            if work is not None:
                await work.ended()

    # --- inside --------------------------------------------------------------------------------

    async def _hello(self, connection: WorkerConnection) -> Fields | None:
        """The gateway's `hello`, answered; None if it was refused."""
        try:
            async with asyncio.timeout(HELLO_S):
                first = await connection.recv()
        except TimeoutError:
            await connection.close(POLICY, "no hello came")
            return None
        if isinstance(first, bytes):
            raise ProtocolViolation("sound before `hello`")
        kind, hello = parsed(first)
        if kind != "hello":
            raise ProtocolViolation(f"{kind[:40]!r} before `hello`")
        problem = self._problem(hello)
        if problem is not None:
            await connection.send(control("refused", message=problem).decode())
            await connection.close(POLICY, "refused")
            return None
        await connection.send(control("ready", **self._ready(hello)).decode())
        return hello

    def _problem(self, hello: Fields) -> str | None:
        theirs = hello.get("protocol")
        if theirs != PROTOCOL:
            return (
                f"this worker speaks version {PROTOCOL} of the workers' protocol, and the gateway"
                f" version {str(theirs)[:20]}: bring both to the same release"
            )
        if hello.get("stage") != self._slot:
            return f"this is a worker for {self._slot}, not for {str(hello.get('stage'))[:20]}"
        if self._slot == "tts" and not 8_000 <= number(hello, "rate_hz") <= 48_000:
            return "rate_hz is from 8000 to 48000"
        return None

    def _ready(self, hello: Fields) -> dict[str, Any]:
        detail, languages = getattr(self._stage, "detail", None), None
        if self._slot == "stt":
            languages = getattr(self._stage, "languages", None)
        return {
            "protocol": PROTOCOL,
            "stage": self._slot,
            "provider": self._stage.provider,
            "detail": str(detail()) if callable(detail) else "",
            "languages": None if languages is None else [*languages],
        }

    def _work(
        self, hello: Fields, said: "asyncio.Queue[bytes | str]", left: asyncio.Event
    ) -> RemoteWork:
        def begin() -> bool:
            return not left.is_set() and self._begin()

        if self._slot == "stt":
            return RecognitionWork(self._stage, said, begin, self._end)
        rate_hz = number(hello, "rate_hz")
        return SynthesisWork(self._stage, said, begin, self._end, self._convert, rate_hz)

    def _take(self, work: RemoteWork, message: bytes | str) -> None:
        if isinstance(message, bytes):
            work.hear(message)
            return
        kind, fields = parsed(message)
        work.take(kind, number(fields, "epoch"), fields)

    def _begin(self) -> bool:
        """Whether another call may begin; it is counted."""
        if self.calls >= self._places:
            return False
        self.calls += 1
        return True

    def _end(self) -> None:
        self.calls -= 1
        if not self.calls:
            self._idle.set()


async def _write(connection: WorkerConnection, said: "asyncio.Queue[bytes | str]") -> None:
    """Send the queued messages until cancelled; drop them after the connection has ended."""
    while True:
        message = await said.get()
        try:
            await connection.send(message)
        except ConnectionLost:
            pass
        finally:
            said.task_done()


async def _have_leave(
    connection: WorkerConnection,
    said: "asyncio.Queue[bytes | str]",
    work: RemoteWork,
    begun: asyncio.Event,
    left: asyncio.Event,
) -> None:
    """Have the gateway leave its connection after one call, or if none has `begun`.

    A gateway that does not leave is disconnected. Its call ends first, and what it is told is sent.
    Further calls are refused once `left` is set, when the gateway has surely been told.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(UNUSED_S):
            await begun.wait()
    await said.put(control("draining").decode())
    unused = 0
    while unused < 2:
        await asyncio.sleep(UNUSED_S)
        left.set()
        unused = 0 if work.under_way or said.qsize() else unused + 1
    await connection.close(NORMAL, "its call is over")


def _reason(error: ProtocolViolation) -> str:
    """Its words as the reason of a close, which has 123 bytes at most."""
    return str(error).encode(errors="replace")[:120].decode(errors="ignore")


def _put(said: "asyncio.Queue[bytes | str]", message: bytes | str) -> None:
    if not said.full():
        said.put_nowait(message)
