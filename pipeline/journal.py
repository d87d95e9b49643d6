"""The journal: the events and actions of turn-taking, as JSON lines. Pure.

One session per journal, one JSON object per line, times (`t`) in milliseconds since `opened`:

::

    {"v":3,"session":"s-1","origin":12.5,"texts":false,"policy":{…}}    the first line
    {"t":0,"e":"open","a":[{"Answer":[0,0,12.5,false,"",true]}]}        a call and its actions
    {"t":32,"at":32,"chunks":[[0,0,0.01],[32,32,0.02], …]}              calls without actions
    {"t":992,"f":{"SpeechStarted":[1,960]}}                             a frame for the client
    {"t":100,"level":[[0,-61.2],[100,-60.8], …]}                        input audio, dBFS
    {"t":992,"queue":["stt",12.5]}                                      age of the oldest item
    {"t":7e6,"cut":16777216}                                            the journal was full

A dataclass is written as its name with its fields in order. The last fields may be missing, since
older versions had fewer; they have the defaults of their class. A run of chunks without actions is
one line with the time and position since the chunk before, and the probability, of each. An hour of
conversation takes about 3 MB with probabilities of four digits, and 5 MB with all digits.

Replay (`pipeline.replay`) is exact to the bit. A clock's float is written as the shortest decimal
that names it (its `repr`); decimals, unlike floats, can be subtracted and added without loss.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias

from pipeline.decisions import Action, Chunk, EndTurn, Event, PolicyChanged, StartTurn, Understood
from pipeline.endings import Ending, ending, is_backchannel
from pipeline.frames import (
    INPUT_RATE_HZ,
    Clear,
    Degraded,
    Fault,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    Samples,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
)
from pipeline.stage import Observed
from pipeline.turns import TurnPolicy

VERSION = 3
WRITTEN_AS: Mapping[type, str] = MappingProxyType({EndTurn: "Answer", StartTurn: "Listen"})
"""The names of actions in the format that differ from the class names."""

MAX_BYTES = 16 * 1024 * 1024
RUN = 32
"""At most this many chunks or levels share a line; a process that dies loses an unwritten line."""

LEVEL_SAMPLES = INPUT_RATE_HZ // 10
FULL_SCALE = 32_768.0
FLOOR_DBFS = -96.0
"""The level of digital silence, and the lowest level that is written."""

ENDS: Mapping[str, Mapping[Ending, tuple[str, ...]]] = MappingProxyType(
    {
        "en": {"thinking": ("one", "moment"), "closed": ("thanks",)},
        "de": {"thinking": ("einen", "moment"), "closed": ("danke",)},
    }
)
"""These replace a masked text's last words, by language, so that turn-taking judges the mask as the
text. Every request for time has at least two words."""

TEXTS = frozenset({"text", "typed", "heard", "arguments"})
"""The fields that hold words of the conversation."""

NOTED = (
    SpeechStarted,
    SpeechStopped,
    Transcript,
    ReplyStarted,
    ToolCall,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    Clear,
    Degraded,
    TurnMetrics,
    Fault,
)
"""The frames that get a line; of transcripts, only the final ones."""

Cause: TypeAlias = Event | Literal["open", "expire"]
"""Why turn-taking was called: `handle` with an event, `open` or `expire`."""

EXACT = Context(prec=60)
"""More digits than the sum or difference of two moments on a clock can have."""


def written_as(kind: type) -> str:
    """The name of a dataclass in a journal."""
    return WRITTEN_AS.get(kind, kind.__name__)


class Journal:
    """Writes one session's journal, a line at a time, through `write`, which must not block.

    The order of calls is `opened`, everything else, `closed`. Without `texts` every character of
    the conversation is written as `*`, which keeps the lengths. Texts that turn-taking decides by
    also keep their number of words, and whether they read as finished or as an "mm-hm". After
    `max_bytes` one line says that the journal was cut, and nothing follows.

    `keep` takes all input audio, where it is to be kept beside the journal: its first sample is the
    session's position 0, and nothing is left out. It must not block either.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        texts: bool = False,
        max_bytes: int = MAX_BYTES,
        keep: Callable[[Samples], None] | None = None,
    ) -> None:
        self._write = write
        self._texts = texts
        self._keep = keep
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._origin = Decimal(0)
        self._language = TurnPolicy().language
        self._run: list[str] = []
        self._run_t = ""
        self._run_at = Decimal(0)
        self._chunk_now = Decimal(0)
        self._chunk_at = Decimal(0)
        self._levels: list[tuple[int, float]] = []
        self._energy = 0.0
        self._measured = 0

    def opened(self, session_id: str, policy: TurnPolicy, now: float) -> None:
        """The session begins: turn-taking follows `policy`, and `now` is the origin of times."""
        self._origin = _exact(now)
        self._language = policy.language
        head = {
            "v": VERSION,
            "session": session_id,
            "origin": now,
            "texts": self._texts,
            "policy": asdict(policy),
        }
        self._put(_json(head), now)

    def decided(self, cause: Cause, now: float, actions: Sequence[Action]) -> None:
        """Turn-taking was called at `now` and returned `actions`. Every such call is noted once."""
        if self._left <= 0:
            return
        if isinstance(cause, PolicyChanged):
            self._language = cause.policy.language
        if isinstance(cause, Chunk) and not actions:
            self._run_on(cause, now)
            return
        self._flush(now)
        event, taken = _json(self._shown(cause)), _json([self._shown(action) for action in actions])
        self._put(f'{{"t":{self._t(now)},"e":{event},"a":{taken}}}', now)

    def noted(self, frame: Observed, now: float) -> None:
        """A frame was emitted. Audio, visemes, moods and partial transcripts are not written."""
        if self._left <= 0 or not isinstance(frame, NOTED):
            return
        if isinstance(frame, Transcript) and not frame.final:
            return
        self._flush(now)
        self._put(f'{{"t":{self._t(now)},"f":{_json(self._shown(frame))}}}', now)

    def audio(self, pcm: Samples, now: float) -> None:
        """Input audio came, 16 kHz: its level is written, ten times a second, never the audio."""
        if self._keep is not None:
            self._keep(pcm)
        while len(pcm) and self._left > 0:
            room = LEVEL_SAMPLES - self._measured
            part, pcm = pcm[:room].astype("float64"), pcm[room:]
            self._energy += float(part @ part)
            self._measured += len(part)
            if self._measured == LEVEL_SAMPLES:
                self._level(now - len(pcm) / INPUT_RATE_HZ)

    def queue_age(self, name: str, age_ms: float, now: float) -> None:
        """The oldest item of the queue `name` had waited for `age_ms`."""
        if self._left > 0:
            self._put(f'{{"t":{self._t(now)},"queue":{_json([name, round(age_ms, 1)])}}}', now)

    def closed(self, now: float) -> None:
        """The session is over: write the lines that are not full yet."""
        self._flush(now)

    # --- lines -------------------------------------------------------------------------------

    def _run_on(self, chunk: Chunk, now: float) -> None:
        moment, at = _exact(now), _exact(chunk.at_ms)
        if not self._run:
            self._run_t, self._run_at = self._t(now), at
            self._chunk_now, self._chunk_at = moment, at
        after_ms = _plain(EXACT.subtract(moment, self._chunk_now).scaleb(3, EXACT))
        step_ms = _plain(EXACT.subtract(at, self._chunk_at))
        self._run.append(f"[{after_ms},{step_ms},{float(chunk.probability)!r}]")
        self._chunk_now, self._chunk_at = moment, at
        if len(self._run) == RUN:
            self._flush_run(now)

    def _level(self, now: float) -> None:
        power = self._energy / self._measured / FULL_SCALE**2
        dbfs = max(FLOOR_DBFS, 10 * math.log10(power)) if power else FLOOR_DBFS
        self._energy, self._measured = 0.0, 0
        self._levels.append((round((now - float(self._origin)) * 1000), round(dbfs, 1)))
        if len(self._levels) == RUN:
            self._flush_levels(now)

    def _flush(self, now: float) -> None:
        self._flush_run(now)
        self._flush_levels(now)

    def _flush_run(self, now: float) -> None:
        if self._run:
            t, at = self._run_t, _plain(self._run_at)
            self._put(f'{{"t":{t},"at":{at},"chunks":[{",".join(self._run)}]}}', now)
            self._run.clear()

    def _flush_levels(self, now: float) -> None:
        if self._levels:
            t = self._levels[0][0]
            self._put(_json({"t": t, "level": [(at - t, dbfs) for at, dbfs in self._levels]}), now)
            self._levels.clear()

    def _put(self, line: str, now: float) -> None:
        size = len(line) + 1  # ASCII
        if self._left > size:
            self._left -= size
            self._write(f"{line}\n")
        elif self._left > 0:
            self._left = 0
            self._write(f'{{"t":{self._t(now)},"cut":{self._max_bytes}}}\n')

    def _t(self, now: float) -> str:
        return _plain(EXACT.subtract(_exact(now), self._origin).scaleb(3, EXACT))

    def _shown(self, item: object) -> object:
        if is_dataclass(item) and not isinstance(item, type):
            return {
                written_as(type(item)): [
                    _masked(item, value, self._language)
                    if field.name in TEXTS and isinstance(value, str) and not self._texts
                    else self._shown(value)
                    for field in fields(item)
                    for value in (getattr(item, field.name),)
                ]
            }
        if isinstance(item, tuple):
            return [self._shown(part) for part in item]
        return item


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _masked(item: object, text: str, language: str) -> str:
    if not isinstance(item, Understood):
        return "*" * len(text)
    how = ending(text, language)
    words = ["*" * len(word) for word in text.split()]
    if last := ENDS.get(language, {}).get(how):
        return " ".join((*words[: -len(last)], *last))
    if is_backchannel(text, language):
        words = ["okay"] * len(words)
    return " ".join(words) + ("," if how == "open" else "")


def _exact(moment: float) -> Decimal:
    return Decimal(repr(float(moment)))


def _plain(number: Decimal) -> str:
    return format(number.normalize(EXACT), "f")
