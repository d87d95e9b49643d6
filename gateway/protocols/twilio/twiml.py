"""The instructions to Twilio for a call, in its markup language TwiML. Pure."""

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

MEDIA_TYPE = "text/xml"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'

HANG_UP = f"{_HEAD}<Response><Hangup/></Response>"

REJECT = f'{_HEAD}<Response><Reject reason="busy"/></Response>'
"""For a call that was not answered yet: the caller hears that the line is busy."""

WAIT_S = 5


def wait(afterwards: str) -> str:
    """Keep the call, silent, for `WAIT_S` seconds, and then ask `afterwards` (a URL)."""
    return f'{_HEAD}<Response><Pause length="{WAIT_S}"/>{_redirect(afterwards)}</Response>'


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
        f"{_redirect(afterwards)}</Response>"
    )


def _redirect(url: str) -> str:
    return f'<Redirect method="POST">{escape(url)}</Redirect>'
