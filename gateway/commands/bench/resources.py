"""The CPU and memory of processes and of the whole machine, from /proc (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_ESTABLISHED = "01"
"""The state in /proc/net/tcp."""


@dataclass(frozen=True, slots=True)
class Machine:
    """CPU seconds of all cores since the start: `busy` with any process, with `interrupts`, or
    `stolen` by the host.

    The kernel's work on packets of the loopback device counts as an interrupt. It belongs to no
    process, although the processes under test cause it.
    """

    busy_s: float
    interrupts_s: float
    stolen_s: float


def machine() -> Machine:
    """The machine's use so far."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, stolen = fields
    return Machine(
        (user + nice + system) / TICKS_PER_S,
        (irq + softirq) / TICKS_PER_S,
        stolen / TICKS_PER_S,
    )


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, its threads included; 0 when it is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mb(pid: int) -> float:
    """Resident memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * PAGE_BYTES / 2**20


def connections(port: int) -> frozenset[str]:
    """The established TCP connections to a local port (IPv4), by their sockets' inodes."""
    found = set()
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return frozenset(found)


def held(pid: int, sockets: frozenset[str]) -> int:
    """How many of these sockets a process holds; 0 when it is gone."""
    count = 0
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += os.readlink(entry) in sockets
            except OSError:
                continue
    except OSError:
        return 0
    return count


def descendants(root: int) -> list[int]:
    """Every process below `root`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(int(entry.name))[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on (proc(5) counts it as the third)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()
