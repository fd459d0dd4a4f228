"""An EHR: a SMART authorization server, and its FHIR API, which passes authorized requests on to a FHIR server.

Each has an origin of its own, as at many hospitals. The authorization server verifies what SMART App Launch 2 demands
of a public client: redirect URI, audience, state, launch, PKCE with S256; a code is used once.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import http.client
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

CLIENT_ID: Final = "heartstream-page"
_STATE_CHARS: Final = 20
"""122 bits, as SMART demands, in base64url."""


class Ehr:
    """The state of the EHR, and what a test changes of it.

    `denies`: the user does not authorize. `cors`: scripts of the page may read responses. `expires_codes`: codes are
    expired. `grants` are the scopes of tokens, by default those requested. `response_changes` are parameters of the
    response to an authorization request, `token_changes` members of the token response (None removes one),
    `configuration_changes` those of the SMART configuration. `upstream` is the base URL of the FHIR server behind it,
    if any. `picked` is the patient of standalone launches, `authorized` has the parameters of each authorization
    request.
    """

    def __init__(self, redirect_uri: str, upstream: str | None) -> None:
        self.redirect_uri, self.upstream = redirect_uri, upstream
        self.fhir, self.login = _serve(_FhirHandler, self), _serve(_LoginHandler, self)
        self.issuer, self.login_origin = f"{self.fhir.origin}/fhir", self.login.origin
        self.picked = "nobody"
        self.authorized: list[dict[str, str]] = []
        self.launches: dict[str, str] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, str]] = {}
        self.reset()

    def reset(self) -> None:
        """Behave correctly."""
        self.denies, self.cors, self.expires_codes, self.grants = False, True, False, ""
        self.response_changes: dict[str, str] = {}
        self.token_changes: dict[str, Any] = {}
        self.configuration_changes: dict[str, Any] = {}

    def launch_url(self, page: str, patient: str) -> str:
        """Return the URL at which the EHR opens the page for a patient."""
        launch = secrets.token_urlsafe()
        self.launches[launch] = patient
        return f"{page}/launch?{urlencode({'iss': self.issuer, 'launch': launch})}"

    def configuration(self) -> dict[str, Any]:
        """Return the SMART configuration."""
        return {
            "authorization_endpoint": f"{self.login_origin}/authorize",
            "token_endpoint": f"{self.login_origin}/token",
            "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["authorization_code"],
            "capabilities": ["launch-ehr", "launch-standalone", "client-public", "permission-v1", "permission-v2"],
            **self.configuration_changes,
        }

    def authorize(self, query: Mapping[str, str]) -> str | None:
        """Return the URL to which a request is redirected, None if its client or redirect URI is unknown."""
        self.authorized.append(dict(query))
        if (query.get("client_id"), query.get("redirect_uri")) != (CLIENT_ID, self.redirect_uri):
            return None
        answer = {"state": query.get("state", "")}
        patient = self._patient(query)
        if patient is None:
            answer["error"] = "invalid_request"
        elif self.denies:
            answer |= {"error": "access_denied", "error_description": "The user said no."}
        else:
            answer["code"] = secrets.token_urlsafe()
            self.codes[answer["code"]] = {**query, "patient": patient}
        return f"{self.redirect_uri}?{urlencode(answer | self.response_changes)}"

    def _patient(self, query: Mapping[str, str]) -> str | None:
        """Return the patient of a valid request, else None."""
        valid = (
            query.get("response_type") == "code"
            and query.get("aud") == self.issuer
            and len(query.get("state", "")) > _STATE_CHARS
            and query.get("code_challenge_method") == "S256"
            and re.fullmatch(r"[\w-]{43}", query.get("code_challenge", ""))
        )
        scopes = query.get("scope", "").split()
        if not valid:
            return None
        if "launch" in scopes:
            return self.launches.pop(query.get("launch", ""), None)
        return self.picked if "launch/patient" in scopes else None

    def exchange(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and body of the response to a token request."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        valid = (
            asked is not None
            and not self.expires_codes
            and form.get("grant_type") == "authorization_code"
            and (form.get("client_id"), form.get("redirect_uri")) == (CLIENT_ID, self.redirect_uri)
            and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        )
        if asked is None or not valid:
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_grant"}
        token, scope = secrets.token_urlsafe(), self.grants or asked["scope"]
        self.tokens[token] = {"patient": asked["patient"], "scope": scope}
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": scope,
            "patient": asked["patient"],
            **self.token_changes,
        }
        return HTTPStatus.OK, {name: value for name, value in answer.items() if value is not None}

    def status_of(self, authorization: str | None, target: str) -> int:
        """Return 200 if a token permits a request: of a type in its scopes, of its patient; else 401 or 403."""
        token = self.tokens.get((authorization or "").removeprefix("Bearer "))
        if token is None:
            return HTTPStatus.UNAUTHORIZED
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        kind = path.removeprefix("/fhir/").partition("/")[0]
        scopes = {f"patient/{each}.{right}" for each in ("*", kind) for right in ("rs", "read")}
        permitted = "_getpages" in query or (
            not scopes.isdisjoint(token["scope"].split())
            and (path == f"/fhir/Patient/{token['patient']}" or query.get("patient") == [token["patient"]])
        )
        return HTTPStatus.OK if permitted else HTTPStatus.FORBIDDEN


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def send(self, status: int, content: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a response, which scripts of other origins may read if the EHR allows that."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.server.ehr.cors:
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Headers", "Authorization")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_json(self, status: int, body: Mapping[str, Any]) -> None:
        self.send(status, json.dumps(body).encode(), "application/json", {"Cache-Control": "no-store"})

    def do_OPTIONS(self) -> None:
        self.send(204, b"", "text/plain")

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""


class _LoginHandler(_Handler):
    """The authorization server."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        target = self.server.ehr.authorize(dict(parse_qsl(parts.query))) if parts.path == "/authorize" else None
        if target is None:
            self.send(400, html.escape("unknown client or redirect URI").encode(), "text/plain")
        else:
            self.send(302, b"", "text/plain", {"Location": target})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_json(*self.server.ehr.exchange(dict(parse_qsl(body))))


class _FhirHandler(_Handler):
    """The FHIR API."""

    def do_GET(self) -> None:
        ehr = self.server.ehr
        if urlsplit(self.path).path == "/fhir/.well-known/smart-configuration":
            self.send_json(200, ehr.configuration())
        elif (status := ehr.status_of(self.headers["Authorization"], self.path)) != HTTPStatus.OK:
            self.send_json(status, {"resourceType": "OperationOutcome"})
        elif ehr.upstream is None:
            self.send_json(404, {"resourceType": "OperationOutcome"})
        else:
            self._pass_on(ehr.upstream)

    def _pass_on(self, upstream: str) -> None:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)) as connection:
            # The host stays: the server's links are then below this address.
            connection.request(
                "GET", self.path, headers={"Host": self.headers["Host"], "Accept": self.headers["Accept"]}
            )
            response = connection.getresponse()
            self.send(response.status, response.read(), response.headers["Content-Type"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[_Handler], ehr: Ehr) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.ehr, self.origin = ehr, f"http://127.0.0.1:{self.server_port}"


def _serve(handler: type[_Handler], ehr: Ehr) -> _Server:
    server = _Server(handler, ehr)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@contextlib.contextmanager
def running_ehr(redirect_uri: str, upstream: str | None) -> Iterator[Ehr]:
    """Run an EHR at which the page is registered with this redirect URI."""
    ehr = Ehr(redirect_uri, upstream)
    try:
        yield ehr
    finally:
        for server in (ehr.fhir, ehr.login):
            server.shutdown()
            server.server_close()
