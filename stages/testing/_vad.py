"""Rules for detectors."""

import asyncio
import inspect
import threading

from pipeline.frames import Samples
from stages.testing import _calls
from stages.testing._audio import frames, silence, voice
from stages.testing._trial import Rule, Trial
from stages.third_party import describe

QUIET_S = 0.25
"""After this time without a probability, none will come."""

PLACES = 200
"""Streams opened and closed, one after the other."""


class _TrialStream:
    """A stream of the detector, and the calls of its `on_chunk`."""

    def __init__(self, trial: Trial) -> None:
        self.heard: list[tuple[int, float]] = []
        self.threads: set[int] = set()
        self.fed = 0
        self._trial = trial
        self._stream = trial.stage.open(self._on_chunk)

    def _on_chunk(self, position: int, probability: float) -> None:
        self.heard.append((position, probability))
        self.threads.add(threading.get_ident())

    def feed(self, pcm: Samples, what: str = "audio") -> None:
        self.fed += len(pcm)
        try:
            self._stream.feed(pcm)
        except Exception as error:
            self._trial.saw(f"{what}: `feed` of {len(pcm)} samples raised {describe(error)}")

    def close(self, what: str = "audio") -> None:
        try:
            self._stream.close()
        except Exception as error:
            self._trial.saw(f"{what}: `close` raised {describe(error)}")

    async def settle(self) -> None:
        """Wait until no more probabilities come."""
        count = -1
        while count != len(self.heard):
            count = len(self.heard)
            await asyncio.sleep(QUIET_S)

    async def listen(self, pcm: Samples) -> None:
        for frame in frames(pcm):
            self.feed(frame)
            await asyncio.sleep(0.001)
        await self.settle()


async def has_the_shape_of_a_detector(trial: Trial) -> None:
    """A detector has `provider`, `open(on_chunk)` and `aclose()`; what `open` gives has `feed(pcm)`
    and `close()`."""
    _calls.shape_of_stage(trial, {"open": 1})
    if not callable(getattr(trial.stage, "open", None)) or not _calls.takes(trial.stage.open, 1):
        return
    stream = trial.stage.open(lambda position, probability: None)
    if inspect.iscoroutine(stream):
        stream.close()
        trial.saw("`open` is `async def`: it must be a plain call")
        return
    _calls.shape(
        trial, stream, f"what `open` gives, a {type(stream).__name__},", {"feed": 1, "close": 0}
    )
    for name in ("feed", "close"):
        if inspect.iscoroutinefunction(getattr(stream, name, None)):
            trial.saw(f"`{name}` is `async def`: it must be a plain call")
            return
    if callable(getattr(stream, "close", None)):
        stream.close()


async def tells_of_the_audio_in_order(trial: Trial) -> None:
    """`on_chunk` is called on the event loop with a position in the audio, each after the one
    before, and the probability of speech up to it, 0 to 1."""
    stream = _TrialStream(trial)
    await stream.listen(voice(1.0))
    check(trial, stream, "a second of audio")
    if stream.threads - {threading.get_ident()}:
        trial.saw("`on_chunk` was called in another thread")
    stream.close()


async def takes_frames_of_any_size(trial: Trial) -> None:
    """`feed` takes from nothing to a second of audio, and never raises."""
    stream = _TrialStream(trial)
    second = voice(1.0)
    for size in (0, 1, 319, 511, 513, 16_000, 0):
        stream.feed(second[:size])
    await stream.settle()
    check(trial, stream, "odd frames")
    stream.close()


async def keeps_sessions_apart(trial: Trial) -> None:
    """Every session has its own stream: positions count its own audio, and its probabilities are
    the same as without other streams."""
    alone = _TrialStream(trial)
    await alone.listen(voice(1.0))
    alone.close()
    speaks, is_silent = _TrialStream(trial), _TrialStream(trial)
    await asyncio.gather(speaks.listen(voice(1.0)), is_silent.listen(silence(0.5)))
    check(trial, speaks, "a second of speech beside silence")
    check(trial, is_silent, "half a second of silence beside speech")
    if [p for p, _ in speaks.heard] != [p for p, _ in alone.heard]:
        trial.saw("beside another session the same audio was told of at other positions")
    elif any(abs(a - b) > 0.1 for (_, a), (_, b) in zip(speaks.heard, alone.heard, strict=True)):
        trial.saw("beside another session the same audio had other probabilities")
    speaks.close()
    is_silent.close()


async def gives_places_back(trial: Trial) -> None:
    """`close` frees the stream's place, and may be called again; chunks under way are dropped, and
    `feed` does nothing any more."""
    stream = _TrialStream(trial)
    stream.feed(voice(0.5))
    for _ in range(2):
        stream.close()
    before = len(stream.heard)
    stream.feed(voice(0.5), "after `close`")
    await stream.settle()
    if len(stream.heard) > before:
        trial.saw(f"`on_chunk` was called {len(stream.heard) - before} times after `close`")
    for _ in range(PLACES):
        _TrialStream(trial).close()
    await tells_of_the_audio_in_order(trial)


async def never_blocks_the_event_loop(trial: Trial) -> None:
    """The event loop serves all sessions: work that takes longer than a few milliseconds belongs in
    a thread or a process."""
    held_s = []
    for _ in range(2):
        stream = _TrialStream(trial)
        held_s.append(await trial.longest_hold_s(stream.listen(voice(1.0))))
        stream.close()
    _calls.report_hold(trial, min(held_s))


async def ends_with_aclose(trial: Trial) -> None:
    """`aclose` ends what is under way and may be called again: no probability comes any more, and
    nothing is left running."""
    stream = _TrialStream(trial)
    stream.feed(voice(0.5))
    for call in ("aclose", "aclose, again"):
        await _calls.raises_nothing(trial, trial.stage.aclose(), call)
    before = len(stream.heard)
    stream.feed(voice(0.5), "after `aclose`")
    await stream.settle()
    if len(stream.heard) > before:
        trial.saw(f"`on_chunk` was called {len(stream.heard) - before} times after `aclose`")
    stream.close("after `aclose`")
    await trial.nothing_left()


def check(trial: Trial, stream: _TrialStream, what: str) -> None:
    """Report calls that break the contract."""
    if not stream.heard:
        trial.saw(f"{what}: `on_chunk` was never called")
    last = 0
    for position, probability in stream.heard:
        if position <= last or position > stream.fed:
            trial.saw(f"{what}: after {last} of {stream.fed} samples came position {position!r}")
        last = max(last, position)
        if not 0 <= probability <= 1:
            trial.saw(f"{what}: the probability at {position} was {probability!r}")


RULES: tuple[Rule, ...] = (
    has_the_shape_of_a_detector,
    tells_of_the_audio_in_order,
    takes_frames_of_any_size,
    keeps_sessions_apart,
    gives_places_back,
    never_blocks_the_event_loop,
    _calls.says_whether_it_would_answer,
    ends_with_aclose,
)
