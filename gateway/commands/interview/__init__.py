"""`parley interview`: an interview in writing, in the terminal.

A backend holds it: a running gateway or this process. Answers come from the keyboard, a pipe or a
file, and a report is written at the end. `interview` is the command.
"""

from gateway.commands.interview.command import interview

__all__ = ["interview"]
