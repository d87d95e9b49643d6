"""The messages of RTVI's WebSocket as protobuf has them, made from the published schema."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TEXT, BYTES, U32, U64, MESSAGE = (
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
)

MESSAGES: dict[str, list[tuple[str, Any]]] = {
    "TextFrame": [("id", U64), ("name", TEXT), ("text", TEXT)],
    "AudioRawFrame": [
        ("id", U64),
        ("name", TEXT),
        ("audio", BYTES),
        ("sample_rate", U32),
        ("num_channels", U32),
        ("pts", U64),
    ],
    "TranscriptionFrame": [
        ("id", U64),
        ("name", TEXT),
        ("text", TEXT),
        ("user_id", TEXT),
        ("timestamp", TEXT),
    ],
    "MessageFrame": [("data", TEXT)],
    "InterruptionFrame": [("id", U64), ("name", TEXT)],
}
"""The fields of each message, numbered from 1."""

KINDS = ("text", "audio", "transcription", "message", "interruption")
"""The fields of `Frame`, of these messages, numbered from 1."""


def _frame() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="parley_test_frames.proto", package="pipecat", syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=1)
    frame = file.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    for number, (field, of) in enumerate(zip(KINDS, MESSAGES, strict=True), 1):
        frame.field.add(
            name=field,
            number=number,
            type=MESSAGE,
            type_name=f".pipecat.{of}",
            label=1,
            oneof_index=0,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat.Frame"))


Frame: Any = _frame()
"""The class: `Frame(message={"data": "{}"}).SerializeToString()`, `Frame.FromString(…)`."""
