"""The certificates that verify the servers of providers and services."""

import ssl
from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The certificates that come with httpx; the environment cannot change them.

    One context for all clients of the process: reading the certificates takes some 25 ms each time.
    """
    return httpx.create_ssl_context(trust_env=False)
