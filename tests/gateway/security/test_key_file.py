"""The key that the gateway makes by itself."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.security import KeyFileError, api_keys, key_file
from gateway.security.key_file import made_key
from gateway.settings import Settings


def test_the_key_is_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    key = made_key(folder)
    assert len(key) == 48
    assert made_key(folder) == key
    assert stat.S_IMODE(key_file(folder).stat().st_mode) == 0o600
    assert made_key(tmp_path / "another") != key


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"two words here\n", b"\xff" * 20, b"a,b" * 9]
)
def test_a_file_without_a_key_is_no_key(tmp_path: Path, content: bytes) -> None:
    key_file(tmp_path).write_bytes(content)
    with pytest.raises(KeyFileError, match="holds no key; delete it and start again"):
        made_key(tmp_path)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="Not a directory"):
        made_key(tmp_path / "file" / "var")
    key_file(tmp_path).mkdir()
    with pytest.raises(KeyFileError, match="Is a directory"):
        made_key(tmp_path)


def test_the_settings_say_which_keys_there_are(tmp_path: Path) -> None:
    def keys(value: str | None) -> list[bool]:
        given = None if value is None else SecretStr(value)
        known = api_keys(Settings(data_dir=tmp_path, api_keys=given))
        return [known.accepts(key) for key in ("first-key", "auto", made_key(tmp_path))]

    assert keys(None) == [True, True, True]
    assert keys("first-key,another-key") == [True, False, False]
    assert keys("auto") == [False, False, True]
