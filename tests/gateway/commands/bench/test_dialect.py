import json

import pytest

from gateway.commands.bench.dialect import Heard, ParleyDialect, Wishes
from gateway.commands.bench.wire import BINARY, TEXT
from gateway.protocols.dialect import Start
from gateway.protocols.native.dialect import NativeDialect


def test_parley_understands_the_hello() -> None:
    ((opcode, payload),) = ParleyDialect(7).hello(Wishes(silence_ms=600, barge_in_ms=250))
    assert opcode == TEXT
    hello = json.loads(payload)
    assert hello["turn_detection"]["silence_ms"] == 600
    assert hello["turn_detection"]["barge_in_ms"] == 250
    assert hello["interview"]["totalQuestions"] == 7
    commands = NativeDialect().parse(payload, 0.0)
    assert any(isinstance(command, Start) for command in commands)


@pytest.mark.parametrize(
    ("opcode", "payload", "heard"),
    [
        (BINARY, bytes(640), ("audio", 20.0, "")),
        (TEXT, b'{"type":"ready","version":1}', ("ready", 0.0, "")),
        (TEXT, b'{"type":"speech.stopped","turn":3,"at_ms":4160}', ("decided", 4160.0, "")),
        (TEXT, b'{"type":"error","code":"flooding"}', ("fault", 0.0, "flooding")),
        (
            TEXT,
            b'{"type":"degraded","stage":"tts","to":"filler"}',
            ("fault", 0.0, "degraded.tts: to filler"),
        ),
        (TEXT, b'{"type":"visemes","turn":1}', None),
        (TEXT, b'{"type":"reply.started","turn":1}', None),
    ],
    ids=["audio", "ready", "stopped", "error", "degraded", "visemes", "started"],
)
def test_messages_are_read(opcode: int, payload: bytes, heard: Heard | None) -> None:
    assert ParleyDialect().hear(opcode, payload) == heard
