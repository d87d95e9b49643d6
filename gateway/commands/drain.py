"""`parley drain`: a running gateway announces its end, lets its conversations end, and stops."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from gateway.commands.operator_client import asked, operator_client
from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, CommandFailed, output
from gateway.settings import Settings

LOOK_EVERY_S = 0.5

AFTER_S = 30
"""How much longer than its conversations a gateway may take to end: last words are stored (6 s),
requests end (10 s), and models are released."""


def drain(
    settings: Settings,
    url: str,
    trusted: Path | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """End the gateway at `url` and print its progress; returns the exit code.

    Ctrl-C ends the printing, not the draining. Raises `CommandFailed` if draining does not begin,
    or does not end in time. `transport` and `wait` are for tests.
    """
    with operator_client(settings, url, trusted, transport, "draining needs") as client:
        within_s = int(asked(client, "POST", "/admin/drain", "within_s"))
        console = output()
        console.print(
            f"The gateway at {client.base_url} takes no further conversation, and ends within"
            f" {within_s} s",
            soft_wrap=True,
        )
        try:
            ended = _watch(client, within_s, wait, console.print)
        except KeyboardInterrupt:
            console.print("It goes on draining")
            return INTERRUPTED
    if not ended:
        raise CommandFailed(f"the gateway at {client.base_url} still answers", FAILED)
    console.print("It has ended")
    return DONE


def _watch(
    client: httpx.Client, within_s: int, wait: Callable[[float], None], tell: Callable[[str], None]
) -> bool:
    """Print how many conversations are left; returns whether the gateway has ended, or another one
    has taken its place."""
    before: int | None = None
    for look in range(round((within_s + AFTER_S) / LOOK_EVERY_S)):
        try:
            ready = client.get("/health/ready")
            if look and ready.json().get("status") != "draining":
                return True
            live = len(client.get("/admin/sessions").json()["sessions"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return True
        if live != before:
            tell(f"{look * LOOK_EVERY_S:6.1f} s  {live} live conversations")
            before = live
        wait(LOOK_EVERY_S)
    return False
