"""A receiver of webhooks on this machine, in threads of its own."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

SECRET = b"a secret of thirty-two bytes len"


def webhooks_file(folder: Path, port: int, networks: str = "127.0.0.0/8") -> Path:
    """A file that names one receiver, "hr", at this port."""
    path = folder / "webhooks.yaml"
    path.write_text(
        "webhooks:\n"
        f"  - name: hr\n    url: http://127.0.0.1:{port}/hook?key=k\n"
        f"    secret: whsec_{b64encode(SECRET).decode()}\n"
        f"networks: {networks}\n"
    )
    return path


class WebhookReceiver:
    """Answers `status` to each delivery, and notes it: its path, its headers, and its body."""

    def __init__(self) -> None:
        self.status = 204
        self.headers: dict[str, str] = {}
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]

    @contextmanager
    def running(self, port: int = 0) -> Iterator[int]:
        """Take deliveries while the block lasts; with the port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.path, headers, body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing is logged."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
