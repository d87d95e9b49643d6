"""Which pages may open a WebSocket."""

import pytest

from gateway.security import may_connect

HOST = "localhost:8000"
NAMED = "http://localhost:3000,https://demo.example"


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (None, NAMED, True),
        (None, "none", True),
        ("http://localhost:8000", "none", True),
        ("https://LOCALHOST:8000", "none", True),
        ("http://localhost:3000", NAMED, True),
        ("https://demo.example", NAMED, True),
        ("https://evil.example", "*", True),
        ("https://evil.example", NAMED, False),
        ("http://localhost:8001", NAMED, False),
        ("http://localhost:8000.evil.example", NAMED, False),
        ("null", NAMED, False),
        ("", NAMED, False),
        ("http://[", NAMED, False),
    ],
)
def test_pages_of_strangers_are_kept_out(origin: str | None, allowed: str, expected: bool) -> None:
    assert may_connect(origin, HOST, allowed) is expected
