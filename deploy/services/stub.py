"""A service to try the gateway with: it says what it was asked, and who it is.

`STUB_NAME` and `STUB_PORT` are its name and port. Where `STUB_REGISTERS_AT` is the URL of a gateway
it registers itself there, with `STUB_ADMIN_KEY`, and renews its lease. `STUB_HOST` is its address,
otherwise that of its machine. It needs Python alone.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEASE_S = 30
RENEW_S = 10
AGAIN_S = 2

NAME = os.environ.get("STUB_NAME", "stub")
PORT = int(os.environ.get("STUB_PORT", "8080"))
GATEWAY = os.environ.get("STUB_REGISTERS_AT", "")
KEY = os.environ.get("STUB_ADMIN_KEY", "")


class Stub(BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Say what came."""
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        told = {
            "status": "healthy",
            "service": NAME,
            "instance": socket.gethostname(),
            "method": self.command,
            "path": self.path,
            "correlation_id": self.headers.get("x-correlation-id"),
            "body": body.decode(errors="replace"),
        }
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every 30 s: nothing is said of a request."""


def register() -> None:
    """Hold a lease at the gateway for as long as the process lives."""
    host = os.environ.get("STUB_HOST") or socket.gethostbyname(socket.gethostname())
    place = json.dumps({"host": host, "port": PORT, "ttl_s": LEASE_S}).encode()
    id = "".join(one if one.isalnum() else "-" for one in f"{host}-{PORT}")
    url = f"{GATEWAY}/admin/services/{NAME}/instances/{id}"
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    while True:
        request = urllib.request.Request(url, place, headers, method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=5):
                wait_s = RENEW_S
        except (OSError, urllib.error.URLError) as error:
            sys.stderr.write(f"not registered: {error}\n")
            wait_s = AGAIN_S
        time.sleep(wait_s)  # in a thread of its own, which ends with the process


if __name__ == "__main__":
    if GATEWAY:
        threading.Thread(target=register, daemon=True).start()
    ThreadingHTTPServer(("", PORT), Stub).serve_forever()
