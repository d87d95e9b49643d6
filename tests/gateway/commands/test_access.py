"""`parley call` and `parley interview` with a gateway that wants keys."""

from pathlib import Path
from typing import Any

import pytest

from gateway.commands.call.server import ServerAddress, connected, session_of
from gateway.commands.interview.backend import Wanted
from gateway.commands.interview.choose import choose
from gateway.commands.terminal import CommandFailed
from tests.support.gateway import Gateway

KEY = "a-key-of-ours"


@pytest.fixture
def locked(gateway: Gateway) -> Gateway:
    gateway.settings["api_keys"] = KEY
    return gateway


class Silent:
    """A screen that shows nothing."""

    def status(self, text: str) -> None:
        """It says what is waited for."""


def address(gateway: Gateway, token: str | None) -> ServerAddress:
    return ServerAddress(gateway.url, None, None, None, token=token)


def test_a_call_is_made_with_a_key_or_with_a_ticket(locked: Gateway) -> None:
    async def story() -> None:
        ticket = (await locked.app.state.runtime.access.ticket(None, 60)).value
        screen: Any = Silent()
        for token in (KEY, ticket):
            server = address(locked, token)
            async with connected(server, screen) as (_, session_id):
                assert len(session_id) == 32
            assert (server.token or "").startswith("ps_")

    locked.run(story)


@pytest.mark.parametrize(("token", "which"), [(None, "a token"), ("wrong-key", "another token")])
def test_a_call_without_the_key_says_what_to_do(
    locked: Gateway, token: str | None, which: str
) -> None:
    async def story() -> None:
        words = f"the server wants {which}: --token-file names a file that holds it"
        with pytest.raises(CommandFailed) as refused:
            await session_of(address(locked, token))
        assert refused.value.message == words
        server = address(locked, token)
        server.session_id = "mine"
        if token is not None:
            with pytest.raises(CommandFailed) as refused:
                async with connected(server, Silent()):  # type: ignore[arg-type]
                    pass
            assert refused.value.message == words

    locked.run(story)


def test_an_interview_is_held_with_a_ticket(locked: Gateway) -> None:
    async def story() -> None:
        ticket = (await locked.app.state.runtime.access.ticket(None, 60)).value
        backend = await choose(locked.url, ticket)
        try:
            view = await backend.open(Wanted("Data Analyst", 1, None))
            assert view.total == 1
            assert (await backend.submit("I compared it with a baseline.")).number == 1
        finally:
            await backend.aclose()

    locked.run(story)


def test_an_interview_without_a_key_says_what_to_do(locked: Gateway) -> None:
    async def story() -> None:
        backend = await choose(locked.url)
        try:
            with pytest.raises(CommandFailed) as refused:
                await backend.open(Wanted("Data Analyst", 1, None))
        finally:
            await backend.aclose()
        assert refused.value.message == (
            f"{locked.url} wants a key or a ticket: --token-file names a file that has it"
        )

    locked.run(story)


def test_the_gateway_of_the_settings_gets_its_key(
    locked: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        for name, value in (
            ("PARLEY_PORT", str(locked.port)),
            ("PARLEY_API_KEYS", KEY),
            ("PARLEY_DATA_DIR", str(tmp_path)),
        ):
            monkeypatch.setenv(name, value)
        backend = await choose(None)
        try:
            assert (await backend.open(Wanted("Data Analyst", 1, None))).total == 1
        finally:
            await backend.aclose()

    locked.run(story)
