"""`parley keys`: an operator makes a key, sees it in the list, and takes it back."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from gateway.commands.cli import main
from gateway.security.roles import ClientRole
from gateway.security.stored_keys import StoredKey, find_key
from gateway.store import SqliteStore


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    return tmp_path / "data"


def known(folder: Path, key: str) -> StoredKey | None:
    async def look() -> StoredKey | None:
        store = SqliteStore(folder / "parley.sqlite3")
        try:
            return await find_key(store, key, now=time.time())
        finally:
            await store.aclose()

    return asyncio.run(look())


def test_a_key_is_made_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "Ms Miller", "--role", "interviewer", "--days", "2"]) == 0
    key, told, hint = capsys.readouterr().out.splitlines()
    made = known(folder, key)
    assert made is not None
    assert (made.name, made.role) == ("Ms Miller", ClientRole.INTERVIEWER)
    assert made.expires_at == made.made_at + 2 * 24 * 3600
    assert told.startswith(f"Key {made.id} for Ms Miller, interviewer, until 20")
    assert "PARLEY_ACCESS=required" in hint

    assert main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert [word in shown for word in (made.id, "Ms Miller", "interviewer", key)] == [True] * 3 + [
        False
    ]
    assert main(["keys", "list", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry == {
        "id": made.id,
        "name": "Ms Miller",
        "role": "interviewer",
        "made_at": made.made_at,
        "expires_at": made.expires_at,
    }

    assert main(["keys", "revoke", made.id]) == 0
    assert capsys.readouterr().out == f"Key {made.id} is revoked\n"
    assert known(folder, key) is None
    assert main(["keys", "revoke", made.id]) == 1
    assert "there is no key" in capsys.readouterr().err
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out.startswith("There are no keys")


def test_where_keys_are_asked_for_there_is_no_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_ACCESS", "required")
    assert main(["keys", "create", "backend"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_cannot_be_done_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["keys", "create", ""]) == 2
    assert "1 to 64 characters" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["keys", "create", "a", "--role", "root"])
    assert ended.value.code == 2
    capsys.readouterr()
    monkeypatch.setenv("PARLEY_DATA_DIR", "/dev/null/data")
    assert main(["keys", "list"]) == 2
    assert "PARLEY_DATA_DIR=/dev/null/data cannot be used" in capsys.readouterr().err
