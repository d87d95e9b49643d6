"""Chooses the backend of an interview in writing: a running gateway, or this process."""

import httpx

from gateway.commands.call import ServerAddress
from gateway.commands.interview.backend import InterviewBackend, LocalBackend
from gateway.commands.interview.remote import RemoteBackend
from gateway.commands.terminal import CommandFailed
from gateway.security import KeyFileError, api_keys
from gateway.settings import Settings, SettingsError

LOOK_S = 1.0
"""How long the gateway of the settings may take to answer."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


async def choose(url: str | None, token: str | None = None) -> InterviewBackend:
    """The gateway at `url`; without a `url` the gateway of the settings if it runs, else this
    process. `token` is what a gateway wants; that of the settings gets a key of the settings.

    Raises `CommandFailed` for an invalid URL or unusable settings.
    """
    if url is not None:
        server = ServerAddress(url, None, None, None)
        return RemoteBackend(
            server.sessions_url,
            server.shown.replace("ws", "http", 1),
            option=f"--url {server.shown}",
            token=token,
        )
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None
    host = _ANY.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    address = f"http://{host}:{settings.port}"
    if await _is_parley(address):
        return RemoteBackend(f"{address}/api/sessions", address, token=token or _key(settings))
    return LocalBackend(settings, f"no gateway runs at {address}")


async def _is_parley(address: str) -> bool:
    """Whether a gateway answers at this address."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=LOOK_S) as client:
            body = (await client.get(f"{address}/health")).json()
        return isinstance(body["gateway"]["version"], str)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return False


def _key(settings: Settings) -> str | None:
    """A key for the gateway of the settings, None if it wants none. Raises `CommandFailed`."""
    try:
        return api_keys(settings).first
    except KeyFileError as error:
        raise CommandFailed(str(error)) from None
