"""The REST side in this process: a table of operations behind everything that goes around it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from gateway.rest import middleware, rest_routes
from gateway.rest.operation import Operation
from gateway.rest.problems import EXCEPTION_HANDLERS
from gateway.settings import Settings
from gateway.store import SqliteStore

BASE_URL = "http://parley:8009"

Story = Callable[[httpx.AsyncClient], Awaitable[None]]


@asynccontextmanager
async def serving(
    table: Sequence[Operation], settings: Settings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has this table."""
    app = Starlette(
        routes=rest_routes(list(table)),
        middleware=middleware(settings or Settings()),
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    app.router.redirect_slashes = False
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


class Rest:
    """Runs a story against a table, with a store in a file."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "parley.sqlite3")

    def run(self, table: Sequence[Operation], story: Story, **settings: Any) -> None:
        """Tell the story; the store is closed behind it."""

        async def main() -> None:
            try:
                async with asyncio.timeout(20), serving(table, Settings(**settings)) as client:
                    await story(client)
            finally:
                await self.store.aclose()

        asyncio.run(main())


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and words of problem details, whose form is checked."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/problems#{body['code']}"
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"], body.get("detail", body["title"])
