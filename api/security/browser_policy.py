"""Protection against other web pages: cross-site requests (CSRF) and DNS rebinding.

A browser sends POST requests for any page that it shows, and trusts the host name in its address bar. Programs send
neither `Origin` nor `Sec-Fetch-Site`, and are not affected.
"""

from __future__ import annotations

import functools
import ipaddress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from api.problem_details import ProblemError
from schemas.errors import SettingsError

_ANY: Final = "*"
ANY_HOST: Final = frozenset({_ANY})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".svc", ".test", ".home.arpa")
"""Nobody can register a name below these, so no attacker's page can have such an address."""
_CACHED_HOSTS: Final = 256
_CROSS_SITE: Final = "Cross-origin request blocked; allow its origin with HEARTSTREAM_GATEWAY__ALLOWED_ORIGINS."
_FOREIGN_HOST: Final = "Unknown host name in the Host header; allow it with HEARTSTREAM_GATEWAY__ALLOWED_HOSTS."


def parse_origins(text: str) -> frozenset[str]:
    """Parse a comma-separated list of origins. Raises SettingsError."""
    found = frozenset(each.strip().lower() for each in text.split(",") if each.strip())
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in {"http", "https"} or each != f"{parts.scheme}://{parts.netloc}":
            raise SettingsError(("HEARTSTREAM_GATEWAY__ALLOWED_ORIGINS: each must look like https://ehr.example.org",))
    return found


def parse_hosts(text: str) -> frozenset[str]:
    """Parse a comma-separated list of host names without ports; `*` is any. Raises SettingsError."""
    found = frozenset(each.strip().lower().rstrip(".") for each in text.split(",") if each.strip())
    if any(each != _ANY and (set("/:*@ ") & set(each)) for each in found):
        raise SettingsError(
            ("HEARTSTREAM_GATEWAY__ALLOWED_HOSTS: each must be a host name without port, or * for any",)
        )
    return found


class BrowserPolicy:
    """Refuses requests that an attacker's page makes a browser send.

    Cross-site requests are detected as by Go's `http.CrossOriginProtection`: by `Sec-Fetch-Site`, or by `Origin` if a
    browser does not send it. A host is foreign if its name is public and not allowed: a page whose name an attacker
    makes resolve to our address has, to the browser, our origin (DNS rebinding). IP addresses, and names that no
    attacker can own, are always accepted, so probes and internal callers need no setting.
    """

    def __init__(self, allowed_origins: frozenset[str], allowed_hosts: frozenset[str]) -> None:
        self._origins = allowed_origins
        self.is_accepted = functools.lru_cache(_CACHED_HOSTS)(lambda host: _is_own_name(_hostname(host), allowed_hosts))
        """Whether a Host header is accepted."""

    def allows(self, origin: str) -> bool:
        """Return whether another origin may send requests."""
        return origin.lower() in self._origins

    def check(self, request: web.BaseRequest) -> None:
        """Raise ProblemError if a request is cross-site (403) or its host is foreign (421)."""
        headers = request.headers
        host = headers.get("Host")
        if host is not None and not self.is_accepted(host):
            raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, _FOREIGN_HOST, ends_connection=True)
        if "Sec-Fetch-Site" not in headers and "Origin" not in headers:
            return
        if request.method not in _SAFE_METHODS and self._is_cross_site(request, host):
            raise ProblemError(HTTPStatus.FORBIDDEN, _CROSS_SITE, ends_connection=True)

    def _is_cross_site(self, request: web.BaseRequest, host: str | None) -> bool:
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site in _OWN_SITE:
            return False
        if site is None and origin is not None and host is not None and _authority(origin) == host.lower():
            return False
        return not self.allows(origin or "")


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    """Return the name or address in a Host header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    return name.lower().rstrip(".")


def _is_own_name(name: str, allowed: frozenset[str]) -> bool:
    if name in allowed or _ANY in allowed or "." not in name or name.endswith(_PRIVATE_SUFFIXES):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
