"""The lines at the terminal when `parley serve` listens, and when it is ready."""

import socket
from collections.abc import Sequence

from rich.table import Table

from gateway.commands.terminal import output
from gateway.runtime import Runtime
from gateway.security import key_file
from gateway.settings import Settings
from gateway.status import StageReport
from gateway.variables import MADE

DEFAULT_URL = "ws://127.0.0.1:8000"


def access_line(settings: Settings) -> str:
    """A line that says who may use the server; "" if that is this machine alone."""
    if not settings.guarded:
        return "Everybody who reaches it may use it: PARLEY_INSECURE" if settings.insecure else ""
    if settings.api_keys is None:
        if settings.access == "required":
            return "Clients need a key that `parley keys create` makes, or a token"
        return f"Clients need a token of {settings.jwt_issuer}"
    if settings.api_keys.get_secret_value() == MADE:
        return f"Clients need the API key in {key_file(settings.data_dir)}"
    return "Clients need one of PARLEY_API_KEYS"


def token_file(settings: Settings) -> str:
    """The name of a file that shows that `parley call` may use the server; "" if none is needed."""
    if settings.api_keys is None:
        return "FILE" if settings.guarded else ""
    made = settings.api_keys.get_secret_value() == MADE
    return str(key_file(settings.data_dir)) if made else "FILE"


def announce(
    listener: socket.socket,
    reports: Sequence[StageReport],
    *,
    secure: bool = False,
    access: str = "",
    token_file: str = "",
    workers: int = 1,
) -> None:
    """Print the server's address, its providers, who may use it, and what to try next."""
    url = ws_url(listener, secure=secure)
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("slot", "provider", "", "why"):
        table.add_column(heading)
    for report in reports:
        provider = f"{report.provider} {report.detail}".rstrip()
        table.add_row(report.slot, provider, report.note, report.why)
    option = "" if url == DEFAULT_URL else f" --url {url}"
    option += f" --token-file {token_file}" if token_file else ""
    console = output()
    several = f", with {workers} processes" if workers > 1 else ""
    console.print(f"Parley listens at {url.replace('ws', 'http', 1)}{several} (Ctrl-C ends it)\n")
    console.print(table)
    if access:
        console.print(f"\n{access}", soft_wrap=True)
    console.print("\nOpen that address in a browser, or talk to it from a second terminal:")
    console.print(
        f"  .venv/bin/parley call fixtures/audio/software-engineer-1.wav{option}", soft_wrap=True
    )


async def tell_when_ready(runtime: Runtime) -> None:
    """Print one line when the models are loaded, or could not be; it names what does not answer."""
    await runtime.lineup().starts.settled()
    await runtime.lineup().probes.ask()
    console = output()
    if lost := runtime.lineup().starts.lost():
        console.print(f"\nNot ready: {'; '.join(lost)}", soft_wrap=True)
        return
    said = {report.slot: _named(report) for report in runtime.reports()}
    console.print(f"\nReady: hears with {said['stt']}; speaks with {said['tts']}", soft_wrap=True)


def _named(report: StageReport) -> str:
    words = [f"{report.provider} {report.detail}".rstrip(), report.note]
    return ", ".join(filter(None, words))


def ws_url(listener: socket.socket, *, secure: bool = False) -> str:
    """The URL of the listener for a client on this machine."""
    scheme = "wss" if secure else "ws"
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
