"""The web server of the EHR: its page, and reads and searches of FHIR resources in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

FOLDER = Path(__file__).parent
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
Resource = Mapping[str, Any]


class Ehr(ThreadingHTTPServer):
    """An EHR with these patients; `searched` are the codes of its searches."""

    daemon_threads = True

    def __init__(self, resources: Sequence[Resource]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.resources = resources
        self.searched: list[str] = []

    def page(self, gateway: str, patient_id: str, host: str = "127.0.0.1") -> str:
        """Return the URL of a patient's record, which calls the services of a gateway."""
        query = urlencode({"gateway": gateway, "patient": patient_id})
        return f"http://{host}:{self.server_port}/ehr.html?{query}"

    def read(self, kind: str, identity: str) -> Resource | None:
        """Return a resource."""
        return next((each for each in self.resources if (each["resourceType"], each["id"]) == (kind, identity)), None)

    def search(self, kind: str, query: Mapping[str, str]) -> Resource:
        """Return a searchset by patient, code, `_sort=-date` and `_count`."""
        self.searched.append(query.get("code", ""))
        subject, codes = {"reference": f"Patient/{query['patient']}"}, {*query.get("code", "").split(",")}
        found = [each for each in self.resources if each["resourceType"] == kind and each.get("subject") == subject]
        found = [
            each for each in found if codes & {f"{code['system']}|{code['code']}" for code in each["code"]["coding"]}
        ]
        found.sort(key=lambda each: each["effectiveDateTime"], reverse=query["_sort"] == "-date")
        url = f"http://127.0.0.1:{self.server_port}/fhir/{kind}/"
        entry = [{"fullUrl": url + each["id"], "resource": each, "search": {"mode": "match"}} for each in found]
        count = int(query["_count"])
        link = [{"relation": "next", "url": f"{url}?page=2"}] if len(entry) > count else []
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entry), "entry": entry[:count]}
        return bundle | ({"link": link} if link else {})


class _Handler(BaseHTTPRequestHandler):
    server: Ehr

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        if not parts.path.startswith("/fhir/"):
            path = FOLDER / parts.path[1:]
            self._respond(path.read_bytes(), _TYPES[path.suffix])
            return
        kind, _, identity = parts.path.removeprefix("/fhir/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = self.server.read(kind, identity) if identity else self.server.search(kind, query)
        self._respond(json.dumps(found).encode(), "application/fhir+json")

    def _respond(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""


@contextmanager
def running_ehr(resources: Sequence[Resource]) -> Iterator[Ehr]:
    """Serve in the context."""
    with Ehr(resources) as ehr:
        thread = Thread(target=ehr.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ehr
        finally:
            ehr.shutdown()
            thread.join()
