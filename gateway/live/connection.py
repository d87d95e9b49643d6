"""`Connection`: the life of one client, over any transport and in any dialect.

It does what the client's commands say, in their order, and has the dialect put the session's
outputs into messages. It knows neither JSON nor RTP.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Generic, cast

from gateway.interviews.sessions import SessionTaken
from gateway.live.assistant import NoAssistant
from gateway.live.calls import Calls
from gateway.live.client_input import ClientInput
from gateway.live.client_output import ClientOutput
from gateway.live.ending import Ending
from gateway.live.ingress import Flooded
from gateway.live.opening import OpenedSession, open_session
from gateway.live.out_of_band import OutOfBandReplies
from gateway.live.refused import told
from gateway.live.resumption import Line, Resumption
from gateway.live.returning import CannotResume, hand_over
from gateway.live.session_commands import IN_LINE, SessionCommands
from gateway.live.transport import Media, P, Transport
from gateway.protocols.dialect import (
    SESSION_EXPIRED,
    AudioMessage,
    CloseCode,
    Command,
    Dialect,
    InterruptReply,
    InterviewProgress,
    Leave,
    ProtocolError,
    Reconfigure,
    Send,
    SessionOver,
    Start,
    TypedText,
)
from gateway.protocols.request import SessionRequest
from pipeline.frames import Fault
from pipeline.session import Session
from stages.interview import InterviewError

logger = logging.getLogger("parley.connection")

READY_AFTER_S = 1.0
"""The session begins so long after connecting where the client sends nothing."""

MOST_ERRORS = 50
"""The errors of one client that are answered; a client with more is broken or hostile."""


class Connection(Generic[P]):
    """One client, at `address`, whose credential says `until` when (a Unix time) it may go on:
    `run` it. A `gateway.live.transport.Receiver`."""

    def __init__(
        self,
        transport: Transport[P],
        dialect: Dialect,
        calls: Calls,
        session_id: str,
        address: str | None = None,
        *,
        until: float | None = None,
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._calls = calls
        self._session_id = session_id
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._commands: SessionCommands | None = None  # to the session
        self._watching: asyncio.Task[None] | None = None
        self._out_of_band: OutOfBandReplies | None = None
        self._spoke = asyncio.Event()  # the client's first message is here, or waited for no more
        self._leaving = asyncio.Event()
        self._close = (CloseCode.FINISHED, "")
        self._errors = 0
        self._texts = 0  # typed by the client, over all its lines
        self.joined: Callable[[], object] = bool  # called once the session takes commands
        self._in_queue: asyncio.Timeout | None = None  # while the session waits to begin
        self._input: ClientInput[P] = ClientInput(
            transport,
            self._agree(SessionRequest()),
            self._leaving,
            self._spoke,
            obey=self._obey,
            complain=self.complain,
            flooded=self._flooded,
        )
        self.on_audio = self._input.on_audio
        kept_s = calls.settings.resume_s if dialect.resumable else 0
        self._resumption = Resumption(calls.store, session_id, kept_s, self._come_back)
        self._end_by(until)
        rate_hz = self._input.media.reply_rate_hz
        self._output = ClientOutput(transport, dialect, rate_hz, self._resumption.log)
        self.emit = self._output.emit
        self._ending = Ending(
            self._quiet_at,
            restart=self._restart,
            expire=lambda: self._fail(SESSION_EXPIRED, "the session's time is over"),
            tell=self._output.emit,
            finish_by=self._finish_by,
        )

    def _end_by(self, until: float | None) -> None:
        """The session has to end then (a Unix time), if not before; None where nothing says so."""
        ends_at, left_s = self._calls.session_ends(until)
        if ends_at < self._resumption.ends_at:
            self._resumption.ends_at = ends_at
            self._ends_at = self._loop.time() + left_s

    def _agree(self, request: SessionRequest) -> Media[P]:
        """The client asks for this: choose how its audio travels from now on."""
        self._request = request
        media = self._transport.agree(request)
        return self._calls.clean(media, request, self.complain)

    # --- life --------------------------------------------------------------------------------

    async def run(self) -> tuple[CloseCode, str]:
        """Hold the conversation; returns how it ended, and the reason for the client."""
        self._calls.live.add(self._ending.begin)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._watching = tasks.create_task(self._watch())
                self._out_of_band = OutOfBandReplies(self._calls.responders, tasks, self.emit)
                self.perform(self._dialect.begin())
                self._transport.attach(self)
                await self._converse()
                self._leaving.set()  # the client's messages are ignored from here on
                self._out_of_band.stop_all()
                self._watching.cancel()
        except* Exception as group:
            logger.error("session %s failed", self._session_id, exc_info=group)
            self._fail("internal", "the session failed", CloseCode.INTERNAL)
        finally:
            self._calls.live.remove(self._ending.begin)
            self._input.stop()
            self._output.emit(SessionOver(self._close[0]))
            self._transport.resume()  # for the closing handshake
            self._resumption.hang_up(self._close)
        return self._close

    async def _watch(self) -> None:
        await self._resumption.gone(lambda: self._transport, self._suspend)
        self._leave()

    def _suspend(self) -> bool:
        """The line was lost: whether the session can wait for its client."""
        if self._session is None or self._leaving.is_set():
            return False
        self._session.suspend()
        return True

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(READY_AFTER_S):
                await self._spoke.wait()
        except TimeoutError:
            self._spoke.set()  # what was not said by now is as the defaults say
        if self._leaving.is_set():
            return
        try:
            over = await hand_over(
                self._calls,
                self._session_id,
                self._request,
                self._transport,
                self._hand_over,
                self._end_by,
                self._address,
            )
            if over is not None:
                self._close = over
                return
            if not await self._turn_comes():
                return
            async with AsyncExitStack() as stack:
                await self._hold(stack)
            if not self._calls.live.draining:  # or the next process knows the client
                await self._resumption.forget()
        except (InterviewError, SessionTaken, NoAssistant, CannotResume) as error:
            self._fail(*told(error))

    async def _turn_comes(self) -> bool:
        """Wait until the session may begin. False for a client that left, and has typed nothing."""
        try:
            async with asyncio.timeout(None) as self._in_queue:
                await self._calls.turn()
        except TimeoutError:
            return False
        finally:
            self._in_queue = None
        return True

    async def _hold(self, stack: AsyncExitStack) -> None:
        """Have the session, from its opening to its end."""
        opened = await open_session(
            stack,
            self._calls,
            self._session_id,
            self._request,
            self._transport,
            self._input.media,
            self._output,
            self._resumption,
            progress=lambda state: self.emit(InterviewProgress(state)),
            dismiss=self._dismiss,
            lost=self._lost,
        )
        for refused in opened.refused:
            self.complain(refused)
        # Once `run` has begun, deliver what came before the session stood.
        self._loop.call_soon(self._join, opened)
        await opened.session.run()

    def _join(self, opened: OpenedSession) -> None:
        assert self._out_of_band is not None
        self._session = session = opened.session
        self._commands = SessionCommands(
            session, opened.host, self._calls, self._out_of_band, self._output, opened.tools
        )
        self._input.join(session, opened.audience)
        if self._output.observed is not None:
            self._output.observed.leave = self._leave
        if self._leaving.is_set():
            self._end(session)
        else:
            self._ending.expire_at(self._ends_at, self._calls.settings.drain_s)
            self.joined()

    def _leave(self) -> None:
        """Whatever comes from here on is not looked at; the session takes what waits."""
        self._input.stop()
        self._ending.stop()
        self._transport.pause()
        self._leaving.set()
        self._spoke.set()
        if self._session is not None:
            self._end(self._session)
        elif self._in_queue is not None and not (self._texts or self._in_queue.expired()):
            self._in_queue.reschedule(self._loop.time())

    def _end(self, session: Session) -> None:
        """End it, and let a client that reconnects at once wait until its last words are stored."""
        self._calls.live.leaving(self._session_id)
        assert self._commands is not None
        session.end(self._input.rest(), self._input.pacer.typed(self._commands.words_of))

    def _dismiss(self) -> None:
        """The session was deleted: nothing more is said in it, or stored of it."""
        self._fail("deleted", "the session was deleted", CloseCode.NO_SESSION)

    def _lost(self) -> None:
        """Another process has taken the session over, for a client with its token."""
        self._resumption.taken_with()
        self._fail("taken_over", "the session goes on in another process, or was deleted")

    # --- a client that comes back ------------------------------------------------------------

    def _hand_over(self) -> Sequence[P | Command]:
        """Another connection has the session: let go of the client."""
        assert self._watching is not None
        self._watching.cancel()
        self._ending.stop()
        self._input.stop()
        self._leaving.set()
        return self._input.handed_over()

    def _come_back(self, line: Line) -> None:
        """The client is back: go on over its new transport, with what it missed."""
        assert self._commands is not None
        old, self._transport = self._transport, line.transport
        old.drop("the client has come back over another connection")
        media = self._agree(line.request)
        self._input.use(line.transport, Reconfigure(line.request), media)
        self._commands.welcome(line, media, self._texts)
        self._texts += sum(isinstance(item, TypedText) for item in line.early)
        line.transport.attach(self)
        self._input.take(line.early)
        self._commands.proceed()

    # --- from the client: gateway.live.transport.Receiver ------------------------------------

    def on_text(self, data: bytes) -> None:
        """A text message."""
        if self._leaving.is_set():
            return
        try:
            now = self._loop.time()
            self._input.pacer.count(now)
            self.perform(self._dialect.parse(data, now))
            self._spoke.set()
        except ProtocolError as error:
            self.complain(error)
        except Flooded as error:
            self._flooded(error)

    def on_control(self) -> bool:
        """A frame that is no message, such as a ping: it counts as one."""
        if self._leaving.is_set():
            return False
        try:
            self._input.pacer.count(self._loop.time())
        except Flooded as error:
            self._flooded(error)
        return not self._leaving.is_set()

    # --- commands ----------------------------------------------------------------------------

    def perform(self, commands: Sequence[Command]) -> None:
        """Do what the dialect or a sideband says. Raises `ProtocolError` and `Flooded`."""
        for command in () if self._leaving.is_set() else commands:
            self._perform(command)

    def _perform(self, command: Command) -> None:
        if isinstance(command, AudioMessage):  # far more often than the others
            self.on_audio(cast("P", command.data))  # its dialect knows that audio travels as bytes
            return
        self._texts += isinstance(command, TypedText)
        match command:
            case Start(request):
                if self._spoke.is_set():
                    raise ProtocolError("unexpected_hello", "hello is the first message or none")
                self._input.begin_with(self._agree(request))
                self._spoke.set()
            case Send(message):
                self._output.send(message)
            case InterruptReply(overtakes=False) if self._input.pacer.reply_waits:
                self._input.pacer.follow(command)  # it may mean the reply that is asked for there
            case _ if isinstance(command, IN_LINE):
                if isinstance(command, Reconfigure):
                    self._change_formats(command)
                self._input.pacer.follow(command)
            case _:
                self._obey(command)

    def _obey(self, command: Command) -> None:
        if self._commands is None:
            self._input.keep(command)
            return
        self._input.reach(command)
        if isinstance(command, Leave):
            self._input.pacer.clear()
            self._leave()
        else:
            self._commands.perform(command)

    def _change_formats(self, command: Reconfigure) -> None:
        """Audio that comes from here on has these formats; what waits is still read as it came."""
        if self._request.sound == command.request.sound:
            self._request = command.request
            return
        media = self._agree(command.request)
        self._input.change(command, media)
        self._output.rate.use(media.reply_rate_hz)

    # --- to the client -----------------------------------------------------------------------

    def complain(self, error: ProtocolError) -> None:
        """Tell the client what was wrong with a message of its."""
        self._errors += 1
        if self._errors > MOST_ERRORS:
            self._fail("flooding", "too many errors")
        elif error.fatal:
            self._fail(error.code, error.message)
        else:
            self._output.refuse(error)

    def _flooded(self, error: Flooded) -> None:
        self._fail("flooding", str(error))

    def _fail(self, code: str, message: str, close: CloseCode = CloseCode.POLICY) -> None:
        """Tell the client what is wrong and end the session."""
        if not self._leaving.is_set():
            self.emit(Fault(0, code, message, fatal=True))
            self._close = (close, message)
            self._leave()

    # --- the end of the process --------------------------------------------------------------

    def _restart(self) -> None:
        self._close = (CloseCode.RESTARTING, "the server restarts")
        self._leave()

    def _finish_by(self, at: float) -> None:
        if self._session is not None:
            self._session.finish_by(at)

    def _quiet_at(self) -> float | None:
        if self._session is None or self._resumption.away:
            return self._loop.time()
        return None if self._input.pacer.waiting else self._session.quiet_at()  # more may be heard
