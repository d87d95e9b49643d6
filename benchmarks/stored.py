"""What the gateway has stored of its sessions, read over REST as any client can."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx

TIMEOUT_S = 20.0
PAGE = 100


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """Words of the person in a stored transcript, and the provider that recognised them."""

    text: str
    recogniser: str | None


def stored_answers(
    url: str, transport: httpx.BaseTransport | None = None
) -> dict[str, tuple[StoredAnswer, ...]]:
    """What the person said in each session of the gateway at `url`, by the session's id.

    Raises `httpx.HTTPError` if the gateway does not answer as its documentation says.
    """
    with httpx.Client(
        base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport
    ) as client:
        return {name: _answers(client, name) for name in _sessions(client)}


def _sessions(client: httpx.Client) -> Iterator[str]:
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        page = client.get("/api/sessions", params=query).raise_for_status().json()
        for session in page["sessions"]:
            yield session["session_id"]
        cursor = page["next"]


def _answers(client: httpx.Client, session: str) -> tuple[StoredAnswer, ...]:
    response = client.get(f"/api/sessions/{session}/report")
    if response.status_code == httpx.codes.CONFLICT:
        return ()  # no question was answered
    lines = response.raise_for_status().json()["transcript"]
    return tuple(
        StoredAnswer(line["text"], (line["recognition"] or {}).get("provider"))
        for line in lines
        if line["speaker"] == "candidate"
    )
