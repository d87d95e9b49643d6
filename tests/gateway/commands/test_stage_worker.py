"""`parley worker`, as a process, and what it refuses."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
from pydantic import SecretStr

from gateway.commands import stage_worker as command
from gateway.commands.stage_worker import stage_worker
from gateway.commands.terminal import CommandFailed
from gateway.settings import Settings
from stages.stt.remote import RemoteTranscriber
from tests.support.paths import AUDIO, ROOT

KEY = "the-workers-key"


def begin(*options: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.commands.cli", "worker", *options],
        cwd=ROOT,
        # The gateway's own settings, as where both read one .env file.
        env=kept
        | {"PARLEY_STT": "remote", "PARLEY_STT_WORKER": "ws://a:1", "PARLEY_WORKER_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="needs the extra 'offline'")
def test_a_worker_recognises_for_a_gateway_and_ends_in_order() -> None:
    process = begin("stt", "--provider", "pocketsphinx", "--port", "0")
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        found = re.fullmatch(
            r"Parley's stt worker \(pocketsphinx\) listens at (ws://127\.0\.0\.1:\d+)"
            r" \(Ctrl-C ends it\)\n",
            told,
        )
        assert found is not None, told

        async def story() -> None:
            speech, _ = soundfile.read(AUDIO / "data-analyst-3.wav", dtype="int16")
            said = json.loads((AUDIO / "data-analyst-3.json").read_text())["text"].lower()
            stage = RemoteTranscriber([found[1]], key=KEY)
            try:
                recognition = stage.open(1, None, (), "en")
                for at in range(0, len(speech), 320):
                    recognition.feed(speech[at : at + 320])
                async with asyncio.timeout(60):
                    (final,) = [each async for each in recognition.finish()]
                heard, wanted = (
                    set(re.findall(r"[a-z]+", text)) for text in (final.text.lower(), said)
                )
                assert len(heard & wanted) >= len(wanted) / 3
                assert (stage.detail(), stage.languages) == ("pocketsphinx", ("en",))
            finally:
                await stage.aclose()

        asyncio.run(story())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_an_address_of_the_network_needs_the_key() -> None:
    listeners: Any = [SimpleNamespace(getsockname=lambda: ("192.0.2.1", 8100))]
    with pytest.raises(CommandFailed, match="PARLEY_WORKER_KEY"):
        command._check_public(Settings(), listeners, "192.0.2.1", insecure=False)
    command._check_public(Settings(), listeners, "192.0.2.1", insecure=True)
    command._check_public(
        Settings(worker_key=SecretStr(KEY)), listeners, "192.0.2.1", insecure=False
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "stt has no provider 'nobody'"),
        ("openai", "no server is named: set PARLEY_STT_URL and PARLEY_STT_MODEL"),
    ],
)
def test_a_provider_that_cannot_work_is_said(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "configure", lambda *_: None)
    with pytest.raises(CommandFailed, match=said):
        stage_worker(Settings(data_dir=tmp_path), "stt", host="127.0.0.1", port=0, provider=name)
