"""A reverse proxy that serves a gateway below a path prefix, as an Ingress that rewrites paths does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PREFIX = "/hs/"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def below_prefix(upstream: str) -> Iterator[tuple[str, list[str]]]:
    """Serve `upstream` below the prefix and nothing else; yield the address, and the paths outside the prefix."""
    astray: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == PREFIX[:-1]:
                self.send_response(308)
                self.send_header("Location", PREFIX)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path.startswith(PREFIX):
                self._pass_on(self.path.removeprefix(PREFIX))
            else:
                astray.append(self.path)
                self.send_error(404)

        do_POST = do_GET  # noqa: N815  # the base class looks for this name

        def _pass_on(self, path: str) -> None:
            self.close_connection = True
            connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, f"/{path}", body or None, dict(self.headers))
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                while part := response.read1(65_536):
                    self.wfile.write(part)
            except ConnectionError:
                pass
            finally:
                connection.close()

        def log_message(self, *_arguments: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}", astray
    finally:
        server.shutdown()
        server.server_close()
