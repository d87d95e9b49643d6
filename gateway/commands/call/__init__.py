"""`parley call`: a caller for trying a server out.

It plays recordings and types lines in real time, detects when the interviewer has finished, shows
where each turn's time went and saves the audio as it was heard. `call` is the command; `parley
interview` also uses the server's address (`ServerAddress`, `read_token`) and the layout (`INDENT`).
"""

from gateway.commands.call.command import call
from gateway.commands.call.screen import INDENT
from gateway.commands.call.server import ServerAddress, read_token

__all__ = ["INDENT", "ServerAddress", "call", "read_token"]
