"""`SessionCommands`: performs a client's commands on its session, once the session is open."""

from dataclasses import replace
from typing import Any

from gateway.live.assistant import AssistantHost
from gateway.live.calls import Calls, LiveHost
from gateway.live.client_output import ClientOutput
from gateway.live.out_of_band import OutOfBandReplies
from gateway.live.resumption import Line
from gateway.live.tools import ClientTools
from gateway.live.transport import Media
from gateway.protocols.dialect import (
    AnswerToolCall,
    ClearAudio,
    Command,
    CommitTurn,
    InterruptReply,
    Leave,
    OutOfBand,
    PressKey,
    ProtocolError,
    Reconfigure,
    ReportPlayed,
    Respond,
    RespondOutOfBand,
    Resumed,
    StopOutOfBand,
    Truncate,
    TypedText,
)
from gateway.protocols.request import AssistantRequest
from pipeline.frames import Fault
from pipeline.session import Session

IN_LINE = (Reconfigure, TypedText, PressKey, CommitTurn, ClearAudio, Respond, Leave)
"""Commands that hold only after the audio before them."""


class SessionCommands:
    """Performs commands on one session and its host. Plain calls."""

    def __init__(
        self,
        session: Session,
        host: LiveHost,
        calls: Calls,
        out_of_band: OutOfBandReplies,
        output: ClientOutput,
        tools: ClientTools,
    ) -> None:
        self._session = session
        self._host = host
        self._calls = calls
        self._out_of_band = out_of_band
        self._output = output
        self._tools = tools
        self.words_of = host.words_of

    def perform(self, command: Command) -> None:
        """Do what a command says. Audio, and the end of the session, are the connection's."""
        session = self._session
        match command:
            case TypedText(text):
                session.typed(text)
            case PressKey(key):
                if words := self._host.words_of(key):
                    session.typed(words)
            case InterruptReply():
                session.interrupt()
            case CommitTurn():
                session.commit()
            case ClearAudio():
                session.forget()
            case ReportPlayed(turn, played_ms):
                session.played(turn, played_ms)
            case Truncate(turn, heard_ms):
                session.truncate(turn, heard_ms)
            case Reconfigure():
                self._reconfigure(command)
            case Respond(assistant, waits):
                if isinstance(self._host, AssistantHost):
                    self._host.once(assistant)
                session.respond(waits=waits)
            case RespondOutOfBand(key, assistant):
                self._answer_aside(key, assistant)
            case AnswerToolCall(call_id, result, failed):
                try:
                    self._tools.answer(call_id, result, failed=failed)
                except ProtocolError as error:
                    self._output.refuse(error)
            case StopOutOfBand(key):
                self._out_of_band.stop(key)

    def welcome(self, line: Line, media: Media[Any], texts: int) -> None:
        """Send a client that is back what it missed, and the session's state. `texts` is how many
        of its typed texts have arrived."""
        wanted, ready = line.request.resume, self._output.ready
        assert wanted is not None
        assert ready is not None
        self._output.use(line.transport, media.reply_rate_hz)
        complete = self._output.repeat(wanted.seq)
        self._output.emit(
            replace(
                ready,
                audio_in=media.audio_in,
                audio_out=media.audio_out,
                interview=self._host.describe(),
                resume=line.token,
                resumed=Resumed(kept=True, complete=complete, texts=texts),
            )
        )

    def proceed(self) -> None:
        """Note that the client hears the reply again."""
        self._session.proceed()

    def _reconfigure(self, command: Reconfigure) -> None:
        host, session = self._host, self._session
        before = host.language
        host.request(command.request)
        session.listen_in(self._calls.heard(host), self._calls.canned(host))
        if host.language != before:
            for notice in self._calls.notices(host, command.request):
                self._output.emit(Fault(0, notice.code, notice.message))
        session.reconfigure(self._calls.turn_policy(command.request))

    def _answer_aside(self, key: str, assistant: AssistantRequest) -> None:
        try:
            self._out_of_band.begin(key, assistant)
        except ProtocolError as error:
            self._output.emit(OutOfBand(key, done=True, failed=error.message))
