"""Checks that a request comes from Twilio, by its `X-Twilio-Signature`. Pure.

It is an HMAC-SHA1 with the account's auth token, in base64, of the URL as Twilio has it and the
form's fields in the order of their names, each name followed by its value.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

HEADER = "x-twilio-signature"

PORTS = {"https": ":443", "http": ":80"}


def signature(token: str, url: str, fields: Sequence[tuple[str, str]]) -> str:
    """The signature of a request to `url` with these fields; equal ones count once."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), signed.encode(errors="replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_signed(given: str, token: str, url: str, fields: Sequence[tuple[str, str]]) -> bool:
    """Whether `given` is the request's signature. Takes the same time for every wrong one.

    Twilio signs the URL with or without the default port of its scheme.
    """
    presented = given.encode(errors="replace")
    right = [
        hmac.compare_digest(presented, signature(token, spelled, fields).encode())
        for spelled in _spellings(url)
    ]
    return any(right)


def _spellings(url: str) -> tuple[str, ...]:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    port = PORTS.get(scheme, "")
    bare = host.removesuffix(port)
    if ":" in bare.rpartition("]")[2]:  # another port; the colons of an IPv6 address stand before
        return (url,)
    return tuple(f"{scheme}://{name}{slash}{path}" for name in (bare, bare + port))
