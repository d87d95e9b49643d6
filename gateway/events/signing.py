"""Signatures of deliveries, as Standard Webhooks has them. Pure.

HMAC-SHA256 signs `{webhook-id}.{webhook-timestamp}.{body}`; the header
`webhook-signature` has `v1,` and the digest in base64, one for each secret with a space between.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"
LEAST_SECRET_BYTES: Final = 24
MOST_SECRET_BYTES: Final = 64


def secret_of(text: str) -> bytes:
    """The key in a secret: base64, with `whsec_` before it or without. Raises `ValueError`."""
    key = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    if not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise ValueError(f"has {len(key)} bytes")
    return key


def signed_headers(secrets: Sequence[bytes], id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery that is made `at` (a Unix time)."""
    content = b"%s.%d.%s" % (id.encode(), at, body)
    digests = (hmac.new(secret, content, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests),
    }
