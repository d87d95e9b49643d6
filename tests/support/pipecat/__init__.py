"""Pipecat's stock JavaScript client on a page in Chromium, and the site that has the page."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.chromium import PROGRAM

HERE = Path(__file__).parent
NODE = shutil.which("node")
MISSING = [] if NODE and PROGRAM else ["node and chromium"]
if not (HERE / "node_modules").is_dir():
    MISSING.append("its packages: npm ci --prefix tests/support/pipecat")

IN_CI = os.environ.get("CI") == "true"
"""What CI installs must be complete: there, what is missing fails the tests instead."""


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """The page, built into `folder`, as another site than the gateway's: its origin."""
    esbuild = HERE / "node_modules" / ".bin" / "esbuild"
    built = f"--outfile={folder / 'page.js'}"
    subprocess.run(
        [esbuild, "page.mjs", "--bundle", "--format=iife", "--log-level=error", built],
        cwd=HERE,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    shutil.copy(HERE / "page.html", folder)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
