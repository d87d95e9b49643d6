"""`parley drill`: break a provider of a running gateway for a while, and watch its breaker."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from gateway.commands.operator_client import asked, operator_client
from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, CommandFailed, output
from gateway.printable import printable
from gateway.settings import Settings

LOOK_EVERY_S = 1.0

SAYS = {
    "hang": "gives nothing any more",
    "error": "fails at every call",
    "slow": "answers late",
}
UNITS = {"": 1, "s": 1, "m": 60}


def seconds(text: str) -> int:
    """A time such as "30s", "2m" or "45". Raises `ValueError`."""
    found = re.fullmatch(r"(\d{1,4})([sm]?)", text)
    if found is None or not 1 <= (value := int(found[1]) * UNITS[found[2]]) <= 600:
        raise ValueError("must be a time from 1s to 10m")
    return value


def drill(
    settings: Settings,
    stage: str,
    fault: str,
    wanted_s: int,
    url: str,
    trusted: Path | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Break a provider, print what its breaker does, and end the drill; returns the exit code.

    Ctrl-C ends the drill before its time. Raises `CommandFailed` if the gateway does not begin it.
    The certificate in `trusted` is trusted beside those of this system. `transport` and `wait` are
    for tests.
    """
    with operator_client(settings, url, trusted, transport, "drills need") as client:
        body = {"stage": stage, "fault": fault, "seconds": wanted_s}
        (begun,) = asked(client, "POST", "/admin/drills", "drills", body)
        console, name = output(), str(begun["name"])
        console.print(
            f"{printable(name)} {SAYS[fault]} for {wanted_s} s (Ctrl-C ends it). Talk to the"
            f" gateway at {client.base_url} and see what it does.",
            soft_wrap=True,
        )
        try:
            _watch(client, name, wanted_s, wait, console.print)
        except KeyboardInterrupt:
            _end(client, name)
            console.print(f"{printable(name)} is whole again")
            return INTERRUPTED
    console.print(f"{printable(name)} is whole again")
    return DONE


def _watch(
    client: httpx.Client,
    name: str,
    wanted_s: int,
    wait: Callable[[float], None],
    tell: Callable[[str], None],
) -> None:
    """Print each change of the breaker until the drill is over, at most a little past its time."""
    state = ""
    for passed_s in range(wanted_s + 5):
        breakers = asked(client, "GET", "/admin/breakers", "breakers")
        now = next((str(one["state"]) for one in breakers if one["name"] == name), "")
        if now != state:
            tell(f"{passed_s:4} s  its circuit breaker is {printable(now)}")
            state = now
        drills = asked(client, "GET", "/admin/drills", "drills")
        if all(one["name"] != name for one in drills):
            return
        wait(LOOK_EVERY_S)


def _end(client: httpx.Client, name: str) -> None:
    try:
        client.delete(f"/admin/drills/{name}")
    except httpx.TransportError as error:
        raise CommandFailed(
            f"{name} stays broken until its time is over: {error}", FAILED
        ) from None
