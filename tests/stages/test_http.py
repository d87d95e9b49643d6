import asyncio
import base64
import contextlib
import logging
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from pipeline.errors import CallerError, StageBusy, StageError, StageFailed
from pipeline.testing import cancel_at
from stages._http import MAX_MESSAGE, HttpClient
from stages._http_errors import retry_after_s

T = TypeVar("T")
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SECRET = "sk-canary-0123456789"


def run(coro: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await coro

    return asyncio.run(bounded())


def post(url: str, model: str, **options: Any) -> StageError | None:
    """What a request for the model raises, if anything."""

    async def main() -> StageError | None:
        client = HttpClient(url, stage="llm", provider="test", **options)
        try:
            async with client.post_json(
                "chat/completions", {"model": model, "stream": True}
            ) as answer:
                await answer.body(1 << 20)
        except StageError as error:
            return error
        finally:
            await client.aclose()
        return None

    return run(main())


def probe(url: str, **options: Any) -> str | None:
    async def main() -> str | None:
        client = HttpClient(url, stage="llm", provider="test", **options)
        try:
            return await client.probe()
        finally:
            await client.aclose()

    return run(main())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("86400", 300.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 12:00:30 -0000", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2099 12:00:00 GMT", 300.0),
        ("-3", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        ("1e9", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str, seconds: float) -> None:
    assert seconds == retry_after_s(value, NOW)


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        ("missing", CallerError, "HTTP 404: model 'missing' not found"),
        ("unauthorized", CallerError, 'HTTP 401: [{"msg": "no key"}]'),
        ("redirect", CallerError, "HTTP 302: a redirect to /v1/elsewhere, and none is followed"),
        ("broken", StageFailed, "HTTP 500: <h1>Internal Server Error</h1>"),
        ("half-said", CallerError, "HTTP 400: the reason is"),
        ("coded", CallerError, "HTTP 400: no such voice"),
        ("brotli", StageFailed, "the server sent br that was not asked for"),
        ("bomb", StageFailed, "a body of more than 1048576 bytes"),
    ],
)
def test_a_status_becomes_the_error_of_whose_fault_it_is(
    peer: Any, model: str, kind: type[StageError], text: str
) -> None:
    error = post(peer.url, model)
    assert isinstance(error, kind)
    assert text == error.detail


def test_a_server_at_capacity_says_when_to_come_back(peer: Any) -> None:
    waits = []
    for model in ("busy", "unavailable", "overloaded"):
        error = post(peer.url, model)
        assert isinstance(error, StageBusy)
        waits.append((error.retry_after_s, error.detail))
    assert waits == [
        (7.0, "HTTP 429: slow down"),
        (0.0, "HTTP 503: loading model"),
        (1.5, "HTTP 529: overloaded"),
    ]


@pytest.mark.parametrize(
    ("model", "reason", "wait_s"),
    [
        ("broken", "server error (HTTP 500: Internal Server Error)", 0.0),
        ("timed-out", "server error (HTTP 408: request timeout)", 0.0),
        ("back-soon", "server error (HTTP 500: out of memory)", 30.0),
    ],
)
def test_a_server_error_is_told_in_its_words_and_is_no_missing_connection(
    peer: Any, model: str, reason: str, wait_s: float
) -> None:
    error = post(peer.url, model)
    assert isinstance(error, StageFailed)
    assert (error.reason, error.retry_after_s) == (reason, wait_s)


def test_no_redirect_is_followed(peer: Any) -> None:
    post(peer.url, "redirect/once")
    assert len(peer.requests("redirect/once")) == 1
    assert "/v1/elsewhere" not in [asked["path"] for asked in peer.requests("")]


def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = post(url, "hello")
        reason = probe(url)
    assert isinstance(error, StageFailed)
    assert error.phase == "connect"
    assert f"{url} cannot be used (ConnectError: All connection attempts failed)" == reason


def test_the_environments_proxy_is_not_used(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(peer.url, "hello") is None


def test_a_key_is_sent_and_never_repeated(peer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with_password = peer.url.replace("//", f"//user:{SECRET}@")
    errors = [
        post(peer.url, "bad/key", api_key=SECRET),
        post(with_password, "bad/password"),
        post(with_password.replace(str(peer.port), "1"), "hello"),
    ]
    [asked] = peer.requests("bad/key")
    assert f"Bearer {SECRET}" == asked["headers"]["authorization"]
    [asked] = peer.requests("bad/password")
    basic = base64.b64encode(f"user:{SECRET}".encode()).decode()
    assert asked["headers"]["authorization"] == f"Basic {basic}"
    kinds = CallerError, CallerError, StageFailed
    assert all(isinstance(error, kind) for error, kind in zip(errors, kinds, strict=True))
    for error in errors:
        for secret in (SECRET, basic):
            assert secret not in f"{error} {error!r} {vars(error)} {caplog.text}"
    assert "HTTP 400: invalid key Bearer ***" in str(errors[0])
    assert "HTTP 400: invalid key Basic ***" in str(errors[1])


def test_a_servers_message_is_short_and_printable(peer: Any) -> None:
    error = post(peer.url, "bad")
    assert error is not None
    assert error.detail.startswith("HTTP 400: invalid key [31mxxx")
    assert error.detail.isprintable()
    assert len("HTTP 400: ") + MAX_MESSAGE == len(error.detail)


@pytest.mark.parametrize("key", ["two words", "sk-1\r\nX-Admin: 1", "schlüssel", ""])
def test_a_key_that_no_header_can_hold_is_refused_unrepeated(key: str) -> None:
    with pytest.raises(ValueError, match="API key is printable") as caught:
        HttpClient("http://localhost", stage="llm", provider="test", api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://host", "http://", f"http://user:{SECRET}@host:port", "//host/v1"],
)
def test_an_unusable_address_is_refused_unrepeated(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URL like") as caught:
        HttpClient(url, stage="llm", provider="test")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_an_address_without_a_path_means_v1(peer: Any, path: str) -> None:
    assert post(peer.url + path, "hello") is None


def test_an_address_with_a_path_is_taken_as_it_is(peer: Any) -> None:
    error = post(f"{peer.url}/api", "hello/api")
    assert error is not None
    assert error.detail == "HTTP 404: no such page"
    [asked] = peer.requests("hello/api")
    assert asked["path"] == "/api/chat/completions"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/"])
def test_the_address_of_an_endpoint_means_its_server(peer: Any, path: str) -> None:
    assert post(peer.url + path, "hello") is None


def test_a_deployment_with_its_version_is_asked_as_azure_expects(peer: Any) -> None:
    address = f"{peer.url}/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert post(address, "hello/azure", api_key=SECRET) is None
    [asked] = peer.requests("hello/azure")
    assert asked["query"] == {"api-version": "2024-10-21"}
    assert asked["headers"]["api-key"] == SECRET
    assert "authorization" not in asked["headers"]


def test_a_key_in_the_query_is_sent_and_never_repeated(peer: Any) -> None:
    error = post(f"{peer.url}/v1?key={SECRET}", "bad/query")
    [asked] = peer.requests("bad/query")
    assert asked["query"] == {"key": SECRET}
    assert SECRET not in f"{error} {error!r} {vars(error)}"


def test_text_that_no_utf8_has_does_not_break_a_request(peer: Any) -> None:
    async def main() -> None:
        client = HttpClient(peer.url, stage="llm", provider="test")
        body = {"model": "hello/surrogate", "text": "half an emoji: \ud83d"}
        async with client.post_json("chat/completions", body) as answer:
            await answer.body(1 << 20)
        await client.aclose()

    run(main())
    [asked] = peer.requests("hello/surrogate")
    assert asked["text"] == "half an emoji: ?"


def test_a_body_has_a_limit(peer: Any) -> None:
    async def main() -> None:
        client = HttpClient(peer.url, stage="stt", provider="test")
        body = {"model": "long"}
        try:
            async with client.post_json("audio/transcriptions", body) as answer:
                await answer.body(1 << 20)
        finally:
            await client.aclose()

    with pytest.raises(StageFailed, match="protocol: a body of more than 1048576 bytes"):
        run(main())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v1", None),
        ("/nowhere", None),
        ("/guarded", 'does not accept the API key (HTTP 401: [{"msg": "no key"}])'),
        ("/broken", "cannot be used (HTTP 500: <h1>Internal Server Error</h1>)"),
        ("/silent", "does not answer within 1 s"),
    ],
)
def test_a_probe_says_what_is_wrong(peer: Any, path: str, reason: str | None) -> None:
    wanted = None if reason is None else f"{peer.url} {reason}"
    assert wanted == probe(peer.url + path)


def test_when_all_connections_are_in_use_the_provider_is_busy(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages._http.MAX_CONNECTIONS", 1)
    monkeypatch.setattr("stages._http.POOL_S", 0.05)

    async def main() -> None:
        client = HttpClient(peer.url, stage="llm", provider="test")
        try:
            async with client.post_json("chat/completions", {"model": "stall"}):
                with pytest.raises(StageBusy, match="all 1 connections are in use"):
                    async with client.post_json(
                        "chat/completions", {"model": "hello", "stream": True}
                    ):
                        pass
        finally:
            await client.aclose()

    run(main())


@pytest.mark.parametrize("model", ["half-said", "brotli", "bomb", "stall"])
def test_an_answer_that_was_not_read_to_its_end_keeps_no_connection(
    peer: Any, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr("stages._http.MAX_CONNECTIONS", 1)

    async def main() -> None:
        client = HttpClient(peer.url, stage="llm", provider="test")
        try:
            with contextlib.suppress(StageError):
                async with client.post_json("chat/completions", {"model": model, "stream": True}):
                    pass
            async with client.post_json(
                "chat/completions", {"model": "hello", "stream": True}
            ) as answer:
                assert b"Hello" in await answer.body(1 << 20)
        finally:
            await client.aclose()

    run(main())


def test_a_call_that_is_cancelled_while_it_ends_keeps_no_connection(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages._http.MAX_CONNECTIONS", 1)

    async def main() -> None:
        client = HttpClient(peer.url, stage="llm", provider="test")

        async def begin() -> contextlib.AsyncExitStack:
            stack = contextlib.AsyncExitStack()
            body = {"model": "stall", "stream": True}
            await stack.enter_async_context(client.post_json("chat/completions", body))
            return stack

        nth = 1
        try:
            while await cancel_at(nth, (await begin()).aclose()):
                nth += 1  # with one connection at most, the next call begins if that one has ended
        finally:
            await client.aclose()
        assert nth > 1

    run(main())
