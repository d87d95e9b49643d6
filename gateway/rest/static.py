"""The browser page at `/`, with the first face in it, its scripts and styles, and the other faces.

All files are read once, at the start, and served from memory, so no path can reach another file.
Text is compressed then, once, for browsers that take it: the page is a third as large. Browsers
request each file again every time and get 304 if it has not changed, so a new version is used at
once and as a whole.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.rest.operation import JSON, Handler, Operation, ResponseSpec
from gateway.rest.portrait import PLACE, with_face
from gateway.rest.problems import NOT_FOUND
from gateway.templates import content_hash
from stages.avatar.face import name as face_name

FOLDER = Path(__file__).parents[1] / "static"
FACES = Path(__file__).parents[2] / "stages" / "avatar" / "faces"

INDEX = "index.html"
ADMIN = "admin.html"
STYLE = "style.css"
LINK = f'<link rel="stylesheet" href="static/{STYLE}">'
"""The style itself replaces this link in the page: the first paint waits for nothing else."""

MANIFEST = "face.json"
FACE = (MANIFEST, "face.svg")
"""The files of a face. Other files in an operator's own folder are not served."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'"
)
"""Only this server's files and WebSocket; no inline scripts or styles."""

ALWAYS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}
"""Every file has the policy, because an SVG that is opened by itself is a page, too."""


_REFUSED = re.compile(r"\s*q=0(\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class Static:
    """A file in memory; `etag` changes with its content. `packed` is the content by gzip, with an
    `etag` of its own; empty if that is not smaller. `policy` says what the file may load and run.
    """

    content: bytes
    media_type: str
    etag: str
    packed: bytes = b""
    policy: str = POLICY

    @property
    def packed_etag(self) -> str:
        return f'{self.etag[:-1]}-gzip"'


def read_folder(folder: Path) -> dict[str, Static]:
    """The files of known types below a folder, by their path in it; none without the folder."""
    return {
        path.relative_to(folder).as_posix(): _read(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES and path.is_file()
    }


def _read(path: Path) -> Static:
    return _static(path.read_bytes(), MEDIA_TYPES[path.suffix])


def _static(content: bytes, media_type: str, policy: str = POLICY) -> Static:
    digest = hashlib.sha256(content).hexdigest()[:32]
    packed = gzip.compress(content, mtime=0)
    smaller = packed if len(packed) < len(content) else b""
    return Static(content, media_type, f'"{digest}"', smaller, policy)


def _page(
    page: Static,
    style: Static | None,
    known: Sequence[Mapping[str, str]],
    drawn: Mapping[str, Static],
) -> Static:
    """The page with its style, and with the first of the known faces, if there are any."""
    made, styles = page.content.decode(), []
    if style is not None and LINK in made:
        styles.append(style.content.decode())
        made = made.replace(LINK, f"<style>{styles[0]}</style>")
    first = [drawn.get(f"{face['id']}/{file}") for face in known[:1] for file in FACE]
    if PLACE in made and first and None not in first:
        manifest, svg = (file.content for file in first if file is not None)
        made, own = with_face(made, known, json.loads(manifest), svg.decode())
        styles.append(own)
    allowed = " ".join(["style-src 'self'", *map(content_hash, styles)])
    return _static(made.encode(), page.media_type, POLICY.replace("style-src 'self'", allowed))


def static_operations(
    folder: Path = FOLDER, faces: Path = FACES, face: str | None = None
) -> list[Operation]:
    """The page at `/`, the operator's at `/admin`, their files at `/static`, the faces at `/faces`.

    `face` is listed first: the name of a face in `faces`, or another folder, which is served, too.
    """
    files, drawn = read_folder(folder), read_folder(faces)
    if face is not None and f"{face}/{MANIFEST}" not in drawn:
        own = {f"{face_name(face)}/{file}": Path(face) / file for file in FACE}
        drawn |= {name: _read(path) for name, path in own.items() if path.is_file()}
    first = None if face is None else face_name(face)
    known = sorted(_faces(drawn), key=lambda known: known["id"] != first)
    if INDEX in files:
        files[INDEX] = _page(files[INDEX], files.get(STYLE), known, drawn)

    async def index(request: Request) -> Response:
        return _answer(request, files, INDEX)

    async def admin(request: Request) -> Response:
        return _answer(request, files, ADMIN)

    async def file(request: Request) -> Response:
        return _answer(request, files, request.path_params["name"])

    async def listed(request: Request) -> Response:
        return JSONResponse({"faces": known}, headers=ALWAYS)

    async def one(request: Request) -> Response:
        return _answer(request, drawn, request.path_params["name"])

    return [
        _served("/", "getPage", index, "Hold an interview in a browser", ("text/html",)),
        _served("/admin", "getAdminPage", admin, "Watch and operate a gateway", ("text/html",)),
        _served("/static/{name:path}", "getStatic", file, "What the page is made of"),
        _served("/faces", "getFaces", listed, "Which faces there are", (JSON,)),
        _served("/faces/{name:path}", "getFace", one, "The faces that the page draws"),
    ]


def _faces(drawn: Mapping[str, Static]) -> Iterator[dict[str, str]]:
    """The id, name and description of each face, from its manifest."""
    for path, file in drawn.items():
        face, _, name = path.partition("/")
        if name == MANIFEST:
            manifest = json.loads(file.content)
            yield {"id": face, "name": manifest["name"], "description": manifest["description"]}


def _served(
    path: str, name: str, handler: Handler, summary: str, media: Iterable[str] = ()
) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        handler=handler,
        summary=summary,
        answers={200: ResponseSpec(summary, media=tuple(media))},
        hidden=True,
    )


def _answer(request: Request, files: Mapping[str, Static], name: str) -> Response:
    found = files.get(name)
    if found is None:
        raise NOT_FOUND()
    packed = bool(found.packed) and _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = found.packed_etag if packed else found.etag
    headers = {
        **ALWAYS,
        "content-security-policy": found.policy,
        "etag": etag,
        "vary": "accept-encoding",
    }
    if etag in _etags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
    content = found.packed if packed else found.content
    return Response(content, headers=headers, media_type=found.media_type)


def _takes_gzip(header: str) -> bool:
    """Whether Accept-Encoding names gzip, and not with a weight of 0 (RFC 9110, 12.5.3)."""
    entries = (entry.partition(";") for entry in header.lower().split(","))
    return any(
        coding.strip() == "gzip" and _REFUSED.fullmatch(weight) is None
        for coding, _, weight in entries
    )


def _etags(header: str) -> Iterator[str]:
    """The ETags in If-None-Match. Weak and strong ones compare alike (RFC 9110, 13.1.2)."""
    for entry in header.split(","):
        yield entry.strip().removeprefix("W/")
