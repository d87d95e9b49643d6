"""The sides of a call as a loudspeaker had them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.commands.call.recording import CallRecording, save
from gateway.media.format import AudioFormat

PCM = AudioFormat()


def ramp(first: int, samples: int) -> bytes:
    return np.arange(first, first + samples, dtype="<i2").tobytes()


def saved(recording: CallRecording, folder: Path) -> list[int]:
    save(folder / "reply.wav", PCM, recording)
    pcm, rate_hz = soundfile.read(folder / "reply.wav", dtype="int16")
    assert rate_hz == 16_000
    return [int(sample) for sample in pcm]


def test_audio_that_comes_ahead_is_played_in_one_piece(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.add(ramp(1, 320), now=10.0)
    recording.add(ramp(321, 320), now=10.001)
    recording.add(ramp(641, 320), now=10.021)
    assert saved(recording, tmp_path) == list(range(1, 961))


def test_there_is_silence_between_replies_and_none_before_the_first(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.add(ramp(1, 320), now=10.0)
    recording.add(ramp(1, 320), now=10.1)
    assert saved(recording, tmp_path) == [*range(1, 321), *[0] * 1280, *range(1, 321)]
    assert recording.duration_s == pytest.approx(0.12)


def test_clear_drops_the_reply_from_there_on(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    for frame in range(10):  # 200 ms at once
        recording.add(ramp(1 + 320 * frame, 320), now=10.0)
    assert recording.clear(at_ms=50) == 150
    assert saved(recording, tmp_path) == list(range(1, 801))


def test_a_reply_that_was_paused_goes_on_later_where_it_stopped(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.reply()
    recording.add(ramp(1, 1600), now=10.0)
    assert recording.clear(at_ms=10) == 90
    recording.add(ramp(161, 1440), now=10.02)
    assert saved(recording, tmp_path) == [*range(1, 161), *[0] * 160, *range(161, 1601)]


def test_a_reply_may_go_on_with_the_word_that_was_cut_off(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.reply()
    recording.add(ramp(1, 1600), now=10.0)
    recording.clear(at_ms=10)
    recording.resume(at_ms=5)
    recording.add(ramp(81, 1520), now=10.02)
    assert recording.clear(at_ms=20) == 80
    assert saved(recording, tmp_path) == [*range(1, 161), *[0] * 160, *range(81, 321)]


def test_a_reply_can_be_paused_twice(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.reply()
    recording.add(ramp(1, 1600), now=10.0)
    recording.clear(at_ms=10)
    recording.add(ramp(161, 1440), now=10.02)
    assert recording.clear(at_ms=15) == 85
    assert saved(recording, tmp_path) == [*range(1, 161), *[0] * 160, *range(161, 241)]


def test_clear_counts_from_the_beginning_of_the_present_reply(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.reply()
    recording.add(ramp(1, 320), now=10.0)
    recording.reply()
    recording.add(ramp(1, 320), now=10.02)
    recording.clear(at_ms=10)
    assert saved(recording, tmp_path) == [*range(1, 321), *range(1, 161)]


def test_a_clear_reaches_back_over_a_place_where_the_reply_was_late(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.reply()
    recording.add(ramp(1, 320), now=10.0)
    recording.add(ramp(321, 320), now=10.1)
    assert recording.clear(at_ms=10) == 30
    assert saved(recording, tmp_path) == list(range(1, 161))


@pytest.mark.parametrize(("at_ms", "dropped_ms"), [(-5, 20), (0, 20), (20, 0), (9_999, 0)])
def test_a_clear_touches_nothing_but_the_present_reply(
    at_ms: int, dropped_ms: int, tmp_path: Path
) -> None:
    recording = CallRecording(PCM)
    assert recording.clear(at_ms) == 0
    recording.add(ramp(1, 160), now=10.0)
    recording.reply()
    recording.add(ramp(161, 320), now=10.01)
    assert recording.clear(at_ms) == dropped_ms
    assert saved(recording, tmp_path) == list(range(1, 161 + 16 * (20 - dropped_ms)))


def test_what_is_placed_lies_where_it_is_heard(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.place(np.arange(1, 321, dtype=np.int16), 9.0)  # before the beginning
    recording.start(10.0)
    recording.place(np.arange(1, 321, dtype=np.int16), 9.99)
    recording.place(np.arange(321, 641, dtype=np.int16), 10.01)
    recording.place(np.zeros(320, np.int16), 10.03)
    recording.place(np.arange(1, 17, dtype=np.int16), 10.031)
    expected = [*range(161, 641), *[0] * 16, *range(1, 17)]
    assert saved(recording, tmp_path) == expected


def test_what_is_placed_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.start(10.0)
    recording.place(np.full(320, 1, np.int16), 10.0)
    recording.place(np.full(320, 2, np.int16), 10.015)
    assert saved(recording, tmp_path) == [*[1] * 240, *[2] * 320]


def test_what_is_placed_has_been_heard_and_is_not_cleared(tmp_path: Path) -> None:
    recording = CallRecording(PCM)
    recording.start(10.0)
    recording.reply()
    recording.place(np.full(320, 1, np.int16), 10.0)
    recording.resume(at_ms=500)
    assert recording.clear(at_ms=0) == 0
    assert saved(recording, tmp_path) == [1] * 320


def test_a_recording_keeps_an_hour_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.call.recording.LONGEST_RECORDING_S", 1)
    recording = CallRecording(PCM)
    for second in range(3):
        recording.add(ramp(0, 16_000), now=float(second))
    assert recording.duration_s == 1.0
    placed = CallRecording(PCM)
    placed.start(0.0)
    for second in range(3):
        placed.place(np.full(16_000, 7, np.int16), float(second))
    assert placed.duration_s == 1.0


def test_two_sides_are_two_channels_on_one_time_line(tmp_path: Path) -> None:
    person, interviewer = CallRecording(PCM), CallRecording(PCM)
    for side in (person, interviewer):
        side.start(10.0)
    person.add(ramp(1, 160), now=10.01)
    interviewer.add(ramp(1001, 320), now=10.02)
    save(tmp_path / "both.flac", PCM, person, interviewer)
    pcm, rate_hz = soundfile.read(tmp_path / "both.flac", dtype="int16")
    assert rate_hz == 16_000
    assert pcm[:, 0].tolist() == [*[0] * 160, *range(1, 161), *[0] * 320]
    assert pcm[:, 1].tolist() == [*[0] * 320, *range(1001, 1321)]


def test_a_file_is_written_in_blocks_without_seams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.commands.call.recording.BLOCK_S", 1)
    recording = CallRecording(PCM)
    recording.add(ramp(1, 15_990), now=0.0)
    recording.add(ramp(15_991, 30), now=0.0)
    recording.add(ramp(1, 3), now=2.5)
    expected = [*range(1, 16_021), *[0] * (40_000 - 16_020), 1, 2, 3]
    assert saved(recording, tmp_path) == expected
