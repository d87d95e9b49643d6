"""The description against the gateway that serves it: schemathesis sends what fits and what not."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

LONGEST_S = 120
"""It takes about ten seconds."""

ADMIN_KEY = "operators-key-0001"
API_KEY = "clients-key-0001"
FOR_OPERATORS = "^/(admin|metrics)"
NOWHERE = "http://127.0.0.1:1"
SERVICES = ("conversation_url", "interview_url", "granite_interview_url", "ollama_url")


@pytest.mark.slow
@pytest.mark.parametrize("keys", [False, True])
def test_no_request_is_answered_other_than_described(
    gateway: Any, tmp_path: Path, keys: bool
) -> None:
    gateway.settings |= dict.fromkeys(SERVICES, NOWHERE) | {
        "admin_key": SecretStr(ADMIN_KEY),
        "notifications": "on",
    }
    credential = ["--header", f"Authorization: Bearer {ADMIN_KEY}"]
    if keys:  # a client with a key is no operator
        gateway.settings["api_keys"] = API_KEY
        credential = ["--header", f"X-API-Key: {API_KEY}", "--exclude-path-regex", FOR_OPERATORS]

    async def story() -> None:
        command = [
            *(SCHEMATHESIS, "--config-file", CONFIG, "run"),
            f"http://127.0.0.1:{gateway.port}/openapi.json",
            *credential,
            *("--max-examples", "8", "--generation-deterministic", "--no-color"),
            *(
                "--warnings",
                "off",
                "--suppress-health-check",
                "filter_too_much",
                "--request-timeout",
                "10",
            ),
        ]
        hooks = {"PYTHONPATH": str(CONFIG.parent), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"}
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=STDOUT, cwd=tmp_path, env=os.environ | hooks
        )
        try:
            async with asyncio.timeout(LONGEST_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said.decode()
        assert "Test cases" in said.decode()

    gateway.run(story)
