"""Keys of an identity provider: kept, renewed, rotated, unreachable, asked for within bounds."""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.security.identities import TokenHead, TokenRefused, TokenRules
from gateway.security.tokens import (
    ASK_S,
    FRESH_S,
    MOST_BYTES,
    MOST_WAITING,
    PAUSE_S,
    STALE_S,
    ProviderKeys,
    SharedSecret,
    Tokens,
    missing,
    tokens_of,
)
from gateway.settings import Settings
from pipeline.testing import run_virtual
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    ec_key,
    key_set,
    rsa_key,
    shown,
    token,
)


def one() -> dict[str, Any]:
    return shown(rsa_key(), "one")


def two() -> dict[str, Any]:
    return shown(ec_key(), "two")


class Answers:
    """A provider as a transport of httpx. `hang_s` is how long it takes."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.document = key_set(*keys)
        self.status = 200
        self.hang_s = 0.0
        self.down = False
        self.asked: list[float] = []
        self.headers: dict[str, str] = {}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(asyncio.get_running_loop().time())
        if self.hang_s:
            await asyncio.sleep(self.hang_s)
        if self.down:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.status, content=self.document, headers=self.headers)


def told(answers: Answers, story: Callable[[ProviderKeys], Awaitable[None]]) -> None:
    async def main() -> None:
        keys = ProviderKeys("https://id/jwks", transport=httpx.MockTransport(answers))
        try:
            await story(keys)
        finally:
            await keys.aclose()

    run_virtual(main())


async def outcome(keys: ProviderKeys, key_id: str) -> str:
    """The algorithm of the key, or why there is none."""
    try:
        return (await keys.key(TokenHead("RS256", key_id))).algorithm
    except TokenRefused as refused:
        return refused.reason


def test_the_set_is_asked_for_once_and_kept() -> None:
    answers = Answers(one(), two())

    async def story(keys: ProviderKeys) -> None:
        together = [outcome(keys, name) for name in ("one", "two", "one")]
        assert await asyncio.gather(*together) == ["RS256", "ES256", "RS256"]
        await asyncio.sleep(FRESH_S - 1)
        assert await outcome(keys, "one") == "RS256"
        assert len(answers.asked) == 1

    told(answers, story)


def test_a_new_key_is_found_when_the_first_token_names_it() -> None:
    answers = Answers(one())

    async def story(keys: ProviderKeys) -> None:
        assert await outcome(keys, "one") == "RS256"
        answers.document = key_set(one(), two())
        await asyncio.sleep(PAUSE_S)
        assert await outcome(keys, "two") == "ES256"
        assert len(answers.asked) == 2

    told(answers, story)


def test_a_key_that_was_withdrawn_holds_no_longer_than_the_set_is_fresh() -> None:
    answers = Answers(one(), two())

    async def story(keys: ProviderKeys) -> None:
        assert await outcome(keys, "one") == "RS256"
        answers.document = key_set(two())
        await asyncio.sleep(FRESH_S)
        assert await outcome(keys, "one") == "RS256"  # nobody waits; it is asked beside this
        await asyncio.sleep(0.1)
        assert await outcome(keys, "one") == "token_key_unknown"
        assert await outcome(keys, "two") == "ES256"

    told(answers, story)


def test_a_flood_of_unknown_keys_asks_the_provider_once_in_a_while() -> None:
    answers = Answers(one())

    async def story(keys: ProviderKeys) -> None:
        assert await outcome(keys, "one") == "RS256"
        for second in range(60):
            names = [outcome(keys, f"none-{second}-{n}") for n in range(50)]
            assert {*await asyncio.gather(*names)} == {"token_key_unknown"}
            assert await outcome(keys, "one") == "RS256"
            await asyncio.sleep(1)
        pauses = [b - a for a, b in itertools.pairwise(answers.asked)]
        assert min(pauses) >= PAUSE_S
        assert len(answers.asked) == 1 + math.floor(60 / PAUSE_S) - 1

    told(answers, story)


def test_nobody_waits_for_a_provider_whose_key_is_known() -> None:
    answers = Answers(one())

    async def story(keys: ProviderKeys) -> None:
        assert await outcome(keys, "one") == "RS256"
        answers.hang_s = 1000
        await asyncio.sleep(FRESH_S)
        begun = asyncio.get_running_loop().time()
        assert [await outcome(keys, "one") for _ in range(3)] == ["RS256"] * 3
        assert asyncio.get_running_loop().time() == begun
        await asyncio.sleep(0.1)
        assert len(answers.asked) == 2

    told(answers, story)


def test_an_unreachable_provider_changes_nothing_until_the_set_is_too_old() -> None:
    answers = Answers(one())

    async def story(keys: ProviderKeys) -> None:
        assert await outcome(keys, "one") == "RS256"
        answers.down = True
        await asyncio.sleep(STALE_S - 1)
        assert await outcome(keys, "one") == "RS256"
        assert await outcome(keys, "two") == "token_key_unknown"
        await asyncio.sleep(1)
        assert await outcome(keys, "one") == "token_keys_unavailable"
        answers.down = False
        await asyncio.sleep(PAUSE_S)
        assert await outcome(keys, "one") == "RS256"

    told(answers, story)


@pytest.mark.parametrize("why", ["down", "hangs", "status", "redirect", "no set", "too long"])
def test_without_a_set_no_token_can_be_checked(why: str) -> None:
    answers = Answers(one())
    match why:
        case "down":
            answers.down = True
        case "hangs":
            answers.hang_s = 1000
        case "status":
            answers.status = 500
        case "redirect":
            answers.status, answers.headers = 302, {"location": "https://elsewhere/jwks"}
        case "no set":
            answers.document = b"<html>"
        case "too long":
            answers.document += b" " * MOST_BYTES

    async def story(keys: ProviderKeys) -> None:
        begun = asyncio.get_running_loop().time()
        assert await outcome(keys, "one") == "token_keys_unavailable"
        assert asyncio.get_running_loop().time() - begun <= ASK_S
        assert await outcome(keys, "one") == "token_keys_unavailable"
        assert len(answers.asked) == 1

    told(answers, story)


def test_only_so_many_wait_for_a_provider() -> None:
    answers = Answers(one())
    answers.hang_s = ASK_S / 2

    async def story(keys: ProviderKeys) -> None:
        found = await asyncio.gather(*(outcome(keys, "one") for _ in range(MOST_WAITING + 5)))
        assert found.count("RS256") == MOST_WAITING
        assert found.count("token_keys_unavailable") == 5
        assert len(answers.asked) == 1

    told(answers, story)


def test_a_client_that_leaves_ends_no_question() -> None:
    answers = Answers(one())
    answers.hang_s = 1.0

    async def story(keys: ProviderKeys) -> None:
        first = asyncio.create_task(outcome(keys, "one"))
        second = asyncio.create_task(outcome(keys, "one"))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == "RS256"
        assert len(answers.asked) == 1

    told(answers, story)


def test_a_token_is_checked_against_the_clock_that_is_given() -> None:
    now = float(NOW)

    async def main() -> None:
        nonlocal now
        rules = TokenRules(ISSUER, AUDIENCE)
        tokens = Tokens(SharedSecret(SECRET.encode()), rules, clock=lambda: now)
        assert (await tokens.identity(token())).subject == "user-1"
        now += 331
        with pytest.raises(TokenRefused) as refused:
            await tokens.identity(token())
        assert refused.value.reason == "token_expired"
        await tokens.aclose()

    run_virtual(main())


def test_the_settings_say_which_tokens_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokens_of(Settings()) is None
    given: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    assert tokens_of(Settings(jwt_secret=SECRET, **given)) is not None
    assert missing(Settings(jwt_secret=SECRET, **given)) is None
    monkeypatch.setattr("gateway.security.tokens.find_spec", lambda name: None)
    assert missing(Settings()) is None
    lacking = missing(Settings(jwt_jwks_url="https://id/jwks", **given))
    assert lacking is not None
    assert "PARLEY_JWT_JWKS_URL needs PyJWT" in lacking
    assert "parley-gateway[jwt]" in lacking
