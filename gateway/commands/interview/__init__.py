"""`parley interview`: an interview in writing, in the terminal.

It is held in a room, either with a gateway that runs or in this very process; answers come from a
keyboard, a pipe or a file, and in the end there is a report. `interview` is the command.
"""

from gateway.commands.interview.command import interview

__all__ = ["interview"]
