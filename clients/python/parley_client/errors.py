"""What can go wrong in a call.

::

    CallError
    ├── Refused            the gateway did not take the call; `status`, `code`, `retry_after_s`
    ├── CallEnded          the gateway ended the call for a reason; `code`, `close_code`
    ├── LineLost           the line broke, and the gateway was not reached again in time
    └── MessageError       the gateway sent what this client cannot read
"""


class CallError(Exception):
    """A call failed; the text says why and, where one can, what to do."""


class Refused(CallError):
    """The gateway did not take the call.

    `status` is HTTP's, `code` the gateway's word for the reason (`unauthorized`, `overloaded`), ""
    where it gave none. `retry_after_s` says when to try again, where it did.
    """

    def __init__(
        self, message: str, *, status: int, code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class CallEnded(CallError):
    """The gateway ended the call and will not go on with it.

    `code` is that of its last fatal `error`, such as `session_expired`, else ""; `close_code` the
    WebSocket's.
    """

    def __init__(self, message: str, *, code: str, close_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.close_code = close_code


class LineLost(CallError):
    """The line broke, and the gateway was not reached again within `Options.reconnect_s`."""


class MessageError(CallError):
    """A message of the gateway is none of version 1 of its dialect."""
