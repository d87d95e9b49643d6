"""`parley drill`: break a provider of a running gateway for a while, and watch its breaker."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.commands.terminal import DONE, FAILED, INTERRUPTED, CommandFailed, output
from gateway.commands.tls import trust
from gateway.printable import printable
from gateway.settings import Settings

ANSWER_S = 5.0
LOOK_EVERY_S = 1.0

SAYS = {
    "hang": "gives nothing any more",
    "error": "fails at every call",
    "slow": "answers late",
}
UNITS = {"": 1, "s": 1, "m": 60}

NO_KEY = "PARLEY_ADMIN_KEY is not set here: drills need the gateway's admin key"


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
    """Break a provider, say what its breaker does, and make it whole again; the exit code.

    Ctrl-C ends the drill before its time. Raises `CommandFailed` where the gateway does not begin
    it. The certificate in `trusted` is trusted beside those of this system. `transport` and `wait`
    are for tests.
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
        body = {"stage": stage, "fault": fault, "seconds": wanted_s}
        (begun,) = _asked(client, "POST", "/admin/drills", body)["drills"]
        console, name = output(), str(begun["name"])
        console.print(
            f"{printable(name)} {SAYS[fault]} for {wanted_s} s (Ctrl-C ends it). Talk to the"
            f" gateway at {url} and see what it does.",
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
    """Tell each change of the breaker until the drill is over, at most a little past its time."""
    state = ""
    for passed_s in range(wanted_s + 5):
        breakers = _asked(client, "GET", "/admin/breakers")["breakers"]
        now = next((str(one["state"]) for one in breakers if one["name"] == name), "")
        if now != state:
            tell(f"{passed_s:4} s  its circuit breaker is {printable(now)}")
            state = now
        drills = _asked(client, "GET", "/admin/drills")["drills"]
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


def _asked(
    client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer of the admin API. Raises `CommandFailed`."""
    try:
        answer = client.request(method, path, json=body)
        value = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise CommandFailed(f"no gateway answers at {client.base_url}: {error}") from None
    if not isinstance(value, dict):
        raise CommandFailed(f"what answers at {client.base_url} is no gateway")
    if answer.is_error:
        told = ": ".join(str(value[key]) for key in ("title", "detail") if key in value)
        raise CommandFailed(told or f"HTTP {answer.status_code}")
    return value
