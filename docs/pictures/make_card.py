"""Takes the picture of a CDS Hooks card in the tests' small EHR, from a real gateway in a real, headless browser.

    heartstream train --output model && PYTHONPATH=. python docs/pictures/make_card.py model

Writes cds-card.png. Needs Chromium (Debian: apt install chromium) and the `dev` dependency group.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from screenshots import browser_path, take

from heartstream.demo.processes import running
from runtime.ports import free_port
from tests.fakes.ehr.patients import PATIENTS, REFERRED
from tests.fakes.ehr.server import running_ehr

_WIDTH, _HEIGHT = 900, 800


def main() -> None:
    """Open a record in the EHR and take its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model directory that `heartstream train` wrote")
    model, url = parser.parse_args().model, f"http://127.0.0.1:{(port := free_port())}"
    with running_ehr(PATIENTS) as ehr, tempfile.TemporaryDirectory() as logs, sync_playwright() as playwright:
        settings = {
            "HEARTSTREAM_MODEL__PATH": str(model),
            "HEARTSTREAM_GATEWAY__PORT": str(port),
            "HEARTSTREAM_GATEWAY__ALLOWED_ORIGINS": f"http://127.0.0.1:{ehr.server_port}",
            "HEARTSTREAM_CDS_HOOKS__ENABLED": "true",
            "HEARTSTREAM_GATEWAY__PUBLIC_URL": url,
        }
        with running("gateway", settings, url, Path(logs) / "log") as gateway:
            gateway.await_ready()
            browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
            page.goto(ehr.page(url, REFERRED))
            page.wait_for_selector("article")
            take(page, "cds-card.png")
            browser.close()


if __name__ == "__main__":
    main()
