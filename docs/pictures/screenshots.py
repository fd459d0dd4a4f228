"""Screenshots of pages in the installed browser, for the scripts beside this one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page

FOLDER: Final = Path(__file__).parent
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_COLOURS: Final = 128


def browser_path() -> str:
    """Return the installed browser."""
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        raise SystemExit(f"none of {', '.join(_BROWSERS)} is installed")
    return path


def take(page: Page, name: str) -> None:
    """Write a screenshot, with few colours."""
    path = FOLDER / name
    page.screenshot(path=path, animations="disabled")
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"wrote {name}\n")
