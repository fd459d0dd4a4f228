"""Accessibility checks of a page by axe-core."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe


def violations(page) -> list[str]:
    """Return every violation, with the first node that it is about."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]
