import json

import numpy as np
import pytest

from pipeline.errors import CallerError, StageBusy, StageError, StageFailed
from pipeline.frames import Speech, SpokenWord, Transcript, Viseme, Word
from stages._remote_protocol import (
    ProtocolViolation,
    control,
    failure,
    failure_fields,
    heard,
    number,
    parsed,
    sound,
    speech,
    speech_fields,
    transcript,
    transcript_fields,
)


def test_sound_comes_out_as_it_went_in() -> None:
    pcm = np.array([0, 1, -1, 32767, -32768], np.int16)
    epoch, back = heard(sound(7, pcm), 100)
    assert (epoch, back.tolist(), back.dtype) == (7, pcm.tolist(), np.dtype(np.int16))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\0\0", id="no epoch"),
        pytest.param(b"\0\0\0\1\0", id="half a sample"),
        pytest.param(bytes(104), id="too long"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        heard(data, 100)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="half"),
        pytest.param(b"\xff", id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"type":1}', id="a number for a type"),
        pytest.param(b"{}", id="no type"),
    ],
)
def test_what_is_no_control_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parsed(data)


@pytest.mark.parametrize(
    "value", [-1, 1 << 32, 1.0, True, "1", None], ids=["-1", "2^32", "1.0", "true", "'1'", "null"]
)
def test_an_epoch_is_a_whole_number(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        number({"epoch": value}, "epoch")


def test_a_transcript_comes_out_as_it_went_in() -> None:
    said = Transcript(3, "well 😀", True, "en", 0.5, (Word("well", 0, 250),))
    kind, fields = parsed(control("final", **transcript_fields(said)))
    assert (kind, transcript(3, fields, final=True)) == ("final", said)


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    # It could be neither stored nor shown: no UTF-8 has it.
    _, fields = parsed(b'{"type":"final","text":"well \\ud83d \\ud83d\\ude00"}')
    assert fields["text"] == "well ? 😀"


def test_a_piece_of_speech_comes_out_as_it_went_in() -> None:
    pcm = np.arange(5, dtype=np.int16)
    said = Speech(3, pcm, (Viseme(0, 20, "aa", 0.5),), (SpokenWord(0, 4, 10),))
    _, fields = parsed(control("speech", **speech_fields(said)))
    assert speech(3, fields, pcm) == said


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"text": 1}, id="text"),
        pytest.param({"text": "x", "language": 1}, id="language"),
        pytest.param({"text": "x", "confidence": 2}, id="confidence"),
        pytest.param({"text": "x", "confidence": "high"}, id="confidence in words"),
        pytest.param({"text": "x", "words": {}}, id="words"),
        pytest.param({"text": "x", "words": [["x", 0]]}, id="a short row"),
        pytest.param({"text": "x", "words": [["x", 0, -1]]}, id="a time before the beginning"),
        pytest.param({"text": "x", "words": [["x", 0, True]]}, id="no number"),
    ],
)
def test_what_is_no_transcript_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ProtocolViolation):
        transcript(3, json.loads(json.dumps(fields)), final=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StageBusy("stt", "whisper", "64 wait", retry_after_s=2.0), StageBusy),
        (CallerError("tts", "hibari", "protocol", "it speaks English, not de"), CallerError),
        (StageFailed("stt", "whisper", "stream", "the worker process died"), StageFailed),
        (RuntimeError("what a library said"), StageFailed),
    ],
    ids=["busy", "unfit", "failed", "of a library"],
)
def test_an_error_is_raised_again_at_the_gateway(error: Exception, kind: type[StageError]) -> None:
    name, fields = failure_fields(error)
    _, fields = parsed(control(name, **fields))
    found = failure("stt", "remote", name, fields)
    assert type(found) is kind
    assert (found.stage, found.provider) == ("stt", "remote")
    assert found.detail == (error.detail if isinstance(error, StageError) else "RuntimeError")
    if isinstance(error, StageBusy) and isinstance(found, StageBusy):
        assert found.retry_after_s == error.retry_after_s


def test_a_worker_cannot_ask_for_an_endless_pause() -> None:
    found = failure("stt", "remote", "busy", {"retry_after_s": 1e9})
    assert isinstance(found, StageBusy)
    assert found.retry_after_s == 0.0


def test_other_messages_are_no_failures() -> None:
    assert failure("stt", "remote", "final", {}) is None
