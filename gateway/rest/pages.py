"""The description of the API, for programs and for browsers, without files of other servers.

The bundles of Swagger UI and Redoc come from the package `offapi`. It is not imported, because the
import would read all of them into memory.
"""

import json
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from gateway import __version__
from gateway.protocols.native.asyncapi import document as native_document
from gateway.rest.access import refusals
from gateway.rest.openapi import document
from gateway.rest.operation import JSON, Handler, Operation, ResponseSpec, negotiate
from gateway.rest.problems import METHOD_NOT_ALLOWED, NOT_FOUND, OF_SERVICES, Kind

TITLE = "Parley"
DESCRIPTION = (
    "Interviews, spoken and by text. Speech goes over a WebSocket, `/ws/{session_id}`, which"
    " `/asyncapi.json` describes. Every error is an object of problem details (RFC 9457) with a"
    " stable `code`."
)

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " connect-src 'self'; font-src data:; img-src 'self' data:; script-src 'self';"
    " style-src 'self' 'unsafe-inline'; worker-src blob:"
)
"""Both bundles write inline styles, and Redoc searches in a worker from a blob.

The page switches Redoc's telemetry off; this policy blocks it even if a version ignores that.
"""

ASSETS = {
    "swagger-ui.js": ("swagger_bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger_style.css", "text/css"),
    "redoc.js": ("redoc.js", "text/javascript"),
}

START_SWAGGER = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
});
"""

SWAGGER = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/assets/swagger-ui.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""

REDOC = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley: the API</title>
<link rel="icon" href="data:,">
<style>body { margin: 0 }</style>
</head>
<body>
<redoc spec-url="openapi.json" disable-telemetry="true"></redoc>
<script type="module" src="docs/assets/redoc.js"></script>
</body>
</html>
"""

PLAIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley: {title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem }}
body {{ padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-top: 1px solid #ddd; padding: .4rem .8rem .4rem 0 }}
td, th {{ text-align: left; vertical-align: top }}
code {{ font-size: .9em }}
tr:target {{ background: #fff3c4 }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""

WEBSOCKETS = [
    {
        "method": "WebSocket",
        "path": "/ws/{session_id}",
        "summary": "Speak in a session (docs/protocol.md)",
    },
    {
        "method": "WebSocket",
        "path": "/ws/notifications",
        "summary": "Watch what happens in all of the client's sessions (docs/events.md)",
    },
    {
        "method": "WebSocket",
        "path": "/v1/realtime",
        "summary": "OpenAI's Realtime API (docs/openai-realtime.md)",
    },
    {
        "method": "WebSocket",
        "path": "/v1/live/sessions",
        "summary": "OpenAI's Live API (docs/gpt-live.md)",
    },
]


def page_operations(table: Sequence[Operation]) -> list[Operation]:
    """The pages that describe a table: its document, two viewers of it, and two plain lists."""
    described = json.dumps(
        document(table, title=TITLE, version=__version__, description=DESCRIPTION),
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    spoken = json.dumps(
        native_document(title=TITLE, version=__version__), ensure_ascii=False, separators=(",", ":")
    ).encode()
    listing = [
        {"method": operation.method, "path": operation.path, "summary": operation.summary}
        for operation in (*table, *_pages(described, spoken, [], []))
    ]
    kinds = {kind for operation in table for kind in operation.all_errors()}
    kinds |= {kind for o in table for kind in refusals(o.method, o.path)}
    kinds |= {NOT_FOUND, METHOD_NOT_ALLOWED, *OF_SERVICES}
    ordered = sorted(kinds, key=lambda k: (k.status, k.code))
    return _pages(described, spoken, [*listing, *WEBSOCKETS], ordered)


def _pages(
    described: bytes, spoken: bytes, listing: list[dict[str, str]], kinds: list[Kind]
) -> list[Operation]:
    async def openapi(request: Request) -> Response:
        return Response(described, media_type=JSON)

    async def asyncapi(request: Request) -> Response:
        return Response(spoken, media_type=JSON)

    async def swagger(request: Request) -> Response:
        return _page(SWAGGER)

    async def redoc(request: Request) -> Response:
        return _page(REDOC)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "start.js":
            return Response(START_SWAGGER, media_type="text/javascript")
        if name not in ASSETS:
            raise NOT_FOUND()
        file, media_type = ASSETS[name]
        headers = {"cache-control": "max-age=86400", "x-content-type-options": "nosniff"}
        return FileResponse(_bundles() / file, headers=headers, media_type=media_type)

    async def routes(request: Request) -> Response:
        rows = [[f"<code>{escape(r['method'])}</code>", _link(r), r["summary"]] for r in listing]
        return _list(request, "Routes", listing, ("Method", "Path", ""), rows)

    async def problems(request: Request) -> Response:
        values = [{"code": k.code, "status": k.status, "title": k.title} for k in kinds]
        rows = [[f"<code>{k.code}</code>", str(k.status), escape(k.title)] for k in kinds]
        ids = [kind.code for kind in kinds]
        return _list(request, "Problems", values, ("Code", "Status", ""), rows, ids)

    def page(path: str, name: str, handler: Handler, summary: str, *media: str) -> Operation:
        return Operation(
            method="GET",
            path=path,
            name=name,
            handler=handler,
            summary=summary,
            answers={200: ResponseSpec(summary, media=media)},
            hidden=True,
        )

    html = "text/html"
    return [
        page("/openapi.json", "getOpenapi", openapi, "This API as an OpenAPI 3.1 document", JSON),
        page("/asyncapi.json", "getAsyncapi", asyncapi, "/ws as an AsyncAPI 3 document", JSON),
        page("/docs", "getDocs", swagger, "This API to be tried in a browser", html),
        page("/redoc", "getRedoc", redoc, "This API to be read in a browser", html),
        page("/docs/assets/{name}", "getAsset", asset, "What these pages are made of"),
        page("/api-docs", "getRoutes", routes, "This list", JSON, html),
        page("/problems", "getProblems", problems, "Every kind of error", JSON, html),
    ]


def _bundles() -> Path:
    spec = find_spec("offapi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _page(text: str) -> Response:
    return HTMLResponse(text, headers={"content-security-policy": POLICY})


def _list(
    request: Request,
    title: str,
    values: Sequence[dict[str, Any]],
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    ids: Sequence[str] = (),
) -> Response:
    if negotiate(request, (JSON, "text/html")) == JSON:
        return JSONResponse({title.lower(): [*values]})
    head = "".join(f"<th>{text}</th>" for text in heads)
    marks = [f' id="{name}"' for name in ids] or [""] * len(rows)
    lines = (
        f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for mark, row in zip(marks, rows, strict=True)
    )
    body = f"<table>\n<tr>{head}</tr>\n" + "\n".join(lines) + "\n</table>"
    return _page(PLAIN.format(title=title, body=body))


def _link(route: dict[str, str]) -> str:
    path = f"<code>{escape(route['path'])}</code>"
    if route["method"] != "GET" or "{" in route["path"]:
        return path
    return f'<a href="{escape(route["path"].removeprefix("/"))}">{path}</a>'
