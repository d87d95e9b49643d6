"""An identity provider: it signs tokens, and shows its keys."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

NOW = 1_800_000_000
ISSUER = "https://id.example.org/"
AUDIENCE = "parley"
SECRET = "a-secret-of-32-characters-or-more"


@lru_cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@lru_cache
def ec_key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def shown(key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half of a key, as a set of keys has it."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    public: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    return public | ({} if key_id is None else {"kid": key_id}) | more


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(now: int = NOW, **more: Any) -> dict[str, Any]:
    """What a token says; None takes a claim away."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "iat": now,
        "exp": now + 300,
        "role": "interviewer",
    }
    return {name: value for name, value in (said | more).items() if value is not None}


def token(
    key: Any = SECRET, algorithm: str = "HS256", key_id: str | None = None, **more: Any
) -> str:
    headers = None if key_id is None else {"kid": key_id}
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers=headers)


class Provider:
    """What it answers with, and how often it was asked."""

    def __init__(self) -> None:
        self.document = key_set()
        self.status = 200
        self.asked = 0
        self.url = ""


@contextmanager
def identity_provider() -> Iterator[Provider]:
    """A provider on a port of 127.0.0.1."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            self.send_response(provider.status)
            self.send_header("content-length", str(len(provider.document)))
            self.end_headers()
            self.wfile.write(provider.document)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/jwks"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
