"""An HTTP client that does not follow redirects, so that no request goes to another host.

Credentials are meant for the configured URL, and only its host is trusted: a redirect, also one from https to http, is
an error, and the fix is to configure the final URL.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Final
from urllib.parse import urlsplit


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats redirects like any other status except 200: as an HTTPError."""

    def redirect_request(  # as urllib calls it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Do not follow the redirect."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def fetch(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float, largest: int
) -> bytes:
    """GET an http or https URL, or POST `body` to it; return the body of a successful response. Blocks.

    Each socket operation may take `seconds`. Raises OSError, also for more than `largest` bytes; for unsuccessful
    responses an HTTPError, which has the status.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError("not an http or https URL")
    request = urllib.request.Request(url, body, dict(headers or {}))  # noqa: S310  # http(s), as checked
    try:
        with _OPENER.open(request, timeout=seconds) as response:
            content: bytes = response.read(largest + 1)
    except HTTPException as error:
        raise ConnectionError(f"invalid HTTP response ({type(error).__name__})") from error
    if len(content) > largest:
        raise OSError(f"the response has more than {largest} bytes")
    return content


def reason_of(error: OSError) -> str:
    """Return in a few words why `fetch` failed."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def without_password(uri: str) -> str:
    """Return a URI without user and password, safe to print."""
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri
