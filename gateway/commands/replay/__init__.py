"""`parley replay`: a recorded session decided again, and shown.

The journal becomes lanes along the session's time. The terminal shows them second by second, an
HTML page as a whole. `run` is the command.
"""

from gateway.commands.replay.command import run

__all__ = ["run"]
