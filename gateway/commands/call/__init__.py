"""`parley call`: a caller for trying a server out.

It plays recordings and types lines in real time, tells when the interviewer has finished, shows
where each turn's time went and keeps what was heard. `call` is the command; the way into a server
(`ServerAddress`) and the layout (`INDENT`) serve `parley interview` too.
"""

from gateway.commands.call.command import call
from gateway.commands.call.screen import INDENT
from gateway.commands.call.server import ServerAddress

__all__ = ["INDENT", "ServerAddress", "call"]
