"""`parley call`: a caller for trying a server out.

It plays recordings and types lines in real time, tells when the interviewer has finished, shows
where each turn's time went and keeps what was heard. `call` is the command; the way into a server
(`Door`) and the layout (`INDENT`) serve `parley interview` too.
"""

from gateway.call.command import call
from gateway.call.door import Door
from gateway.call.screen import INDENT

__all__ = ["INDENT", "Door", "call"]
