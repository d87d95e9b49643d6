import re
from html.parser import HTMLParser

import httpx
import pytest

from gateway.interviews.sessions import SessionRecord
from gateway.rest.operation import Operation
from gateway.rest.sessions import session_operations
from tests.support.rest import Rest, refused


async def nobody(session_id: str) -> None: ...


@pytest.fixture
def table(rest: Rest) -> list[Operation]:
    async def never(record: SessionRecord) -> bool:
        return False

    return session_operations(rest.store, 60, nobody, never, lambda language: ())


class Links(HTMLParser):
    """The files that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline_scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href", "spec-url") if name in given]
        self.inline_scripts += tag == "script" and "src" not in given


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_loads_everything_from_here(rest: Rest, table: list[Operation], path: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        page = await client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy
        links = Links()
        links.feed(page.text)
        assert links.inline_scripts == 0
        assert ("<redoc" in page.text) == ('disable-telemetry="true"' in page.text)
        loaded = [link for link in links.found if not link.startswith("data:")]
        assert loaded
        for link in loaded:
            asset = await client.get(httpx.URL(str(page.url)).join(link))
            assert asset.status_code == 200
            kind = asset.headers["content-type"].partition(";")[0]
            expected = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
            assert kind == expected[link.rpartition(".")[2]]
            assert len(asset.content) > 80

    rest.run(table, story)


def test_the_scripts_are_those_that_the_pages_start(rest: Rest, table: list[Operation]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert b"SwaggerUIBundle" in (await client.get("/docs/assets/swagger-ui.js")).content
        assert "SwaggerUIBundle(" in (await client.get("/docs/assets/start.js")).text
        assert b"redoc" in (await client.get("/docs/assets/redoc.js")).content

    rest.run(table, story)


@pytest.mark.parametrize("name", ["url.json", "__init__.py", "..%2f__init__.py", "x"])
def test_nothing_else_of_the_package_is_served(
    rest: Rest, table: list[Operation], name: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.get(f"/docs/assets/{name}"))[:2] == (404, "not_found")

    rest.run(table, story)


def test_the_routes_are_listed_for_programs_and_for_people(
    rest: Rest, table: list[Operation]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        routes = (await client.get("/api-docs")).json()["routes"]
        assert [(r["method"], r["path"]) for r in routes] == [
            ("POST", "/api/sessions"),
            ("GET", "/api/sessions"),
            ("GET", "/api/sessions/{id}"),
            ("DELETE", "/api/sessions/{id}"),
            ("GET", "/openapi.json"),
            ("GET", "/asyncapi.json"),
            ("GET", "/docs"),
            ("GET", "/redoc"),
            ("GET", "/docs/assets/{name}"),
            ("GET", "/api-docs"),
            ("GET", "/problems"),
            ("WebSocket", "/ws/{session_id}"),
            ("WebSocket", "/ws/notifications"),
            ("WebSocket", "/v1/realtime"),
            ("WebSocket", "/v1/live/sessions"),
        ]
        browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        page = await client.get("/api-docs", headers=browser)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for route in routes:
            assert route["path"] in page.text
        assert '<a href="openapi.json">' in page.text

    rest.run(table, story)


def test_the_type_of_a_problem_leads_to_its_description(rest: Rest, table: list[Operation]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        path, _, code = (await client.get("/api/sessions/a")).json()["type"].partition("#")
        page = await client.get(path, headers={"accept": "text/html"})
        assert f'id="{code}"' in page.text
        codes = [problem["code"] for problem in (await client.get(path)).json()["problems"]]
        assert code in codes
        assert sorted(set(re.findall(r'id="(\w+)"', page.text))) == sorted(codes)

    rest.run(table, story)
