"""HTTPS: the files of `parley serve`, the time limits of TLS, and the certificates that commands
trust as clients."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.commands.terminal import CommandFailed

HANDSHAKE_S = 5.0
"""How long a TLS handshake may take: two round trips and some arithmetic. asyncio's own limit is 60
s; a client that begins no handshake would keep a descriptor in use for that time."""

TLS_CLOSE_S = 2.0
"""How long a client may take to answer the end of TLS; asyncio's own limit is 30 s."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files of a certificate with its chain, and of its private key."""

    cert: Path
    key: Path


def tls_files(cert: Path | None, key: Path | None) -> Tls | None:
    """The checked files for HTTPS; None if neither was given.

    Raises `CommandFailed` that says what is wrong with them.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise CommandFailed("--tls-cert and --tls-key go together")
    for option, path in (("--tls-cert", cert), ("--tls-key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise CommandFailed(f"{option} {path}: {error.strerror}") from None
    try:
        # No prompt for the password of an encrypted key: a server starts unattended.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError:
        raise CommandFailed(
            f"{cert} and {key} are not a certificate and its private key, in PEM and unencrypted"
        ) from None
    return Tls(cert, key)


def bound_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Set `HANDSHAKE_S` and `TLS_CLOSE_S` for the loop's servers: uvicorn cannot set them."""
    bounded: Any = partial(
        loop.create_server, ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=TLS_CLOSE_S
    )
    loop.create_server = bounded  # type: ignore[method-assign]


def trust(trusted: Path | None) -> ssl.SSLContext:
    """The certificates that a client trusts: those of the system, and the one in the file
    `trusted`.

    Raises `CommandFailed`.
    """
    try:
        context = ssl.create_default_context()
        if trusted is not None:
            context.load_verify_locations(trusted)
    except OSError as error:  # not a certificate, or there is no such file
        reason = "is no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise CommandFailed(f"--trust {trusted}: {reason}") from None
    return context
