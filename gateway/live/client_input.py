"""`ClientInput`: passes on what one client sends, in order and paced, once the session is open."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic

from gateway.live.audience import Audience
from gateway.live.audio_readers import AudioReaders
from gateway.live.ingress import SHORTEST_MS, Flooded, IngressPacer
from gateway.live.ingress_timer import IngressTimer
from gateway.live.transport import Media, P, Transport
from gateway.media.codecs import RefusedAudio
from gateway.protocols.dialect import AnswerToolCall, Command, ProtocolError, Reconfigure
from pipeline.frames import Samples
from pipeline.session import Session
from pipeline.tool_rounds import MOST_CALLS_A_ROUND, MOST_ROUNDS

MOST_EARLY_RESULTS = MOST_ROUNDS * MOST_CALLS_A_ROUND
"""The most results of functions that wait for the session: as many as one reply, whose client has
come back over a new line, can have asked for. Each may have 64 KiB."""


class ClientInput(Generic[P]):
    """One client's audio, and the commands between its pieces. Belongs to the event loop. Plain
    calls.

    Once `leaving` is set, audio is ignored. `spoke` is set by the first audio. `obey` performs a
    command that is due, `complain` reports refused audio, `flooded` ends the session of a client
    that sends too much.
    """

    def __init__(
        self,
        transport: Transport[P],
        media: Media[P],
        leaving: asyncio.Event,
        spoke: asyncio.Event,
        *,
        obey: Callable[[Command], None],
        complain: Callable[[ProtocolError], None],
        flooded: Callable[[Flooded], None],
    ) -> None:
        self.media = media
        """The format of the audio that comes from now on."""
        self._leaving = leaving
        self._spoke = spoke
        self._obey = obey
        self._complain = complain
        self._flooded = flooded
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._audience: Audience | None = None
        self._early: deque[P | Command] = deque()  # bounded by the pacer's counting
        self._early_results = 0  # of functions, among all that was early
        self._readers = AudioReaders(media.reader)
        self.pacer: IngressPacer[P] = IngressPacer(self._feed, obey)
        self._timer = IngressTimer(self.pacer, transport, leaving)

    def on_audio(self, data: P) -> None:
        """Take audio. The hot path: no task, no queue."""
        if self._leaving.is_set():
            return
        reader = self.media.reader
        try:
            duration_ms = reader.duration_ms(data)
        except RefusedAudio as error:
            self._complain(ProtocolError(error.code, str(error)))
            if not error.lost_ms:
                return
            data, duration_ms = reader.lost, error.lost_ms
        now = self._loop.time()
        try:
            if duration_ms < SHORTEST_MS:
                self.pacer.count(now)
            if self._session is None:
                self._spoke.set()
            waits = bool(duration_ms) and self.pacer.take(data, duration_ms, now)
        except Flooded as error:
            self._flooded(error)
        else:
            if waits:
                self._timer.start()

    def _feed(self, data: P) -> None:
        if self._session is None:
            self._early.append(data)
        else:
            pcm = self._readers.current.read(data)
            self._session.feed(pcm)
            if self._audience is not None and self._audience.mixed is not None:
                self._audience.hear(pcm)

    # --- formats -----------------------------------------------------------------------------

    def begin_with(self, media: Media[P]) -> None:
        """Set the format of the client's first request: no audio has come yet."""
        self.media = media
        self._readers.current = media.reader

    def change(self, command: Reconfigure, media: Media[P]) -> None:
        """Set the format of audio that comes after the command; waiting audio keeps its format."""
        self.media = media
        self._readers.follow(command, media.reader)

    def reach(self, command: Command) -> None:
        """Note that all audio before a command was fed."""
        self._readers.reach(command)

    # --- before the session, and after the line was lost -------------------------------------

    def keep(self, command: Command) -> None:
        """Keep a command until the session is open.

        Raises `ProtocolError` for more results of functions than a reply can wait for.
        """
        if isinstance(command, AnswerToolCall):
            if self._early_results == MOST_EARLY_RESULTS:
                text = f"at most {MOST_EARLY_RESULTS} calls can wait for a result"
                raise ProtocolError("no_such_call", text)
            self._early_results += 1
        self._early.append(command)

    def join(self, session: Session, audience: Audience | None) -> None:
        """Give the open session what came before it. `audience` hears the audio that the session
        gets."""
        self._session, self._audience = session, audience
        early, self._early = self._early, deque()
        self.take(early)

    def take(self, early: Iterable[P | Command]) -> None:
        """Feed audio and perform commands that came earlier."""
        for item in early:
            if isinstance(item, Command):
                self._obey(item)
            else:
                self._feed(item)

    def use(self, transport: Transport[P], command: Reconfigure, media: Media[P]) -> None:
        """Take input over another transport, by which the client has come back."""
        self.change(command, media)
        self._timer.use(transport)
        self.pacer.follow(command)

    # --- the end -----------------------------------------------------------------------------

    def stop(self) -> None:
        """Feed nothing more. Idempotent."""
        self._timer.stop()

    def rest(self) -> Iterator[Samples]:
        """The audio that still waits, for the session's last words."""
        for item in self.pacer.rest():
            if isinstance(item, Command):
                self._readers.reach(item)
            else:
                yield self._readers.current.read(item)

    def handed_over(self) -> tuple[P | Command, ...]:
        """Everything that has reached no session, for another connection."""
        return (*self._early, *self.pacer.rest())
