"""What Twilio is to do with a call, in its markup language TwiML. Pure."""

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

MEDIA_TYPE = "text/xml"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

HANG_UP = f"{_HEAD}<Response><Hangup/></Response>"

REJECT = f'{_HEAD}<Response><Reject reason="busy"/></Response>'
"""For a call that was not answered yet: the caller hears that the line is busy."""


def connect(stream: str, parameters: Mapping[str, str], afterwards: str) -> str:
    """Hold the call over the WebSocket at `stream`; when that has ended, ask `afterwards` (a URL).

    The `parameters` have printable texts.
    """
    given = "".join(
        f"<Parameter name={quoteattr(name)} value={quoteattr(value)}/>"
        for name, value in parameters.items()
    )
    return (
        f"{_HEAD}<Response><Connect><Stream url={quoteattr(stream)}>{given}</Stream></Connect>"
        f'<Redirect method="POST">{escape(afterwards)}</Redirect></Response>'
    )
