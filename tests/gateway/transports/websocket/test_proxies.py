"""`PARLEY_PROXIES`: whose word is taken for how a client came."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.app import create_app
from gateway.commands.serve import server_config
from gateway.settings import Settings, SettingsError
from gateway.transports.proxies import address_behind
from tests.support.gateway import Gateway

SAID = {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7", "x-forwarded-host": "evil"}


async def told(request: Request) -> PlainTextResponse:
    assert request.client is not None
    return PlainTextResponse(f"{request.url.scheme} {request.client.host} {request.url.hostname}")


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [
        ("", "http 10.0.0.5 parley"),
        ("127.0.0.1/32", "http 10.0.0.5 parley"),
        ("127.0.0.1/32,10.0.0.0/8", "https 192.0.2.7 parley"),
        ("*", "https 192.0.2.7 parley"),
    ],
)
def test_only_the_proxies_that_are_named_are_believed(proxies: str, seen: str) -> None:
    config = server_config(Starlette(routes=[Route("/", told)]), proxies=proxies)
    config.load()

    async def ask() -> str:
        transport = httpx.ASGITransport(config.loaded_app, client=("10.0.0.5", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://parley") as client:
            return (await client.get("/", headers=SAID)).text

    assert asyncio.run(ask()) == seen


CHAIN = "for=203.0.113.9;proto=http, for=192.0.2.7;proto=https, for=10.0.0.6;proto=http"


@pytest.mark.parametrize(
    ("proxies", "headers", "seen"),
    [
        ("", {"forwarded": "for=192.0.2.7;proto=https"}, "http 10.0.0.5"),
        ("127.0.0.1/32", {"forwarded": "for=192.0.2.7;proto=https"}, "http 10.0.0.5"),
        ("10.0.0.0/8", {"forwarded": "for=192.0.2.7;proto=https"}, "https 192.0.2.7"),
        ("10.0.0.0/8", {"forwarded": 'for="[2001:db8::1]:9";proto=wss'}, "https 2001:db8::1"),
        ("10.0.0.0/8", {"forwarded": CHAIN}, "https 192.0.2.7"),
        ("*", {"forwarded": CHAIN}, "http 203.0.113.9"),
        ("10.0.0.0/8", {"forwarded": "for=192.0.2.7, for=10.0.0.6;proto=https"}, "https 192.0.2.7"),
        ("10.0.0.0/8", {"forwarded": "proto=https"}, "https 10.0.0.5"),
        ("10.0.0.0/8", {"forwarded": "for=unknown;proto=https"}, "https 10.0.0.5"),
        ("10.0.0.0/8", {"forwarded": "for=192.0.2.7;proto=gopher"}, "http 192.0.2.7"),
        ("10.0.0.0/8", {"forwarded": "https"}, "http unknown"),
        ("10.0.0.0/8", {"forwarded": "for=192.0.2.8;proto=http", **SAID}, "https 192.0.2.7"),
        (
            "10.0.0.0/8",
            {"forwarded": "for=192.0.2.8", "x-forwarded-proto": "https"},
            "https 10.0.0.5",
        ),
        (
            "10.0.0.0/8",
            {"forwarded": "proto=https", "x-forwarded-for": "192.0.2.7"},
            "http 192.0.2.7",
        ),
    ],
    ids=[
        *("nobody", "another", "believed", "ipv6", "chain", "all", "scheme of a later hop"),
        *("no address", "hidden", "no scheme", "no list", "both", "with proto", "with for"),
    ],
)
def test_forwarded_is_believed_of_the_same_proxies_where_nothing_else_is_said(
    proxies: str, headers: dict[str, str], seen: str
) -> None:
    config = server_config(Starlette(routes=[Route("/", told)]), proxies=proxies)
    config.load()

    async def ask() -> str:
        transport = httpx.ASGITransport(config.loaded_app, client=("10.0.0.5", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://parley") as client:
            return (await client.get("/", headers=headers)).text

    assert asyncio.run(ask()) == f"{seen} parley"
    address = address_behind(proxies)
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert address(lines, ("10.0.0.5", 1)) == seen.split()[1]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (["https,http"], "https"),
        (["HTTPS , http"], "https"),
        (["https", "http"], "https"),
        (["wss"], "https"),
        (["http,https"], "http"),
        (["ws"], "http"),
        (["gopher,https"], "http"),
        ([""], "http"),
    ],
)
def test_the_first_of_several_proxies_says_how_the_client_came(
    said: list[str], seen: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, proxies="127.0.0.1/32")
    app = create_app(settings, stages=Gateway(tmp_path).scripted())
    config = server_config(app, proxies=settings.proxies)
    config.load()
    scheme = {"http": "ws", "https": "wss"}[seen]

    async def ask() -> str:
        transport = httpx.ASGITransport(config.loaded_app, client=("127.0.0.1", 1))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://parley") as client,
        ):
            headers = [("x-forwarded-proto", value) for value in said]
            made = await client.post(
                "/api/sessions", json={"role": "Data Analyst"}, headers=headers
            )
            url: str = made.json()["ws_url"]
            return url

    assert asyncio.run(ask()).startswith(f"{scheme}://parley/ws/")


def test_a_connection_is_kept_longer_than_a_proxy_keeps_it() -> None:
    assert server_config(Starlette()).timeout_keep_alive > 600  # Google's load balancers


def test_the_setting_takes_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PROXIES", "127.0.0.1, 10.0.0.0/8,::1")
    assert Settings.load(None).proxies == "127.0.0.1/32,10.0.0.0/8,::1/128"
    monkeypatch.setenv("PARLEY_PROXIES", "proxy.example")
    with pytest.raises(SettingsError, match="PARLEY_PROXIES must be addresses"):
        Settings.load(None)
