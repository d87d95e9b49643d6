"""Checks of `parley doctor`: API keys, and the tokens of an identity provider."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import httpx

from gateway.commands.announcement import access_line
from gateway.security.identities import VerifyingKey
from gateway.security.tokens import EXTRA, ProviderKeys, missing
from gateway.settings import Settings

PLAIN = "an http:// address lets anybody on the way say which tokens hold; use https://"


@dataclass(frozen=True, slots=True)
class AccessFinding:
    """The result of one check, as `gateway.commands.doctor.Finding` has it."""

    subject: str
    state: Literal["ok", "note", "problem"]
    detail: str
    advice: str = ""


def access_findings(settings: Settings) -> Iterator[AccessFinding]:
    """Report who may use the gateway, and whether the identity provider, if there is one, gives its
    keys."""
    line = access_line(settings) or "everybody on this machine, without keys"
    yield AccessFinding("clients", "ok", line)
    if (lacking := missing(settings)) is not None:
        yield AccessFinding("tokens", "problem", lacking, EXTRA)
        return
    if settings.jwt_secret is not None:
        yield AccessFinding("tokens", "ok", f"HS256, for {settings.jwt_audience}")
    if settings.jwt_jwks_url is not None:
        yield asyncio.run(_provider(settings.jwt_jwks_url, settings))


async def _provider(url: str, settings: Settings) -> AccessFinding:
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    source = ProviderKeys(url)
    try:
        keys = await source.fetch()
    except Exception as error:  # whatever the provider answers
        why = str(error) or type(error).__name__
        if isinstance(error, httpx.HTTPError):
            why = f"it cannot be reached ({type(error).__name__})"
        advice = "check PARLEY_JWT_JWKS_URL; until it answers no token is accepted"
        return AccessFinding("tokens", "problem", f"{where}: {why}", advice)
    finally:
        await source.aclose()
    detail = f"{where} has {_counted(keys)}, for {settings.jwt_audience}"
    if parts.scheme == "http" and not _here(parts.hostname or ""):
        return AccessFinding("tokens", "note", detail, PLAIN)
    return AccessFinding("tokens", "ok", detail)


def _counted(keys: dict[str, VerifyingKey]) -> str:
    counts = Counter(key.algorithm for key in keys.values())
    return ", ".join(f"{count} for {name}" for name, count in sorted(counts.items()))


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
