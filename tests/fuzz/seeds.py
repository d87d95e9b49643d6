"""The inputs from which a target's others are made: those of the tables and fixtures of tests."""

import json
from pathlib import Path

from gateway.protocols.rtvi.frames import message_frame
from tests.gateway.protocols.rtvi.test_frames import RECORDED
from tests.gateway.transports.test_smuggling import LAST, ROWS
from tests.gateway.transports.websocket.test_rfc6455 import CASES, HANDSHAKES, handshake
from tests.support.frames import BINARY, frame
from tests.support.paths import ROOT

FOUND = Path(__file__).parent / "found"
"""What once broke a promise: a file for each, in a folder with its target's name."""

SPEECH = bytes(range(64)) * 10

NATIVE = [
    {"type": "hello", "version": 1},
    {
        "type": "hello",
        "version": 1,
        "ticket": "t",
        "audio_in": {"encoding": "opus", "rate": 48_000, "channels": 2},
        "audio_out": {"encoding": "mulaw", "rate": 8_000},
        "avatar": "frames",
        "turn_detection": {"mode": "manual", "silence_ms": 500, "threshold": 0.5},
        "resume": {"token": "r", "seq": 3},
        "interview": {"role": "Data Analyst", "totalQuestions": 3},
        "language": "de-DE",
    },
    {"type": "text", "text": "I like tests"},
    {"type": "played", "turn": 1, "ms": 500.0},
    {"type": "ping", "t": 1e300},
    {"type": "interrupt"},
    {"type": "commit"},
    {"type": "bye"},
]

OPENAI = [
    {
        "type": "session.update",
        "event_id": "event_1",
        "session": {
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
                    "transcription": {"model": "whisper-1", "language": "en"},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy"},
            },
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "tool_choice": "auto",
        },
    },
    {"type": "input_audio_buffer.append", "audio": "AAAAAAAAAAA="},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "id": "item_1",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": "{}"},
    },
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": 100,
    },
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "response.create", "response": {"conversation": "none", "metadata": {"a": "b"}}},
    {"type": "response.cancel"},
    {"type": "output_audio_buffer.clear"},
]

LIVE_START = {
    "type": "session.start",
    "event_id": "event_1",
    "session": {
        "model": "gpt-live-1",
        "audio": {"format": {"type": "audio/pcm", "rate": 24_000}, "output": {"voice": "marin"}},
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
        "delegation": {
            "type": "responses",
            "responses": {
                "model": "gpt-5",
                "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
                "tool_choice": {"type": "function", "name": "f"},
                "max_output_tokens": 100,
            },
        },
    },
}
LIVE = [
    LIVE_START,
    {"type": "session.input_audio.append", "audio": "AAAAAAAAAAA="},
    {"type": "session.input_audio.mute", "event_id": "event_2"},
    {"type": "session.input_audio.unmute"},
    {
        "type": "session.update",
        "session": {"delegation": {"type": "responses", "responses": {"tool_choice": "auto"}}},
    },
    {"type": "session.instructions.append", "content": "Be kind.", "delegation_id": None},
    {"type": "session.thinking.append", "content": "It rains.", "delegation_id": None},
    {"type": "session.commentary.append", "content": "It is done.", "delegation_id": None},
    {
        "type": "response.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
        },
    },
    {
        "type": "response.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": "{}"},
    },
    {"type": "response.create"},
    {"type": "session.output_audio.fixture.play", "audio": "AAAA"},
    {"type": "decision.create", "event_id": "event_3"},
    {"type": "session.close"},
]

TWILIO_PARAMETERS = {
    "ticket": "pt_1",
    "role": "Data Analyst",
    "totalQuestions": "3",
    "language": "de-DE",
    "silence_ms": "600",
}
TWILIO_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
TWILIO_START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "streamSid": "MZ1",
        "tracks": ["inbound"],
        "customParameters": TWILIO_PARAMETERS,
        "mediaFormat": TWILIO_FORMAT,
    },
}
TWILIO = [
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    TWILIO_START,
    {
        "event": "media",
        "sequenceNumber": "3",
        "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "//8="},
    },
    {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "0:60:1"}},
    {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "1"}},
    {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "#"}},
    {"event": "stop", "streamSid": "MZ1", "stop": {"callSid": "CA1"}},
]

RTVI = [
    {
        "type": "client-ready",
        "data": {
            "version": "2.1.0",
            "about": {
                "library": "@pipecat-ai/client-js",
                "library_version": "1.13.1",
                "platform": "Chrome",
                "platform_details": {"browser": "Chrome", "type": "desktop"},
            },
        },
    },
    {"type": "send-text", "data": {"content": "I like tests", "options": {}}},
    {
        "type": "append-to-context",
        "data": {"role": "user", "content": "Yes", "run_immediately": True},
    },
    {"type": "client-message", "data": {"t": "interrupt"}},
    {"type": "dtmf", "data": {"buttons": ["1", "#"]}},
    {"type": "disconnect-bot", "data": {}},
]

CHUNKS = [
    {"choices": [{"delta": {"content": "Hello"}, "finish_reason": ""}]},
    {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "x"}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]},
    {"choices": [{"text": "a", "finish_reason": "MAX_TOKENS"}], "usage": {"total_tokens": 1}},
]

REPLIES = [
    {"text": "I like Postgres."},
    {
        "text": "I like Postgres. Thank you for watching!",
        "language": "english",
        "segments": [
            {"start": 0, "end": 1.5, "text": "I like Postgres.", "avg_logprob": -0.2},
            {"start": 1.5, "end": 3, "text": "Thank you.", "no_speech_prob": 0.93},
        ],
        "words": [{"word": "I", "start": 0.0, "end": 0.2}, {"word": "2014,"}],
    },
    {"text": "All right. " * 20, "segments": [{"text": None, "compression_ratio": "15"}]},
]


def _lines(values: object) -> bytes:
    return "\n".join(map(json.dumps, values)).encode()  # type: ignore[call-overload]


def _sdp() -> list[bytes]:
    offer = ROOT / "tests/gateway/transports/webrtc/chromium_offer.sdp"
    trickle = b"a=ice-ufrag:abcd\r\na=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n"
    return [offer.read_bytes(), trickle]


def _containers() -> list[bytes]:
    files = (ROOT / "fixtures/audio/malformed").iterdir()
    fixtures = [file.read_bytes() for file in sorted(files) if file.suffix in (".wav", ".flac")]
    webm = bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282847765626d")
    ogg = b"OggS\0\x02" + bytes(20) + b"\x01\x13OpusHead\x01\x01" + bytes(9)
    box = b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom\0\0\0\x10moov\0\0\0\x08free\0\0\0\x08mdat"
    others = [webm + b"\x18\x53\x80\x67\xff" + bytes(30), ogg * 2, box]
    others += [b"\xff\xfb\x90\0" + bytes(414), b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(20)]
    return [file for file in [*fixtures, *others] if len(file) < 8_192]


def seeds(target: str) -> list[bytes]:
    """Inputs of a target, short and different."""
    made: dict[str, list[bytes]] = {
        "websocket": [b"\x05" + each.sent for each in CASES if len(each.sent) < 2_000]
        + [b"\x11" + frame(BINARY, SPEECH) * 3],
        "http": [b"\x07" + sent + LAST for sent, _ in ROWS.values()]
        + [b"\x02" + handshake(changed) for changed, _ in HANDSHAKES.values()],
        "native": [json.dumps(each).encode() for each in NATIVE],
        "openai": [_lines(OPENAI), *(_lines([each]) for each in OPENAI)],
        "live": [_lines(LIVE), *(_lines([LIVE_START, each]) for each in LIVE), _lines(LIVE[1:])],
        "twilio": [
            _lines(TWILIO),
            _lines([TWILIO_START, *TWILIO[2:-1] * 8]),
            *(_lines([TWILIO_START, each]) for each in TWILIO),
        ],
        "rtvi": _rtvi(),
        "audio": [bytes([n]) + SPEECH for n in range(6)]
        + [bytes([n, 0x78 | code]) + SPEECH[:40] for n in (0, 1) for code in range(4)],
        "container": _containers(),
        "sdp": _sdp(),
        "sse": [b"\x03data: {}\n\ndata: a\r\ndata: b\r\n\r\n: ping\n\nid: 1\ndata:[DONE]\n\n"],
        "chat": [json.dumps(each).encode() for each in CHUNKS],
        "recognised": [json.dumps(each).encode() for each in REPLIES],
    }
    found = (FOUND / target).iterdir() if (FOUND / target).is_dir() else ()
    return [*made[target], *(file.read_bytes() for file in sorted(found))]


def _rtvi() -> list[bytes]:
    """The messages of a data channel, and the frames of a WebSocket."""
    signal = {"type": "signalling", "message": {"type": "trackStatus", "receiver_index": 0}}
    messages = [{"label": "rtvi-ai", "id": "7e5a1c00", **each} for each in RTVI]
    texts = [json.dumps(each).encode() for each in (signal, *messages)]
    return [
        *texts,
        b"ping: 1795943278250",
        *map(message_frame, map(bytes.decode, texts)),
        *RECORDED.values(),
    ]
