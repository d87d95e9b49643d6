"""A call: a conversation with a gateway, which goes on when its line breaks."""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, Unpack

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)

from parley_client.errors import CallEnded, LineLost, MessageError, Refused
from parley_client.events import Error, Event, LineBroke, Ready, Transcript, decoded
from parley_client.options import Options
from parley_client.results import Results
from parley_client.wishes import Wishes

OPEN_S = 10.0
"""Time limit for one attempt to connect."""
CLOSE_S = 5.0
"""Time limit for the close handshake."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 3.0
"""Between attempts to connect again: doubled each time, and spread by half."""
LONGEST_TEXT_BYTES = 8 * 1024
"""The gateway takes no longer answer."""
MOST_UNSENT = 8
"""Typed answers whose arrival is not known yet. The gateway takes no more either."""
ABNORMAL = 1006
"""The code of a line that broke without a close frame (RFC 6455, 7.4.1)."""

FINAL = frozenset({1002, 1003, 1007, 1008, 1009, 4404})
"""Close codes after which the same client would be closed again."""
PASSING = frozenset({429, 500, 502, 503, 504})
"""Answers of a proxy whose gateway is being started again, also without `Retry-After`."""
AGAIN = frozenset({"already_connected", "still_ending"})
"""Fatal errors that pass while a client tries to come back: the gateway holds its old line yet."""


@asynccontextmanager
async def connect(
    url: str, session_id: str | None = None, **wishes: Unpack[Wishes]
) -> AsyncIterator["Call"]:
    """Hold a call with the gateway at `url` (`ws://127.0.0.1:8000`, `https://…`, with any path).

    Without `session_id` the session is a new one. `wishes` are the fields of `Options`. Leaving the
    block ends the session; what was answered is stored.

    Raises `Refused`, or `LineLost` where no gateway is. Cancelling closes the line.
    """
    call = Call(url, session_id or secrets.token_hex(16), Options(**wishes))
    try:
        await call._dial()
        yield call
    finally:
        await call._close()


class Call:
    """An open call. Iterate over it for its events, in one task; send from any task.

    The iteration ends when the gateway has finished, and raises `CallEnded`, `LineLost` or
    `MessageError` where the call cannot go on. It has to keep reading: a gateway disconnects a
    client that reads nothing for two seconds. When the line breaks there is a `LineBroke`, and then
    a `Ready` with `resumed`, once the gateway is reached again.
    """

    def __init__(self, url: str, session_id: str, options: Options) -> None:
        self.session_id = session_id
        self.options = options
        self._unsent: list[tuple[int | None, str]] = []  # with their numbers in the conversation
        self._typed = 0  # the number of the last one
        self._url = f"{_web_socket(url)}/ws/{session_id}"
        self._socket: ClientConnection | None = None
        self._stands = asyncio.Event()
        self._token: str | None = None
        self._seq = 0
        self._fatal: Error | None = None
        self._lost_at: float | None = None
        self._results = Results()
        self._hung_up = False
        self._left = False  # there is no way back
        self._over = False  # the iteration has ended, by itself or by an error
        self._closed = False
        self._returning: asyncio.Task[None] | None = None  # while it connects again

    @property
    def unsent(self) -> list[str]:
        """Typed answers of which it is not known that they have arrived, the oldest first."""
        return [text for _, text in self._unsent]

    # --- reading -----------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._next()
        except (StopAsyncIteration, CallEnded, LineLost, Refused):
            self._end()
            raise

    def _end(self) -> None:
        self._over = True
        self._stands.set()  # nobody waits for the line any more

    async def _next(self) -> Event:
        while True:
            if self._socket is None:
                if self._left:
                    raise StopAsyncIteration
                await self._come_back()
            assert self._socket is not None
            try:
                event, seq = decoded(await self._socket.recv())
            except ConnectionClosed as closed:
                broke = self._broken(closed)
                if broke is not None:
                    return broke
                continue
            if isinstance(event, Error) and event.fatal:
                self._fatal = event
                if self._lost_at is not None and event.code in AGAIN | {"cannot_resume"}:
                    continue  # the way back is not this one, and its `seq` not the conversation's
            if seq is not None:
                self._seq = seq
            self._results.take(event)
            if isinstance(event, Transcript) and event.final:
                self._acknowledge(event.text)
            if isinstance(event, Ready):
                await self._stand(event)
            return event

    def _broken(self, closed: ConnectionClosed) -> LineBroke | None:
        """What the end of the line means: an event, None to come back at once, or raises."""
        code = ABNORMAL if closed.rcvd is None else closed.rcvd.code
        fatal, self._fatal = self._fatal, None
        self._stands.clear()
        self._socket = None
        forgotten = fatal is not None and fatal.code == "cannot_resume"
        over = self._hung_up and (forgotten or self._token is None)
        if code == 1000 or self._left or over:
            self._left = True
            raise StopAsyncIteration
        if self._lost_at is not None and fatal is not None:
            if forgotten:
                self._token = None  # the interview is stored; the conversation begins anew
                return None
            if fatal.code in AGAIN:
                return None
        if code in FINAL or (fatal is not None and fatal.code != "going_away"):
            why = fatal.message if fatal is not None else f"the gateway closed with {code}"
            raise CallEnded(why, code=fatal.code if fatal is not None else "", close_code=code)
        if self._lost_at is not None:
            return None  # it broke again on the way back
        self._lost_at = asyncio.get_running_loop().time()
        return LineBroke(str(closed))

    async def _stand(self, ready: Ready) -> None:
        self._token = ready.resume
        self._over = False
        try:
            if self._lost_at is not None:
                await self._send_again(ready.resumed or {})
                if self._hung_up:  # behind what was typed before
                    await self._send({"type": "bye"})
        finally:
            self._lost_at = None
            self._stands.set()  # what is typed from here on comes after what was sent again

    async def _send_again(self, resumed: Mapping[str, Any]) -> None:
        """The line is back: send what was typed and has not arrived, and nothing twice. Results of
        functions are sent twice rather than not at all."""
        for message in self._results.unsure:
            await self._send(message)
        if not resumed.get("kept"):  # another conversation: what had arrived cannot be told
            self._unsent = [(None, text) for text in self.unsent]
            self._typed = 0
            return
        arrived = resumed.get("texts")
        if isinstance(arrived, int):
            self._unsent = [one for one in self._unsent if one[0] is None or one[0] > arrived]
        elif not resumed.get("complete"):  # a gateway that does not count, and has forgotten
            return
        for number, text in tuple(self._unsent):
            if number is not None:
                await self._send({"type": "text", "text": text})

    def _acknowledge(self, heard: str) -> None:
        """Forget what was typed once a final transcript has it."""
        left = f" {' '.join(heard.split())} "
        waiting: list[tuple[int | None, str]] = []
        for number, text in self._unsent:
            before, found, after = left.partition(f" {' '.join(text.split())} ")
            if found:  # each word stands for one answer
                left = f"{before} {after}"
            else:
                waiting.append((number, text))
        self._unsent = waiting

    # --- the line ----------------------------------------------------------------------------

    async def _dial(self) -> None:
        """Connect once and say hello. Raises `Refused` or `LineLost`."""
        try:
            self._socket = await dial(
                self._url,
                additional_headers=self.options.headers(),
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                compression=None,  # of audio nothing can be squeezed
            )
        except InvalidStatus as refused:
            raise _refusal(refused) from None
        except InvalidURI as error:
            raise ValueError(f"{self._url} is no address of a gateway: {error}") from None
        except (OSError, TimeoutError, EOFError, InvalidMessage, InvalidHandshake) as error:
            why = str(error) or type(error).__name__
            raise LineLost(f"no gateway answers at {self._url}: {why}") from None
        await self._send(self.options.hello(self._token, self._seq))

    async def _come_back(self) -> None:
        """Connect again, for as long as `reconnect_s` allows. Raises `Refused` or `LineLost`, and
        StopAsyncIteration where the call is closed meanwhile."""
        self._returning = asyncio.create_task(self._dial_until_it_stands())
        try:
            await self._returning
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if self._closed and not (this is not None and this.cancelling()):
                raise StopAsyncIteration from None
            raise
        finally:
            self._returning = None

    async def _dial_until_it_stands(self) -> None:
        loop = asyncio.get_running_loop()
        if self._lost_at is None:
            self._lost_at = loop.time()
        give_up_at = self._lost_at + self.options.reconnect_s
        pause_s = FIRST_PAUSE_S
        while True:
            wait_s = pause_s * random.uniform(0.5, 1)
            if loop.time() + wait_s > give_up_at:
                raise LineLost(f"the line broke and did not come back: {self._url}")
            await asyncio.sleep(wait_s)
            try:
                return await self._dial()
            except LineLost:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Refused as refused:
                if refused.retry_after_s is not None:
                    pause_s = max(refused.retry_after_s, FIRST_PAUSE_S)
                elif refused.status in PASSING:
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                else:
                    raise

    async def _close(self) -> None:
        self._closed = self._left = True
        if (returning := self._returning) is not None:
            returning.cancel()
            await asyncio.wait([returning])
        socket, self._socket = self._socket, None
        self._end()
        if socket is not None:
            await socket.close()

    async def _send(self, message: Mapping[str, Any] | bytes) -> bool:
        """Send it if there is a line; whether there was."""
        if self._socket is None:
            return False
        try:
            data = message if isinstance(message, bytes) else json.dumps(message)
            await self._socket.send(data)
        except ConnectionClosed:
            return False  # whoever iterates finds it, and comes back
        return True

    # --- sending -----------------------------------------------------------------------------

    async def send_audio(self, pcm: bytes) -> bool:
        """Send at most 100 ms of the microphone: whole samples of 16 bits. Silence is needed, too.

        False where there is no line at the moment: audio of that time is lost, as it is for anybody
        who speaks into a dead telephone.
        """
        return self._stands.is_set() and await self._send(pcm)

    async def say(self, text: str) -> None:
        """Answer in writing. Waits for the line where it is broken; is sent again if it breaks.

        Raises ValueError where eight such answers are under way already, and for a text that is
        empty or longer than 8 KiB; LineLost where the call is over.
        """
        if not text.strip() or len(text.encode()) > LONGEST_TEXT_BYTES:
            raise ValueError(f"an answer has 1 to {LONGEST_TEXT_BYTES} bytes, and a word")
        if len(self._unsent) >= MOST_UNSENT:
            raise ValueError(f"{MOST_UNSENT} typed answers have not arrived yet")
        if self._lost_at is not None or self._socket is None:
            await self._stands.wait()
        if self._over:
            raise LineLost("the call is over; this was not sent")
        self._typed += 1
        self._unsent.append((self._typed, text))
        await self._send({"type": "text", "text": text})

    async def interrupt(self) -> None:
        """Stop the reply now."""
        await self._send({"type": "interrupt"})

    async def commit(self) -> None:
        """The spoken turn ends here: push to talk."""
        await self._send({"type": "commit"})

    async def answer_tool(self, call_id: str, result: Any) -> None:
        """Give the interviewer what a function of this client's returned, after a `ToolCall`.

        `result` is whatever JSON can hold, 64 KiB of it at most. Where the line breaks it is sent
        again, in the same conversation and while its reply waits for it.
        """
        await self._send(self._results.add(call_id, result))

    async def played(self, turn: int, ms: float) -> None:
        """Say how much of a reply has been played; without it the gateway's clock counts."""
        await self._send({"type": "played", "turn": turn, "ms": ms})

    async def ping(self, t: float | str) -> None:
        """Ask for a `Pong` with the same `t`."""
        await self._send({"type": "ping", "t": t})

    async def hang_up(self) -> None:
        """End the session; the iteration ends when the gateway has stored what was said.

        Where the line is lost the gateway is told when it is back: go on iterating.
        """
        self._hung_up = True
        if self._lost_at is None:  # else it follows what was typed, when the line is back
            await self._send({"type": "bye"})


def _web_socket(url: str) -> str:
    """The WebSocket address of a gateway's, which may be HTTP's."""
    scheme, separator, rest = url.partition("://")
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if not separator or scheme not in schemes or not rest.strip("/"):
        raise ValueError(f"{url!r} is no address of a gateway, such as ws://127.0.0.1:8000")
    return f"{schemes[scheme]}://{rest.rstrip('/').removesuffix('/ws')}"


def _refusal(refused: InvalidStatus) -> Refused:
    response = refused.response
    try:
        body = json.loads(response.body or b"")
    except ValueError:  # a WebSocket is refused in plain text
        plain = response.headers.get("Content-Type", "").startswith("text/plain")
        text = bytes(response.body or b"").decode(errors="replace").strip()
        body = {"detail": text[:200] if plain else ""}
    body = body if isinstance(body, dict) else {}
    code, message = str(body.get("code", "")), str(body.get("detail") or body.get("error") or "")
    after = response.headers.get("Retry-After", "")
    return Refused(
        f"the gateway answered {response.status_code}" + (f": {message}" if message else ""),
        status=response.status_code,
        code=code,
        retry_after_s=float(after) if after.isdecimal() else None,
    )


__all__ = ["Call", "MessageError", "connect"]
