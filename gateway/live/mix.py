"""`VoiceMix`: both voices of a session as one track, for the session's listeners. Pure.

The interviewer's frames come up to 200 ms before they are due; the person's audio comes as the
network delivers it. One call takes 20 ms of both.
"""

from collections import deque

import numpy as np

from pipeline.frames import ReplyAudio, Samples

MIX_HZ = 24_000
FRAME = MIX_HZ // 50
"""Samples of 20 ms."""

MOST_REPLIES = 50
"""The most frames of the interviewer that wait; playout is never more than ten ahead."""

BEGINS_AT = 3 * FRAME
"""Samples of the person's voice that wait before it begins: a late packet then leaves no gap."""

MOST_HEARD = 30 * FRAME
"""The most samples of the person's voice that wait: ingress lets through half a second at once. The
oldest are dropped."""

QUIET = 300
"""If too much of the person's voice waits, audio below this sample value is left out: 40 dB below
the loudest. So a stall of the network leaves no lasting delay."""

_LOUDEST = np.iinfo(np.int16)


class VoiceMix:
    """Takes frames of at most 20 ms and samples of any length, all at `MIX_HZ`."""

    def __init__(self) -> None:
        self.playing: ReplyAudio | None = None
        """The interviewer's frame in the latest 20 ms that were taken."""
        self._replies: deque[ReplyAudio] = deque(maxlen=MOST_REPLIES)
        self._heard: deque[Samples] = deque()
        self._waiting = 0  # samples of the person's
        self._flows = False  # the person's voice is being taken

    def reply(self, frame: ReplyAudio) -> None:
        """Take the interviewer's next frame."""
        self._replies.append(frame)

    def hear(self, pcm: Samples) -> None:
        """Take the person's next audio."""
        if len(pcm):
            self._heard.append(pcm)
            self._waiting += len(pcm)
        while self._waiting > MOST_HEARD:
            self._waiting -= len(self._heard.popleft())

    def clear(self) -> None:
        """Drop the rest of the reply, which was interrupted."""
        self._replies.clear()
        self.playing = None

    def take(self) -> Samples | None:
        """Return the next 20 ms of both voices; None if neither has anything."""
        self.playing = self._replies.popleft() if self._replies else None
        person = self._person()
        if self.playing is None:
            return person
        reply = self.playing.pcm
        if person is None:
            return reply
        both = person.astype(np.int32)
        both[: len(reply)] += reply[:FRAME]
        return both.clip(_LOUDEST.min, _LOUDEST.max).astype(np.int16)

    def _person(self) -> Samples | None:
        if not self._flows and self._waiting < BEGINS_AT:
            return None
        pcm = self._next()
        if self._waiting > 2 * BEGINS_AT and int(np.abs(pcm).max()) < QUIET:
            pcm = self._next()
        self._flows = self._waiting > 0
        return pcm

    def _next(self) -> Samples:
        """Take 20 ms of the person's voice, filled up with silence."""
        parts, wanted = [], FRAME
        while wanted and self._heard:
            part = self._heard.popleft()
            if len(part) > wanted:
                self._heard.appendleft(part[wanted:])
                part = part[:wanted]
            parts.append(part)
            wanted -= len(part)
        self._waiting -= FRAME - wanted
        return np.concatenate([*parts, np.zeros(wanted, np.int16)])
