"""One HTTP client for what this process asks of others: it follows no redirect, so that nothing goes to another host.

Credentials, and the trust in whoever answers, are given to one URL: a redirect, also one from https to http, is an
error that its owner can mend by naming the right URL.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Final
from urllib.parse import urlsplit


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets a redirect be what any other answer but 200 is: an HTTPError."""

    def redirect_request(  # as urllib calls it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Make no request of it."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def fetch(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float, largest: int
) -> bytes:
    """Get a URL of http or https, or post a body there; return what a successful answer holds. Blocks.

    Each step may take `seconds`. Raises OSError: an HTTPError, which has the status, for any answer but a successful
    one; also for more than `largest` bytes.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError("no URL of http or https")
    request = urllib.request.Request(url, body, dict(headers or {}))  # noqa: S310  # http(s), as checked
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            content: bytes = answer.read(largest + 1)
    except HTTPException as error:
        raise ConnectionError(f"the answer is none of HTTP's ({type(error).__name__})") from error
    if len(content) > largest:
        raise OSError(f"the answer has more than {largest} bytes")
    return content


def without_password(uri: str) -> str:
    """Return a URI without its user and password, fit to be printed."""
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri
