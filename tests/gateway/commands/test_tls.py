"""`parley serve --tls-cert --tls-key`."""

import asyncio
import gc
import json
import ssl
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import uvloop
from websockets.sync.client import connect

from gateway.app import create_app
from gateway.commands.cli import main
from gateway.commands.serve import GatewayServer, listen, server_config
from gateway.commands.terminal import CommandFailed
from gateway.commands.tls import Tls, tls_files
from gateway.settings import Settings
from tests.support.gateway import Gateway as ScriptedStages
from tests.support.served import free_port, gateway

FILES = Path(__file__).parent / "tls"
CERT, KEY = FILES / "cert.pem", FILES / "key.pem"


def refusal(cert: Path | None, key: Path | None) -> str:
    with pytest.raises(CommandFailed) as caught:
        tls_files(cert, key)
    assert caught.value.code == 2
    return caught.value.message


def test_without_files_there_is_no_tls() -> None:
    assert tls_files(None, None) is None


def test_files_that_fit_are_taken() -> None:
    assert tls_files(CERT, KEY) == Tls(CERT, KEY)


@pytest.mark.parametrize("given", [(CERT, None), (None, KEY)])
def test_one_file_without_the_other_is_refused(given: tuple[Path | None, Path | None]) -> None:
    assert refusal(*given) == "--tls-cert and --tls-key go together"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "key.pem"
    assert refusal(CERT, missing) == f"--tls-key {missing}: No such file or directory"


def test_files_that_are_no_certificate_and_key_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "key.pem"
    other.write_text("not a key")
    expected = f"{CERT} and {other} are not a certificate and its private key, in PEM and"
    assert refusal(CERT, other).startswith(expected)


def test_the_command_says_what_is_wrong_before_it_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "cert.pem"
    assert main(["serve", "--tls-cert", str(missing), "--tls-key", str(KEY)]) == 2
    assert "--tls-cert" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_and_a_session_come_over_tls(tmp_path: Path) -> None:
    port = free_port()
    trust = ssl.create_default_context(cafile=str(CERT))
    options = ("--tls-cert", str(CERT), "--tls-key", str(KEY))
    with gateway(tmp_path, port, *options):
        at = f"localhost:{port}"
        with httpx.Client(verify=trust, trust_env=False, timeout=30) as client:
            assert "Start interview" in client.get(f"https://{at}/").text
            made = client.post(f"https://{at}/api/sessions", json={"role": "Data Analyst"}).json()
        assert made["ws_url"] == f"wss://{at}/ws/{made['session_id']}"
        with connect(made["ws_url"], ssl=trust, proxy=None) as socket:
            socket.send(json.dumps({"type": "hello", "version": 1}))
            ready = json.loads(socket.recv(timeout=10))
            assert (ready["type"], ready["session_id"]) == ("ready", made["session_id"])
            audio = next(m for m in iter(lambda: socket.recv(timeout=10), "") if type(m) is bytes)
            assert len(audio) == 640


def test_a_handshake_of_tls_that_does_not_come_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.commands.tls.HANDSHAKE_S", 0.2)
    settings = Settings(data_dir=tmp_path, vad="energy", llm="scripted")
    closed_after_s: list[float] = []

    async def story() -> None:
        [listener] = listen("127.0.0.1", 0)
        app = create_app(settings, stages=ScriptedStages(tmp_path).scripted())
        server = GatewayServer(app, server_config(app, Tls(CERT, KEY)))
        with server.capture_signals():
            serving = asyncio.create_task(server._serve([listener]))
            try:
                while not server.started:
                    await asyncio.sleep(0.01)
                port = listener.getsockname()[1]
                for half in (b"", b"\x16\x03\x01"):  # nothing, and the beginning of a hello
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(half)
                    began_s = asyncio.get_running_loop().time()
                    with suppress(ConnectionError):
                        await reader.read()
                    closed_after_s.append(asyncio.get_running_loop().time() - began_s)
                    writer.close()
                trust = ssl.create_default_context(cafile=str(CERT))
                async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=30) as client:
                    url = f"https://localhost:{port}/health/live"
                    assert (await client.get(url)).status_code == 200
            finally:
                server.should_exit = True
                await serving
                listener.close()
                gc.unfreeze()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await story()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())
    assert len(closed_after_s) == 2
    assert max(closed_after_s) < 30, "asyncio alone gives it a minute"
