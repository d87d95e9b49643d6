from typing import Any

import pytest

from gateway.redis_url import RedisAddress, option_secrets, parse_redis_url, shown


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://redis", RedisAddress("redis://redis:6379")),
        ("redis://u:p%40@redis:6380/15", RedisAddress("redis://u:p%40@redis:6380/15")),
        (
            "rediss://[::1]/2?ssl_ca_certs=/a%20b.pem",
            RedisAddress("rediss://[::1]:6379/2?ssl_ca_certs=%2Fa+b.pem"),
        ),
        (
            "redis+sentinel://u:p@a,b:1,[::1]:2/main",
            RedisAddress(
                "redis://u:p@a:26379", (("a", 26379), ("b", 1), ("::1", 2)), "main", None, None
            ),
        ),
        (
            "rediss+sentinel://a/my.main-1/3?ssl_ca_certs=/ca&sentinel_username=s"
            "&sentinel_password=x%26y",
            RedisAddress(
                "rediss://a:26379/3?ssl_ca_certs=%2Fca", (("a", 26379),), "my.main-1", "s", "x&y"
            ),
        ),
    ],
    ids=["host alone", "login and database", "TLS", "Sentinels", "Sentinels with TLS"],
)
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "redis+sentinel://a/ma in/0",
        "redis+sentinel://a/main/0/1",
        "redis+sentinel://a,,b/main",
        "redis+sentinel://a:99999/main",
        "redis+sentinel://a:0/main",
        "redis+sentinel:///main",
        "redis+sentinel://u@a,v@b/main",
        "redis+sentinel://a/main?ssl_ca_certs=/ca",
        "redis+sentinel://a/main?socket_timeout=9",
        "redis+sentinels://a/main",
        "sentinel://a/main",
        "redis://a,b/0",
        "redis://a/0?sentinel_password=x",
        "redis://a b/0",
    ],
)
def test_what_is_no_such_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a URL like redis(\+sentinel)?://host") as error:
        parse_redis_url(url)
    assert url not in str(error.value)


def test_an_address_is_shown_without_secrets() -> None:
    assert shown("rediss://me:pass%40word@cache:6380/2?ssl_certfile=/s.pem") == (
        "rediss://cache:6380/2"
    )
    assert shown("redis+sentinel://me:p@a:1,b:2/main/0?sentinel_password=x") == (
        "redis+sentinel://a:1,b:2/main/0"
    )


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis+sentinel://a/main?sentinel_password=x%26y", {"x%26y", "x&y"}),
        ("http://a/?password=x", set()),
        ("http://[a,http://b", set()),
    ],
    ids=["the Sentinels'", "another", "no URL"],
)
def test_the_password_of_the_sentinels_is_a_secret(url: str, secrets: Any) -> None:
    assert {*option_secrets(url)} == secrets
