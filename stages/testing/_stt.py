"""Rules for transcribers."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript
from pipeline.languages import CODES, understands
from pipeline.utterance import LONGEST_S
from stages.testing import _calls
from stages.testing._audio import frames, silence, voice
from stages.testing._trial import Result, Rule, Trial, Use

LITTLE: dict[str, Samples] = {
    "no audio": silence(0),
    "10 ms of audio": voice(0.01),
    "a second of silence": silence(1.0),
}
QUIET_S = 0.2
"""How long to wait for partials of a cancelled utterance."""

OnPartial = Callable[[Transcript], None]


def rules(speech: Samples | None) -> tuple[Use, tuple[Rule, ...]]:
    """The usual call, which recognises `speech`, and the rules."""
    pcm = voice() if speech is None else speech

    def use(stage: Any, turn: int) -> AsyncIterator[Transcript]:
        return recognised(stage, turn, pcm)

    async def hears_each_utterance_alone(trial: Trial) -> None:
        """Several utterances may be fed at once: each has the text that it has when it is alone."""
        alone = [await _text(trial, 1, pcm), await _text(trial, 2, silence(1.0))]
        again = [await _text(trial, 3, pcm), await _text(trial, 4, silence(1.0))]
        if again != alone:
            return  # an engine whose text changes every time cannot be compared
        turns = {21: pcm, 22: silence(1.0), 23: pcm}
        open_now = {turn: trial.stage.open(turn, None) for turn in turns}
        for at in range(0, max(map(len, turns.values())), INPUT_RATE_HZ // 50):
            for turn, recognition in open_now.items():
                recognition.feed(turns[turn][at : at + INPUT_RATE_HZ // 50])
        streams = [
            trial.items(recognition.finish, f"utterance {turn} of three at once")
            for turn, recognition in reversed(open_now.items())
        ]
        results = list(reversed(await asyncio.gather(*streams)))
        for recognition in open_now.values():
            recognition.cancel()
        texts = [result.items[-1].text if result.items else None for result in results]
        if texts != [*alone, alone[0]]:
            trial.saw(f"alone they were {[*alone, alone[0]]}, together {texts}")

    async def gives_one_final(trial: Trial) -> None:
        """`finish` yields partials, if any, and then exactly one final transcript of the turn."""
        check_transcripts(trial, await trial.used(7), 7, "speech")

    async def reports_partials_of_the_turn(trial: Trial) -> None:
        """`on_partial` gets transcripts of its own turn that are not final, on the event loop."""
        heard: list[tuple[Any, int]] = []

        def note(transcript: Transcript) -> None:
            heard.append((transcript, threading.get_ident()))

        items = [item async for item in _paced(trial.stage, 7, pcm, note)]
        check_transcripts(trial, items, 7, "with partials")
        for transcript, thread in heard:
            if not isinstance(transcript, Transcript):
                trial.saw(f"`on_partial` got a {type(transcript).__name__}")
            elif transcript.final or transcript.turn != 7:
                trial.saw(f"`on_partial` of turn 7 got {transcript}")
            if thread != threading.get_ident():
                trial.saw("`on_partial` was called in another thread")

    return use, (
        has_the_shape_of_a_transcriber,
        gives_one_final,
        takes_little_audio,
        feeds_without_raising,
        forgets_what_is_cancelled,
        reports_partials_of_the_turn,
        takes_hints,
        takes_languages,
        _calls.keeps_calls_apart,
        hears_each_utterance_alone,
        _calls.may_be_left_early,
        _calls.may_be_cancelled_at_any_await,
        _calls.never_blocks_the_event_loop,
        _calls.says_whether_it_would_answer,
        _calls.ends_with_aclose,
    )


async def recognised(stage: Any, turn: int, pcm: Samples) -> AsyncIterator[Transcript]:
    """One utterance, from `open` to its end; it is always cancelled last, as a session does."""
    recognition = stage.open(turn, None)
    try:
        for frame in frames(pcm):
            recognition.feed(frame)
        async for transcript in recognition.finish():
            yield transcript
    finally:
        recognition.cancel()


async def _paced(stage: Any, turn: int, pcm: Samples, note: OnPartial) -> AsyncIterator[Transcript]:
    """The same with partials; the recogniser may decode while the audio arrives."""
    recognition = stage.open(turn, note)
    try:
        for frame in frames(pcm):
            recognition.feed(frame)
            await asyncio.sleep(0.001)
        async for transcript in recognition.finish():
            yield transcript
    finally:
        recognition.cancel()


def check_transcripts(trial: Trial, items: list[Any], turn: int, what: str) -> None:
    """Report transcripts that break the contract."""
    for item in items:
        if not isinstance(item, Transcript):
            trial.saw(f"{what}: it gave a {type(item).__name__}")
            return
    finals = [index for index, item in enumerate(items) if item.final]
    if len(finals) != 1:
        trial.saw(f"{what}: there were {len(finals)} final transcripts")
    elif finals[0] != len(items) - 1:
        trial.saw(f"{what}: after the final transcript came {len(items) - 1 - finals[0]} more")
    for item in items:
        if item.turn != turn:
            trial.saw(f"{what}: turn {turn} got {item}")
        if not isinstance(item.text, str):
            trial.saw(f"{what}: the text is {item.text!r}")
        if item.confidence is not None and not 0 <= item.confidence <= 1:
            trial.saw(f"{what}: the confidence is {item.confidence}, not 0 to 1")
        times = [0, *(ms for word in item.words for ms in (word.start_ms, word.end_ms))]
        starts = [word.start_ms for word in item.words]
        if starts != sorted(starts) or min(times) < 0:
            trial.saw(f"{what}: the words are not in order of time: {item.words}")
        elif any(word.end_ms < word.start_ms for word in item.words):
            trial.saw(f"{what}: a word ends before it begins: {item.words}")


async def has_the_shape_of_a_transcriber(trial: Trial) -> None:
    """A transcriber has `provider`, `open(turn, on_partial, hints, language)` and `aclose()`; what
    `open` gives has `feed(pcm)`, `finish()` and `cancel()`."""
    _calls.shape_of_stage(trial, {"open": 4})
    if not callable(getattr(trial.stage, "open", None)) or not _calls.takes(trial.stage.open, 4):
        return
    recognition = trial.stage.open(1, None)
    if inspect.iscoroutine(recognition):
        recognition.close()
        trial.saw("`open` is `async def`: it must be a plain call")
        return
    what = f"what `open` gives, a {type(recognition).__name__},"
    _calls.shape(trial, recognition, what, {"feed": 1, "finish": 0, "cancel": 0})
    _calls.shape_of_stream(trial, recognition, "finish")
    for name in ("feed", "cancel"):
        if inspect.iscoroutinefunction(getattr(recognition, name, None)):
            trial.saw(f"`{name}` is `async def`: it must be a plain call")
            return
    if callable(getattr(recognition, "cancel", None)):
        recognition.cancel()


async def takes_little_audio(trial: Trial) -> None:
    """An utterance of no audio, of 10 ms, or of silence has one final transcript too; its text may
    be ""."""
    for what, pcm in LITTLE.items():
        result = await _heard(trial, 5, pcm, what)
        if result.error is not None:
            trial.saw(f"{what}: {result.error} was raised")
        else:
            check_transcripts(trial, result.items, 5, what)


async def feeds_without_raising(trial: Trial) -> None:
    """`feed` takes any amount of audio, even more than an utterance can have, and never raises: not
    after `finish` has ended, and not after `cancel`."""
    recognition = trial.stage.open(5, None)
    second = voice(1.0)
    amounts = (0, 1, 319, 320, 16_000)
    try:
        _feed(trial, recognition, [second[:amount] for amount in amounts], "speech")
        await trial.items(recognition.finish, "speech of odd frames")
        _feed(trial, recognition, [second], "after `finish`")
        recognition.cancel()
        _feed(trial, recognition, [second], "after `cancel`")
        recognition = trial.stage.open(6, None)
        for number in range(LONGEST_S + 10):
            _feed(trial, recognition, [second], f"after {number} s of audio")
            await asyncio.sleep(0)
    finally:
        recognition.cancel()
    await trial.used(7)


def _feed(trial: Trial, recognition: Any, audio: list[Samples], what: str) -> None:
    for pcm in audio:
        try:
            recognition.feed(pcm)
        except Exception as error:
            trial.saw(f"{what}: `feed` of {len(pcm)} samples raised {error!r}")


async def forgets_what_is_cancelled(trial: Trial) -> None:
    """`cancel` forgets the utterance: no partial is reported any more. It may be called at any
    time, repeatedly, and after `finish` has ended."""
    await trial.used()
    heard: list[Transcript] = []
    tasks = {*asyncio.all_tasks()}
    recognition = trial.stage.open(5, heard.append)
    for frame in frames(voice(1.0)):
        recognition.feed(frame)
    for _ in range(2):
        _cancel(trial, recognition, "while audio comes")
    before = len(heard)
    recognition.feed(voice(1.0))
    await asyncio.sleep(QUIET_S)
    if len(heard) > before:
        trial.saw(f"{len(heard) - before} partials came after `cancel`")
    recognition = trial.stage.open(6, None)
    _cancel(trial, recognition, "before any audio")
    recognition = trial.stage.open(7, None)
    recognition.feed(voice(0.5))
    await trial.items(recognition.finish, "speech")
    for _ in range(2):
        _cancel(trial, recognition, "after `finish`")
    await trial.used(8)
    await trial.gone(tasks, "after `cancel`")


def _cancel(trial: Trial, recognition: Any, what: str) -> None:
    try:
        recognition.cancel()
    except Exception as error:
        trial.saw(f"{what}: `cancel` raised {error!r}")


async def takes_hints(trial: Trial) -> None:
    """`open` takes any `hints`, terms that are likely to be said; it may ignore them."""
    for hints in ((), ("Kubernetes", "C++", "😀", ""), tuple(f"term {n}" for n in range(1000))):
        recognition = trial.stage.open(5, None, hints)
        recognition.feed(voice(0.5))
        result = await trial.items(recognition.finish, f"{len(hints)} hints")
        recognition.cancel()
        if result.error is not None:
            trial.saw(f"{len(hints)} hints: {result.error} was raised")


async def takes_languages(trial: Trial) -> None:
    """`open` takes the code of any `language` that the transcriber knows. One that knows only
    certain languages has their codes in `languages`, and gets no other."""
    known = getattr(trial.stage, "languages", None)
    if isinstance(known, str) or not all(code in CODES for code in known or ()):
        trial.saw(f"`languages` is no collection of languages' codes but {known!r}")
        return
    for language in ("en", "de", "yue"):
        if not understands(trial.stage, language):
            continue
        recognition = trial.stage.open(5, None, (), language)
        recognition.feed(voice(0.5))
        result = await trial.items(recognition.finish, f"language {language}")
        recognition.cancel()
        if result.error is not None:
            trial.saw(f"language {language}: {result.error} was raised")
        else:
            check_transcripts(trial, result.items, 5, f"language {language}")


async def _heard(trial: Trial, turn: int, pcm: Samples, what: str) -> Result:
    return await trial.items(lambda: recognised(trial.stage, turn, pcm), what)


async def _text(trial: Trial, turn: int, pcm: Samples) -> str | None:
    result = await _heard(trial, turn, pcm, "one utterance")
    text: str | None = result.items[-1].text if result.items else None
    return text
