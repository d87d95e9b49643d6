"""Parley's own dialect, version 1: the messages of `/ws/<session_id>` and of the data channel.

`messages` parses clients' messages, `outputs` makes the messages to them, and `NativeDialect` does
both for one client. `docs/protocol.md` documents the messages, and `asyncapi` describes them for
programs. Pure.
"""

from gateway.protocols.native.dialect import NativeDialect
from gateway.protocols.native.messages import LONGEST_TEXT_BYTES, VERSION, ErrorCode

__all__ = ["LONGEST_TEXT_BYTES", "VERSION", "ErrorCode", "NativeDialect"]
