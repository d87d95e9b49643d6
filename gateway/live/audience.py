"""`Audience`: the listeners of a live session beside its client, such as a recruiter."""

import logging
from typing import Literal, Protocol

from pipeline.frames import Samples
from pipeline.stage import Observed

logger = logging.getLogger("parley.connection")

MOST_LISTENERS = 4
"""The most observers of one session: each has its pictures drawn for it. The person of the session,
who may listen by a player of its own, does not count."""


Voices = Literal["interviewer", "both"]
"""The voices that a listener hears."""


class AudienceFull(Exception):
    """The session has as many observers as it may have."""

    def __str__(self) -> str:
        return f"{MOST_LISTENERS} are listening to this session already"


class Listener(Protocol):
    """Takes the outputs of a session. Plain calls that neither wait nor raise."""

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session."""

    def over(self) -> None:
        """The session has ended, or the listener has failed: nothing more comes. Idempotent."""


class Mixed(Protocol):
    """Makes one track of both voices, for all listeners that want it. Plain calls."""

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of the session."""

    def hear(self, pcm: Samples) -> None:
        """Take the person's audio, at 16 kHz, as the session gets it."""

    def over(self) -> None:
        """Note that the mix has raised an exception: nothing more comes."""


class Audience:
    """A `pipeline.stage.Observer` that passes one session's outputs on to its listeners.

    `rate_hz` is that of its reply audio, and `face` the one that its client asked for. A listener
    that raises is removed, so that it costs the session nothing more. The person of the session has
    a place of its own among the listeners. `hear` takes the person's audio.
    """

    def __init__(self, rate_hz: int, face: str | None = None) -> None:
        self.rate_hz = rate_hz
        self.face = face
        self.mixed: Mixed | None = None
        """The track of both voices, once a listener has wanted it."""
        self._listeners: list[Listener] = []
        self._person: Listener | None = None  # one of them
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def has_person(self) -> bool:
        """Whether the person of the session listens."""
        return self._person is not None

    def join(self, listener: Listener, *, person: bool = False) -> None:
        """Pass outputs on to this listener, too, until it leaves. Raises `AudienceFull`.

        The `person` of the session is never refused: a new connection of the person, after the last
        player was lost, replaces the one before.
        """
        if person:
            if (last := self._person) is not None:
                self.leave(last)
                last.over()
            self._person = listener
        elif len(self._listeners) - self.has_person >= MOST_LISTENERS:
            raise AudienceFull
        self._listeners.append(listener)
        if self._closed:
            listener.over()

    def leave(self, listener: Listener) -> None:
        """Pass nothing more on to this listener. Idempotent."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if listener is self._person:
            self._person = None

    def hear(self, pcm: Samples) -> None:
        """Take the person's audio. Called for every piece of audio: no task, no queue."""
        if self.mixed is None or not self._listeners:
            return
        try:
            self.mixed.hear(pcm)
        except Exception:
            self._lose_mix(self.mixed)

    def _lose_mix(self, mixed: Mixed) -> None:
        logger.exception("the voices of a session are mixed no longer")
        self.mixed = None
        mixed.over()

    def observe(self, output: Observed, now: float) -> None:
        if not self._listeners:
            return
        if self.mixed is not None:
            try:
                self.mixed.observe(output, now)
            except Exception:
                self._lose_mix(self.mixed)
        for listener in tuple(self._listeners):
            try:
                listener.observe(output, now)
            except Exception:
                logger.exception("a listener failed, and is sent away")
                self.leave(listener)
                listener.over()

    def close(self) -> None:
        """End all listeners: the session has ended."""
        self._closed = True
        for listener in tuple(self._listeners):
            listener.over()
