"""Requests to a gateway, without a client library."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
PATIENTS = [json.dumps(record).encode() for record in real_patients()]


class Answer(msgspec.Struct):
    """Status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    gateway: Child, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send one request."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


@contextmanager
def connected(gateway: Child) -> Iterator[socket.socket]:
    """Open a bare connection."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Read until the gateway closes the connection."""
    answer = b""
    while chunk := connection.recv(65_536):
        answer += chunk
    return answer
