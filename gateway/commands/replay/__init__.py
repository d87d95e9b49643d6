"""`parley replay`: a recorded session decided again, and shown.

The journal becomes lanes along the session's time, which the terminal draws second by second and
one HTML page draws whole. `run` is the command.
"""

from gateway.commands.replay.command import run

__all__ = ["run"]
