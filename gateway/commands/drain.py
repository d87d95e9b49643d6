"""`parley drain`: have a running gateway announce its end, let its conversations go, and stop."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, CommandFailed, output
from gateway.commands.tls import trust
from gateway.settings import Settings

ANSWER_S = 5.0
LOOK_EVERY_S = 0.5

AFTER_S = 30
"""How much longer than its conversations a gateway may take to end: last words are stored (6 s),
requests come to their end (10 s), and models are given up."""

NO_KEY = "PARLEY_ADMIN_KEY is not set here: draining needs the gateway's admin key"


def drain(
    settings: Settings,
    url: str,
    trusted: Path | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """End the gateway at `url` and tell how far it is; the exit code.

    Ctrl-C ends the telling and not the draining. Raises `CommandFailed` where it does not begin, or
    does not end in time. `transport` and `wait` are for tests.
    """
    if settings.admin_key is None:
        raise CommandFailed(NO_KEY)
    url = re.sub(r"^ws", "http", url).rstrip("/")
    headers = {"authorization": f"Bearer {settings.admin_key.get_secret_value()}"}
    with httpx.Client(
        base_url=url,
        headers=headers,
        timeout=ANSWER_S,
        trust_env=False,
        verify=trust(trusted),
        transport=transport,
    ) as client:
        within_s = _begun(client)
        console = output()
        console.print(
            f"The gateway at {url} takes no further conversation, and ends within {within_s} s",
            soft_wrap=True,
        )
        try:
            ended = _watch(client, within_s, wait, console.print)
        except KeyboardInterrupt:
            console.print("It goes on draining")
            return INTERRUPTED
    if not ended:
        raise CommandFailed(f"the gateway at {url} still answers", FAILED)
    console.print("It has ended")
    return DONE


def _begun(client: httpx.Client) -> int:
    """Begin it; returns how long conversations may take. Raises `CommandFailed`."""
    try:
        answer = client.post("/admin/drain")
        told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise CommandFailed(f"no gateway answers at {client.base_url}: {error}") from None
    if answer.status_code != 202 or not isinstance(told, dict):
        fields: dict[str, Any] = told if isinstance(told, dict) else {}
        said = ": ".join(str(fields[key]) for key in ("title", "detail") if key in fields)
        raise CommandFailed(said or f"HTTP {answer.status_code}")
    return int(told["within_s"])


def _watch(
    client: httpx.Client, within_s: int, wait: Callable[[float], None], tell: Callable[[str], None]
) -> bool:
    """Tell how many conversations are left; whether the gateway has ended, or another one has taken
    its place."""
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
