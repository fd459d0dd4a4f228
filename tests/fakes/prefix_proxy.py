"""A reverse proxy that serves a gateway below a path prefix, as an Ingress that rewrites paths does."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PREFIX = "/hs/"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path == PREFIX[:-1]:
            self.send_response(308)
            self.send_header("Location", PREFIX)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith(PREFIX):
            self._pass_on(self.path.removeprefix(PREFIX))
        else:
            self.server.outside.append(self.path)
            self.send_error(404)

    do_POST = do_GET  # noqa: N815  # the base class looks for this name

    def _pass_on(self, path: str) -> None:
        self.close_connection = True
        with contextlib.closing(http.client.HTTPConnection(self.server.upstream, timeout=60)) as connection:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, f"/{path}", body or None, dict(self.headers))
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while part := response.read1(65_536):
                    self.wfile.write(part)

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    """Has the `upstream` host and port, and the paths `outside` the prefix that were asked for."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.outside: list[str] = []


@contextlib.contextmanager
def below_prefix(upstream: str) -> Iterator[tuple[str, list[str]]]:
    """Serve `upstream` below the prefix and nothing else; yield the address, and the paths outside the prefix."""
    with _Server(urlsplit(upstream).netloc) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}", server.outside
        finally:
            server.shutdown()
