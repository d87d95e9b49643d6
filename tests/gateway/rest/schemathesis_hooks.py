"""How schemathesis writes the types of the API that it does not know: as the text that they are."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def text(context: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")
