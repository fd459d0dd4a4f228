"""A browser page that records its requests, console messages and errors."""

from __future__ import annotations

from urllib.parse import urlsplit

READY = "html[data-ready]"


class Visit:
    """A page that is open, what it asked for, and what its console said."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.asked: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def open(self, path: str = "/") -> None:
        """Go to the page and wait until its form is there."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector(READY)

    def foreign(self) -> list[str]:
        """Return what was asked of others than the gateway."""
        return [url for url in self.asked if urlsplit(url).netloc != urlsplit(self.url).netloc]
