"""Sidebands: connections that follow and steer a call over WebRTC beside its client, such as
that of the server behind the page that made it.

A sideband is sent every message that the client is sent, and what it says counts as the client's
own. Errors in its messages are reported to it alone. A call goes on when a sideband comes or goes;
a sideband ends with the call.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from gateway.live.client_secrets import ClientSecret
from gateway.live.ingress import Flooded, MessageRate
from gateway.protocols.client_events import EVENT_TOO_LONG, event_id_at_edge
from gateway.protocols.dialect import CloseCode, Command, ProtocolError, Send, WireMessage
from gateway.security import Grant, digest_of

MOST_SIDEBANDS = 4
"""The most sidebands of one call; each is sent all messages of the call."""

MOST_BY_SECRET = MOST_SIDEBANDS - 1
"""The most sidebands with a client secret, such as a page's: one place is left for an API key."""

MOST_ERRORS = 50
"""The errors of one sideband that are answered; one with more is broken or hostile."""

LONGEST_MESSAGE_BYTES = 64 * 1024
"""As much as the client may send over its data channel, which carries what comes of it."""

MOST_BEHIND_BYTES = 256 * 1024
"""While more waits for the client, a sideband asks for nothing: beyond 1 MiB the client would be
hung up for what others have sent."""

BEHIND = "client_behind"

MOST_HELD, MOST_HELD_BYTES = 50, 256 * 1024
"""The events of one sideband that wait for the session, and their bytes."""

Perform = Callable[[Sequence[Command]], None]
"""Does what commands say. Raises `ProtocolError` and `gateway.live.ingress.Flooded`."""


class SidebandsFull(Exception):
    """The call has as many sidebands as it may have."""

    def __str__(self) -> str:
        return (
            f"A call has at most {MOST_SIDEBANDS} sidebands, {MOST_BY_SECRET} of them with a"
            " client secret."
        )


class ControlledDialect(Protocol):
    """The methods that a `gateway.protocols.dialect.Dialect` needs for calls with sidebands."""

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """See `Dialect.parse`."""

    def refuse(self, error: ProtocolError) -> Sequence[WireMessage]:
        """See `Dialect.refuse`. The last message refuses; client and sidebands get the others."""

    def joined(self) -> Sequence[WireMessage]:
        """The messages about the session for a sideband that joins; none before it is ready."""


class SidebandLine(Protocol):
    """Carries one sideband's messages. Plain calls that do not raise."""

    def send(self, message: WireMessage) -> None:
        """Send a message of the dialect's."""

    def over(self, code: CloseCode, reason: str) -> None:
        """Nothing more comes: close. Idempotent."""


class Sidebands:
    """The sidebands of one call. Its client speaks `dialect`; `makers` are the names of its maker.

    Belongs to the event loop.
    """

    def __init__(self, dialect: ControlledDialect, makers: frozenset[str]) -> None:
        self.makers = makers
        self.when_over: Callable[[], object] = bool
        """Called once, when the call is over. A plain call that does not raise."""
        self._dialect = dialect
        self._taken = self._by_secret = 0
        self._lines: dict[SidebandLine, _Conduct] = {}
        self._perform: Perform | None = None
        self._unsent: Callable[[], int] = int
        self._over: tuple[CloseCode, str] | None = None

    @property
    def over(self) -> bool:
        """The call has ended."""
        return self._over is not None

    # --- of the call -------------------------------------------------------------------------

    def begin(self, perform: Perform, unsent: Callable[[], int] = int) -> None:
        """The session is ready: `perform` obeys the sidebands' messages, the early ones first.
        `unsent` says how many bytes wait for the client."""
        if self._over is not None:
            return
        self._perform, self._unsent = perform, unsent
        for line, conduct in tuple(self._lines.items()):
            held, conduct.held = conduct.held, []
            for data, now in held:
                self._obey(line, data, now)

    def send(self, message: WireMessage) -> None:
        """Send a message of the client's to all sidebands."""
        for line in tuple(self._lines):
            line.send(message)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close all sidebands with the code and the reason of the call's end. Idempotent."""
        if self._over is not None:
            return
        self._over = code, reason
        self._perform, self._unsent = None, int
        for line in tuple(self._lines):
            line.over(code, reason)
        self.when_over()

    # --- of one sideband ---------------------------------------------------------------------

    @contextmanager
    def place(self, *, by_secret: bool = False) -> Iterator[None]:
        """A place for a sideband until the block ends. Raises `SidebandsFull`."""
        if self._taken >= MOST_SIDEBANDS or (by_secret and self._by_secret >= MOST_BY_SECRET):
            raise SidebandsFull
        self._taken += 1
        self._by_secret += by_secret
        try:
            yield
        finally:
            self._taken -= 1
            self._by_secret -= by_secret

    def join(self, line: SidebandLine) -> None:
        """Send it the messages from here on, first what tells it of the session as it is."""
        if self._over is not None:
            line.over(*self._over)
            return
        for message in self._dialect.joined():
            line.send(message)
        self._lines[line] = _Conduct()

    def leave(self, line: SidebandLine) -> None:
        """Send it nothing more. Idempotent."""
        self._lines.pop(line, None)

    def said(self, line: SidebandLine, data: bytes, now: float) -> None:
        """A text message of a sideband; `now` is the loop's clock. Before the session stands it
        waits."""
        conduct = self._lines.get(line)
        if conduct is None or self._over is not None:
            return
        try:
            conduct.rate.count(now)
        except Flooded as error:
            self._dismiss(line, str(error))
            return
        if len(data) > LONGEST_MESSAGE_BYTES:
            text = f"An event of a sideband has at most {LONGEST_MESSAGE_BYTES} bytes."
            error_of = ProtocolError(EVENT_TOO_LONG, text, event_id=event_id_at_edge(data))
            self._refuse(line, conduct, error_of)
        elif self._perform is not None:
            self._obey(line, data, now)
        elif conduct.holds(data):
            conduct.held.append((data, now))
        else:
            self._dismiss(line, "too many events before the session")

    def _obey(self, line: SidebandLine, data: bytes, now: float) -> None:
        conduct = self._lines.get(line)
        if conduct is None or self._perform is None:  # dismissed, or over, by what came before
            return
        if self._unsent() > MOST_BEHIND_BYTES:
            text = "The call's client has not taken earlier events yet; send this one again."
            self._tell(line, ProtocolError(BEHIND, text))  # no fault of this one's
            return
        try:
            for command in self._dialect.parse(data, now):
                if isinstance(command, Send) and command.private:
                    line.send(command.message)
                else:
                    self._perform((command,))
        except ProtocolError as error:
            self._refuse(line, conduct, error)
        except Flooded as error:
            self._dismiss(line, str(error))

    def refuse(self, line: SidebandLine, error: ProtocolError) -> None:
        """A sideband has sent something that is no message of the dialect's."""
        conduct = self._lines.get(line)
        if conduct is not None:
            self._refuse(line, conduct, error)

    def _refuse(self, line: SidebandLine, conduct: "_Conduct", error: ProtocolError) -> None:
        self._tell(line, error)
        conduct.errors += 1
        if error.fatal or conduct.errors > MOST_ERRORS:
            self._dismiss(line, error.message if error.fatal else "too many errors")

    def _tell(self, line: SidebandLine, error: ProtocolError) -> None:
        *for_all, refusal = self._dialect.refuse(error)
        if for_all and self._perform is not None:
            self._perform([Send(message) for message in for_all])
        line.send(refusal)

    def control(self, line: SidebandLine, now: float) -> bool:
        """A ping, or another frame that is no message. False if it is not to be answered."""
        conduct = self._lines.get(line)
        try:
            if conduct is not None:
                conduct.rate.count(now)
        except Flooded as error:
            self._dismiss(line, str(error))
            return False
        return conduct is not None

    def _dismiss(self, line: SidebandLine, reason: str) -> None:
        """Close the connection of a sideband; the call goes on."""
        self.leave(line)
        line.over(CloseCode.POLICY, reason)


class _Conduct:
    """The conduct of one sideband: its rate, its errors and its early messages."""

    def __init__(self) -> None:
        self.rate = MessageRate()
        self.errors = 0
        self.held: list[tuple[bytes, float]] = []
        """The messages that came before the session was ready, each with its time."""

    def holds(self, data: bytes) -> bool:
        """Whether a further message may be held."""
        size = len(data) + sum(len(held) for held, _ in self.held)
        return len(self.held) < MOST_HELD and size <= MOST_HELD_BYTES


class ControlledCalls:
    """The calls of a process that may have sidebands, by their ids."""

    def __init__(self) -> None:
        self._live: dict[str, Sidebands] = {}  # bounded by the places for sessions

    def add(self, call_id: str, sidebands: Sidebands) -> None:
        """A call has begun; it is known until it is over."""
        if not sidebands.over:
            self._live[call_id] = sidebands
            sidebands.when_over = partial(self._live.pop, call_id, None)

    def has(self, call_id: str) -> bool:
        """Whether a call of this id is live."""
        return call_id in self._live

    def find(self, call_id: str, names: frozenset[str] | None) -> Sidebands | None:
        """A live call whose makers have one of these `names`, or any live call where they are
        None."""
        found = self._live.get(call_id)
        if found is None or not (names is None or names & found.makers):
            return None
        return found


def makers_of(secret: ClientSecret | None, grant: Grant | None) -> frozenset[str]:
    """The names of the maker of a call, with a client secret or an API key: a secret stands for
    itself and for the key with which it was made."""
    found = set(names_of(secret, grant))
    if secret is not None and secret.client is not None:
        found.add(secret.client)
    return frozenset(found)


def names_of(secret: ClientSecret | None, grant: Grant | None) -> frozenset[str]:
    """The names that a client has by its client secret or its API key."""
    if secret is not None:
        return frozenset({digest_of(secret.value)})
    return frozenset() if grant is None else frozenset({grant.owner or grant.digest})
