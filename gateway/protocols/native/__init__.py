"""Parley's own dialect, version 1: the messages of `/ws/<session_id>` and of the data channel.

`messages` parses what clients send, `outputs` says what they get, `NativeDialect` is both for one
client. `docs/protocol.md` describes it. Pure.
"""

from gateway.protocols.native.dialect import NativeDialect
from gateway.protocols.native.messages import LONGEST_TEXT_BYTES, VERSION, ErrorCode

__all__ = ["LONGEST_TEXT_BYTES", "VERSION", "ErrorCode", "NativeDialect"]
