"""Names that a gateway without keys answers to, on a real socket."""

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.commands.serve import alone
from gateway.commands.tls import Tls
from gateway.security import names_this_machine
from gateway.settings import Settings
from gateway.transports.hosts import for_this_machine
from tests.support import gateway as support
from tests.support.gateway import Gateway

NAMED = "https://tool.example,http://localhost:3000,capacitor://localhost"


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("127.0.0.1:8000", "none", True),
        ("localhost", "none", True),
        ("LOCALHOST.:8000", "none", True),
        ("app.localhost:8000", "none", True),
        ("[::1]:8000", "none", True),
        ("192.168.1.20", "none", True),
        ("", "none", True),
        ("tool.example", NAMED, True),
        ("anything.example", "*", True),
        ("evil.example", "none", False),
        ("evil.example:8000", NAMED, False),
        ("localhost.evil.example", "none", False),
        ("127.0.0.1.evil.example", "none", False),
        ("evil-localhost", "none", False),
        ("[", "none", False),
        ("2130706433", "none", False),
    ],
)
def test_a_strangers_name_is_not_this_machines(host: str, allowed: str, expected: bool) -> None:
    assert names_this_machine(host, allowed) is expected


def test_who_wants_keys_or_is_behind_a_proxy_answers_to_every_name() -> None:
    tls = Tls(Path("cert.pem"), Path("key.pem"))
    assert alone(Settings(), None) is True
    assert alone(Settings(), tls) is False
    assert alone(Settings(proxies="127.0.0.1"), None) is False
    assert alone(Settings(insecure=True), None) is False
    assert alone(Settings(api_keys=SecretStr("a-key-of-ours")), None) is False


def test_a_page_whose_name_resolves_to_this_machine_gets_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = support.server_config
    monkeypatch.setattr(
        support, "server_config", lambda app, http: config(for_this_machine(app, "none"), http=http)
    )

    async def story() -> None:
        host = f"evil.example:{gateway.port}"
        page = {"host": host, "origin": f"http://{host}"}
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            for path in ("/", "/health", "/api/sessions"):
                answer = await client.get(path, headers=page)
                assert answer.status_code == 421
                assert "PARLEY_PROXIES" in answer.text
            assert (await client.get("/api/sessions")).status_code == 200
        handshake = connect(
            f"ws://{host}/ws/a", host="127.0.0.1", additional_headers={"origin": page["origin"]}
        )
        with pytest.raises(InvalidStatus) as refused:
            await handshake
        assert refused.value.response.status_code == 421
        async with gateway.call() as caller:
            await caller.until("ready")

    gateway.run(story)
