"""The certificates by which the servers of providers and services are trusted."""

import ssl
from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """Those that come with httpx, whatever the environment says.

    One context for all clients of the process: reading the certificates takes some 25 ms each time.
    """
    return httpx.create_ssl_context(trust_env=False)
