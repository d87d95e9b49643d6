"""A site of its own with the packed JavaScript client, and a page that uses nothing else."""

import functools
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.packer import pack
from tests.support.paths import ROOT

PAGE = ROOT / "tests/clients/js/page.html"


class Quiet(SimpleHTTPRequestHandler):
    """The files of a folder."""

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is for the tests."""


@contextmanager
def package_site(folder: Path) -> Iterator[str]:
    """Its origin. The package is unpacked from its tarball, as npm would do it."""
    with tarfile.open(pack(folder, None)) as tarball:
        tarball.extractall(folder, filter="data")
    shutil.copy(PAGE, folder)
    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
