"""A client of a running gateway's admin API, for the commands that change what the gateway does."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.commands.terminal import CommandFailed
from gateway.commands.tls import trust
from gateway.settings import Settings

ANSWER_S = 5.0


@contextmanager
def operator_client(
    settings: Settings,
    url: str,
    trusted: Path | None,
    transport: httpx.BaseTransport | None,
    what: str,
) -> Iterator[httpx.Client]:
    """A client of the gateway at `url`, http or ws, with the operator's key. The certificate in
    `trusted` is trusted beside those of this system; `transport` is for tests.

    Raises `CommandFailed` if the key is missing; `what` names in the error what needs the key.
    """
    if settings.admin_key is None:
        raise CommandFailed(f"PARLEY_ADMIN_KEY is not set here: {what} the gateway's admin key")
    with httpx.Client(
        base_url=re.sub(r"^ws", "http", url).rstrip("/"),
        headers={"authorization": f"Bearer {settings.admin_key.get_secret_value()}"},
        timeout=ANSWER_S,
        trust_env=False,
        verify=trust(trusted),
        transport=transport,
    ) as client:
        yield client


def asked(
    client: httpx.Client,
    method: str,
    path: str,
    wanted: str,
    body: dict[str, Any] | None = None,
) -> Any:
    """The field `wanted` of the gateway's answer. Raises `CommandFailed`."""
    try:
        answer = client.request(method, path, json=body)
        value = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise CommandFailed(f"no gateway answers at {client.base_url}: {error}") from None
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    if answer.is_error:
        told = ": ".join(str(fields[key]) for key in ("title", "detail") if key in fields)
        raise CommandFailed(told or f"HTTP {answer.status_code}")
    if wanted not in fields:
        raise CommandFailed(f"what answers at {client.base_url} is no gateway")
    return fields[wanted]
