"""A process for `gateway.workers.supervisor` that does what its order says, a word a step.

`python -m tests.support.supervised DESCRIPTOR`. Steps: `ready`, `tell WORD`, `hear` (a line, which
goes into the order's file), `until NAME` (a file beside it), `exit CODE`, `deaf` (to signals),
`wait`.
"""

import pickle
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do, and the file for what is heard."""

    steps: tuple[str, ...]
    file: Path


def main() -> None:
    line = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")
    order = pickle.loads(line.read(int.from_bytes(line.read(4), "big")))
    for step in order.steps:
        word, _, rest = step.partition(" ")
        match word:
            case "ready":
                line.write(f"ready {rest}\n".encode())
                line.flush()
            case "tell":
                line.write(f"tell {rest}\n".encode())
                line.flush()
            case "hear":
                with order.file.open("ab") as file:
                    file.write(line.readline())
            case "until":
                while not order.file.with_name(rest).exists():
                    time.sleep(0.01)
            case "exit":
                sys.exit(int(rest))
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "wait":
                time.sleep(60)


if __name__ == "__main__":
    from tests.support.supervised import main as same  # the order's class is this module's

    same()
