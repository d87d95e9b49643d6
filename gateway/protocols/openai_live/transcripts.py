"""The words of both sides, with their places on the session's timeline. Pure.

Fragments are shown once and never taken back, so a client that appends them to one another has
the transcript. The person's words come when the recogniser is sure of them; the reply's come with
their audio, so that words which were not heard are not shown.
"""

from dataclasses import dataclass

from gateway.protocols.openai_live.captions import Captions, Fragment
from gateway.protocols.openai_live.errors import Event
from gateway.protocols.openai_live.timeline import InputTimeline, OutputTimeline


@dataclass(slots=True)
class _Utterance:
    began_ms: int  # in the input audio
    ended_ms: int | None = None


class LiveTranscripts:
    """The transcripts of one session. Methods return the events to send."""

    def __init__(self) -> None:
        self.input = InputTimeline()
        self.output = OutputTimeline()
        self._captions = Captions()
        self._utterances: dict[int, _Utterance] = {}  # by turn, of those without words so far
        self._heard_any = False
        self._said_any = False

    # --- the person --------------------------------------------------------------------------

    def speech_began(self, turn: int, at_ms: int) -> None:
        """The person speaks. Earlier speech that was never recognised belongs to this turn."""
        waiting = [self._utterances.pop(known) for known in sorted(self._utterances)]
        began_ms = min([at_ms, *(one.began_ms for one in waiting)])
        self._utterances[turn] = _Utterance(began_ms)

    def speech_ended(self, turn: int, at_ms: int) -> None:
        """The turn's audio is complete."""
        self._utterances.setdefault(turn, _Utterance(at_ms)).ended_ms = at_ms

    def understood(self, turn: int, text: str) -> list[Event]:
        """The person's words in a turn; no events for typed words."""
        utterance = self._utterances.pop(turn, None)
        words = text.strip()
        if utterance is None or utterance.ended_ms is None or not words:
            return []
        start_ms = self.input.at(utterance.began_ms)
        end_ms = max(start_ms, self.input.at(utterance.ended_ms))
        delta = f" {words}" if self._heard_any else words
        self._heard_any = True
        return [_delta("session.input_transcript.delta", delta, start_ms, end_ms)]

    def turn_over(self, turn: int, *, carried: bool) -> None:
        """The engine is done with a turn, with or without words, unless the turn is carried on."""
        if not carried:
            self._utterances.pop(turn, None)

    # --- the reply ---------------------------------------------------------------------------

    def reply_began(self) -> None:
        self._captions = Captions()

    def reply_says(self, text: str) -> None:
        """A sentence is about to be spoken."""
        self._captions.say(text)

    def reply_lies(self, from_ms: float, until_ms: float) -> list[Event]:
        """Where the last sentence lies in the reply."""
        return self._shown(self._captions.lies(from_ms, until_ms))

    def played(self, at_ms: float, duration_ms: float, now_ms: float) -> list[Event]:
        """A frame of the reply has been sent."""
        self.output.play(at_ms, duration_ms, now_ms)
        fragments = self._captions.play(at_ms + duration_ms)
        return self._shown(fragments) if fragments else []

    def reply_stopped(self, now_ms: float) -> None:
        """No more of the reply is heard, for now."""
        self.output.stop(now_ms)

    def reply_over(self, heard: str, now_ms: float) -> list[Event]:
        """The reply is over: all of this text was heard, or shown without sound."""
        captions = self._captions
        until_ms = max(captions.sent_ms, 0.0)
        rest = captions.rest(heard, until_ms)
        if captions.sent_ms < 0:  # in text alone: it has no place in any audio
            return [self._said(one.text, round(now_ms), round(now_ms)) for one in rest]
        return self._shown(rest)

    def _shown(self, fragments: list[Fragment]) -> list[Event]:
        return [
            self._said(one.text, self.output.at(one.from_ms), self.output.at(one.until_ms))
            for one in fragments
        ]

    def _said(self, text: str, start_ms: int, end_ms: int) -> Event:
        delta = f" {text}" if self._said_any else text
        self._said_any = True
        return _delta("session.output_transcript.delta", delta, start_ms, max(start_ms, end_ms))


def _delta(kind: str, delta: str, start_ms: int, end_ms: int) -> Event:
    return {"type": kind, "delta": delta, "start_ms": start_ms, "end_ms": end_ms}
