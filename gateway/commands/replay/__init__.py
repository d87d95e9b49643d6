"""`parley replay`: repeats the decisions of a recorded session, and shows them.

The journal becomes lanes along the session's time. The terminal shows the lanes second by second,
an HTML page shows them as a whole. `run` is the command.
"""

from gateway.commands.replay.command import run

__all__ = ["run"]
