"""Parley's own dialect, version 1: the messages of `/ws/<session_id>` and of the data channel.

`messages` parses clients' messages, `outputs` describes the messages to them, and `NativeDialect`
does both for one client. `docs/protocol.md` documents the messages. Pure.
"""

from gateway.protocols.native.dialect import NativeDialect
from gateway.protocols.native.messages import LONGEST_TEXT_BYTES, VERSION, ErrorCode

__all__ = ["LONGEST_TEXT_BYTES", "VERSION", "ErrorCode", "NativeDialect"]
