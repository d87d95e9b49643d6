"""A function that an operator's HTTP endpoint runs.

The endpoint gets a POST of ``{"name", "call_id", "arguments", "session_id", "turn"}`` and answers
2xx with the result: JSON, or any text. Redirects are not followed and the environment's proxies are
not used, so that only the operator names where requests go.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx

from stages._http import HttpClient

MOST_RESULT_BYTES = 64 << 10
"""The longest result; a longer one is refused, and the model gets nothing of it."""

DONE = "done"
"""The text that the model gets in place of an empty result."""


class HttpTool:
    """One endpoint, for all sessions. Raises `ValueError` for an unusable URL or key."""

    def __init__(self, name: str, url: str, *, api_key: str | None = None) -> None:
        self.provider = name
        self._http = HttpClient(url, stage="tool", provider=name, api_key=api_key)
        self._url = str(httpx.URL(url).copy_with(userinfo=b"", fragment=None))

    async def call(self, body: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        """The result, as one item. Raises as `stages._http` says; a result of more than
        `MOST_RESULT_BYTES` is "protocol". Cancelling closes the connection."""
        async with self._http.post_json(self._url, body) as answer:
            result = await answer.body(MOST_RESULT_BYTES)
        yield result.decode("utf-8-sig", errors="replace").strip() or DONE

    async def aclose(self) -> None:
        """Close the connections. Calls under way fail."""
        await self._http.aclose()
