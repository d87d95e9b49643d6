"""`parley keys`: makes, lists and revokes API keys in the store of a gateway."""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from rich.table import Table
from rich.text import Text

from gateway.commands.terminal import DONE, FAILED, CommandFailed, output
from gateway.printable import printable
from gateway.security.roles import ClientRole
from gateway.security.stored_keys import StoredKey, create_key, list_keys, revoke_key
from gateway.settings import Settings
from gateway.store import Store, StoreError, store_at

DAY_S = 24 * 3600

T = TypeVar("T")


def keys(settings: Settings, arguments: argparse.Namespace) -> int:
    """Make, list or revoke keys in the store that the settings name; returns the exit code.

    Raises `CommandFailed` if that cannot be done.
    """
    match arguments.action:
        case "create":
            return _create(settings, arguments.name, ClientRole(arguments.role), arguments.days)
        case "list":
            return _list(settings, as_json=arguments.json)
    return _revoke(settings, arguments.id)


def _create(settings: Settings, name: str, role: ClientRole, days: int | None) -> int:
    lifetime_s = None if days is None else days * DAY_S
    try:
        key, made = _in_store(
            settings,
            lambda store: create_key(store, name, role, now=time.time(), lifetime_s=lifetime_s),
        )
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    console = output()
    console.print(key, soft_wrap=True)
    until = "" if made.expires_at is None else f", until {_day(made.expires_at)}"
    told = f"Key {made.id} for {printable(made.name)}, {made.role}{until}. It is not shown again."
    console.print(told, soft_wrap=True)
    if not settings.guarded:
        console.print("Nobody needs it yet: PARLEY_ACCESS=required asks for keys", soft_wrap=True)
    return DONE


def _list(settings: Settings, *, as_json: bool) -> int:
    found = _in_store(settings, list_keys)
    console = output()
    if as_json:
        console.out(json.dumps([_shown(key) for key in found], indent=2), highlight=False)
        return DONE
    if not found:
        console.print("There are no keys; `parley keys create NAME` makes one")
        return DONE
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("id", "name", "role", "made", "expires"):
        table.add_column(heading)
    for key in found:
        expires = "" if key.expires_at is None else _day(key.expires_at)
        name = Text(printable(key.name), overflow="fold")
        table.add_row(key.id, name, key.role.value, _day(key.made_at), expires)
    console.print(table)
    return DONE


def _revoke(settings: Settings, key_id: str) -> int:
    if not _in_store(settings, lambda store: revoke_key(store, key_id)):
        raise CommandFailed(f"there is no key {key_id!r}; `parley keys list` shows them", FAILED)
    output().print(f"Key {key_id} is revoked", soft_wrap=True)
    return DONE


def _in_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    async def done() -> T:
        store = store_at(settings.database, settings.redis_url)
        try:
            return await work(store)
        finally:
            await store.aclose()

    try:
        if settings.redis_url is None:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        return asyncio.run(done())
    except StoreError as error:
        raise CommandFailed(str(error), FAILED) from None
    except OSError as error:
        text = f"PARLEY_DATA_DIR={settings.data_dir} cannot be used: {error.strerror}"
        raise CommandFailed(text) from None


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _shown(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "made_at": key.made_at,
        "expires_at": key.expires_at,
    }
