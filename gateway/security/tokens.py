"""Checks JSON Web Tokens with a shared secret, or with the keys that an identity provider
publishes.

The provider's key set is kept, and fetched again in the background. If a token names a key that is
not in the set, the set is fetched at once, but at most every `PAUSE_S`, however many such tokens
come. If the provider does not answer, the kept set is used until it is `STALE_S` old.
"""

import logging
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import httpx

from gateway.refreshed import Refreshed
from gateway.security.identities import (
    Identity,
    TokenHead,
    TokenRefused,
    TokenRules,
    VerifyingKey,
)
from gateway.settings import Settings, SettingsError
from stages._certificates import trusted

logger = logging.getLogger("parley.access")

FRESH_S = 300.0
"""A key set of this age is fetched again, in the background."""

STALE_S = 3600.0
"""With an older key set no token is accepted: a key may have been withdrawn since."""

PAUSE_S = 10.0
"""The least time between two requests for the key set, in seconds."""

ASK_S = 3.0
MOST_WAITING = 256
MOST_BYTES = 256 * 1024

EXTRA = "pip install 'parley-gateway[jwt]'"


class KeySource(Protocol):
    """Finds the key of a token."""

    async def key(self, head: TokenHead) -> VerifyingKey:
        """The key that a token names. Raises `TokenRefused`. May be cancelled."""

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""


class SharedSecret:
    """One secret for all tokens (HS256), whatever key a token names."""

    def __init__(self, secret: bytes) -> None:
        self._key = VerifyingKey("HS256", secret)

    async def key(self, head: TokenHead) -> VerifyingKey:
        return self._key

    async def aclose(self) -> None:
        """Does nothing: it has no connections."""


class ProviderKeys:
    """The keys at an identity provider's URL. Belongs to one event loop.

    Redirects are not followed, and no proxy of the environment is used.
    """

    def __init__(self, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._client = httpx.AsyncClient(
            verify=trusted(),
            trust_env=False,
            follow_redirects=False,
            timeout=ASK_S,
            transport=transport,
        )
        self._waiting = 0
        self._keys = Refreshed[dict[str, VerifyingKey]](self.fetch, {}, limit_s=ASK_S, changed=_log)

    async def key(self, head: TokenHead) -> VerifyingKey:
        keys = self._keys
        found = keys.value.get(head.key_id)
        if found is None or keys.age_s >= FRESH_S:
            keys.latest(PAUSE_S)
        if found is None or keys.age_s >= STALE_S:
            await self._wait()
            found = keys.value.get(head.key_id)
        if keys.age_s >= STALE_S:
            text = "the keys of the identity provider cannot be had now"
            raise TokenRefused("token_keys_unavailable", text)
        if found is None:
            raise TokenRefused("token_key_unknown", "the identity provider has no such key")
        return found

    async def aclose(self) -> None:
        await self._keys.aclose()
        await self._client.aclose()

    async def _wait(self) -> None:
        """Wait for the request under way, which takes `ASK_S` at most."""
        if self._waiting >= MOST_WAITING:
            text = "too many tokens wait for the identity provider"
            raise TokenRefused("token_keys_unavailable", text)
        self._waiting += 1
        try:
            await self._keys.wait()
        finally:
            self._waiting -= 1

    async def fetch(self) -> dict[str, VerifyingKey]:
        """Fetch the keys without keeping them. Raises `NoKeySet`, and what httpx raises."""
        from gateway.security.key_sets import NoKeySet, keys_in  # needs the extra

        document = bytearray()
        accept = {"accept": "application/jwk-set+json, application/json"}
        async with self._client.stream("GET", self._url, headers=accept) as answer:
            if answer.status_code != 200:
                raise NoKeySet(f"it answers with {answer.status_code}")
            async for piece in answer.aiter_bytes():
                document += piece
                if len(document) > MOST_BYTES:
                    raise NoKeySet(f"it is longer than {MOST_BYTES} bytes")
        return keys_in(bytes(document))


class Tokens:
    """Checks tokens and identifies their bearers. `clock` gives seconds since the epoch."""

    def __init__(
        self, source: KeySource, rules: TokenRules, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._rules = rules
        self._clock = clock

    async def identity(self, token: str) -> Identity:
        """The identity of the token's bearer. Raises `TokenRefused`. May be cancelled."""
        from gateway.security.token_reading import head_of, identity_of  # needs the extra

        head = head_of(token)
        key = await self._source.key(head)
        return identity_of(token, head, key, self._rules, now=self._clock())

    async def aclose(self) -> None:
        """Close the connections to the identity provider."""
        await self._source.aclose()


def missing(settings: Settings) -> str | None:
    """A line with the packages that the settings need for tokens and that are not installed; None
    if none is missing."""
    if settings.jwt_jwks_url is None and settings.jwt_secret is None:
        return None
    if find_spec("jwt") is not None and find_spec("cryptography") is not None:
        return None
    name = "PARLEY_JWT_SECRET" if settings.jwt_jwks_url is None else "PARLEY_JWT_JWKS_URL"
    return f"{name} needs PyJWT with cryptography: {EXTRA}"


def tokens_of(settings: Settings) -> Tokens | None:
    """The `Tokens` that the settings describe; None if no tokens are accepted.

    Raises `SettingsError` if PyJWT is not installed.
    """
    url, secret = settings.jwt_jwks_url, settings.jwt_secret
    if url is None and secret is None:
        return None
    if (lacking := missing(settings)) is not None:
        raise SettingsError(lacking)
    assert settings.jwt_issuer is not None  # checked with the settings
    assert settings.jwt_audience is not None
    rules = TokenRules(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_skew_s,
        settings.jwt_role_claim,
        settings.jwt_session_claim,
    )
    if secret is not None:
        return Tokens(SharedSecret(secret.get_secret_value().encode()), rules)
    assert url is not None
    return Tokens(ProviderKeys(url), rules)


def _log(error: Exception | None) -> None:
    if error is None:
        logger.info("the identity provider's keys can be had again")
    else:
        why = str(error) or type(error).__name__
        logger.warning("the identity provider's keys cannot be had: %s", why)
