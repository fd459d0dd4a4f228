"""A browser page that records its requests, console messages and errors."""

from __future__ import annotations

from urllib.parse import urlsplit

READY = "html[data-ready]"


class Visit:
    """An open page with its requests and console messages."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.console: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def open(self, path: str = "/") -> None:
        """Open the page and wait until its form is ready."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector(READY)

    def foreign_requests(self) -> list[str]:
        """Return the requests to other hosts than the gateway."""
        return [url for url in self.requests if urlsplit(url).netloc != urlsplit(self.url).netloc]
