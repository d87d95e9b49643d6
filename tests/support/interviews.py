"""What a client of the session API sends, as one call each."""

import io
import wave
from typing import Any

import httpx
import numpy as np

ANSWER = "I would begin with the logs and then try to reproduce it on my own machine"


def recording(seconds: float) -> bytes:
    """A WAV file with a tone."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        tone = 6000 * np.sin(2 * np.pi * np.arange(int(seconds * 16_000)) / 80)
        file.writeframes(tone.astype("<i2").tobytes())
    return buffer.getvalue()


async def made(client: httpx.AsyncClient, total: int = 2, **wanted: Any) -> str:
    body = {"role": "Software Engineer", "totalQuestions": total, "mode": "text", **wanted}
    answer = await client.post("/api/sessions", json=body)
    assert answer.status_code == 201, answer.text
    path: str = answer.headers["location"]
    return path


async def started(client: httpx.AsyncClient, total: int = 2, **wanted: Any) -> str:
    path = await made(client, total, **wanted)
    assert (await client.post(f"{path}/start")).status_code == 200
    return path


async def typed(client: httpx.AsyncClient, path: str, text: str = ANSWER) -> httpx.Response:
    return await client.post(f"{path}/submit-answer", json={"text": text})


async def uploaded(
    client: httpx.AsyncClient, path: str, seconds: float = 2.0, **headers: str
) -> httpx.Response:
    return await client.post(
        f"{path}/submit-answer",
        content=recording(seconds),
        headers={"content-type": "audio/wav", **headers},
    )


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]
