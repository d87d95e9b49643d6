"""The API key that the gateway makes by itself, for `PARLEY_API_KEYS=auto`.

It is in a file of the data folder that only the gateway's user may read, and stays the same from
one start to the next.
"""

import os
import secrets
from pathlib import Path

from gateway.security.keys import ApiKeys
from gateway.settings import Settings
from gateway.variables import MADE

NAME = "api-key"
KEY_BYTES = 24
"""192 bits: too many to be found by trying."""

SHORTEST = 8


class KeyFileError(Exception):
    """The file cannot be made or read, or holds no key. The text is one line and names it."""


def key_file(folder: Path) -> Path:
    """The path of the file with the key."""
    return folder / NAME


def made_key(folder: Path) -> str:
    """The key in `folder`; the first call makes it, and the folder. Raises `KeyFileError`."""
    path = key_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            try:
                os.write(file, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
            finally:
                os.close(file)
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be used: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if len(key) < SHORTEST or not key.isprintable() or " " in key or "," in key:
        raise KeyFileError(f"{path} holds no key; delete it and start again")
    return key


def api_keys(settings: Settings) -> ApiKeys:
    """The keys that the settings name, or with `auto` the gateway's own key.

    Raises `KeyFileError`.
    """
    if settings.api_keys is None:
        return ApiKeys()
    given = settings.api_keys.get_secret_value()
    return ApiKeys(made_key(settings.data_dir)) if given == MADE else ApiKeys.parse(given)
