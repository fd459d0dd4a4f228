"""Takes the pictures of the gateway's page, from a real broker, worker and gateway in a real browser without a screen.

    heartstream train --output model && python docs/pictures/make_page.py model
    heartstream train --data flchain.csv --table tests/tables/flchain.toml --output own
    python docs/pictures/make_page.py own      # remake.py --only own does both

Writes page-score.png, page-fhir.png, page-live.png and page-model.png; of a model of another feature table,
page-own-data.png; with --fhir-only, page-fhir.png alone, for which no broker is needed. Needs
Chromium (Debian: apt install chromium) and the `dev` dependency group.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright
from screenshots import FOLDER, browser_path, take
from traffic import produce

from heartstream.brokers import running_broker
from heartstream.demo.processes import running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from schemas.tables.builtin import is_builtin
from schemas.topics import DEAD_LETTERS, PATIENTS, SCORES
from scoring.model_artifact import load

_BUNDLE: Final = FOLDER.parent.parent / "schemas" / "examples" / "fhir" / "v1" / "hospitals" / "synthea-as-it-is.json"
_WIDTH, _HEIGHT = 1200, 1120
_A_MINUTE_MS: Final = 120_000
_FULL: Final = "#live-rate polyline:not([points*=' 1,40.00 '])"
"""The rate's line, when it reaches back for a minute."""


def main() -> None:
    """Run everything for a good minute and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model directory that `heartstream train` wrote")
    parser.add_argument("--fhir-only", action="store_true", help="write only page-fhir.png")
    asked = parser.parse_args()
    builtin = is_builtin(load(asked.model).table)
    with (
        (_streamed if builtin and not asked.fhir_only else _served)(asked.model) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.goto(url)
        if asked.fhir_only:
            _take_filled(page)
        elif builtin:
            _take_score(page, "Little known", "page-score.png")
            _take_filled(page)
            _take_live(page)
            _take_card(page)
        else:
            _take_score(page, "Example", "page-own-data.png")
        browser.close()


@contextmanager
def _served(model: Path) -> Iterator[str]:
    """Yield the address of a gateway."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {"HEARTSTREAM_MODEL__PATH": str(model), "HEARTSTREAM_GATEWAY__PORT": str(port)}
    with tempfile.TemporaryDirectory() as logs, running("gateway", settings, url, Path(logs) / "log") as gateway:
        gateway.await_ready()
        yield url


@contextmanager
def _streamed(model: Path) -> Iterator[str]:
    """Run a stream of patients, and yield the address of a gateway that shows it."""
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_broker("embedded"))
        create_topics(broker, (PATIENTS, SCORES, DEAD_LETTERS), 4, {})
        worker_port, gateway_port = free_port(), free_port()
        settings = {
            "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
            "HEARTSTREAM_MODEL__PATH": str(model),
            "HEARTSTREAM_SCORE__REASONS": "5",
            "HEARTSTREAM_TELEMETRY__PORT": str(worker_port),
            "HEARTSTREAM_GATEWAY__PORT": str(gateway_port),
            "HEARTSTREAM_GATEWAY__LIVE": "true",
        }
        url = f"http://127.0.0.1:{gateway_port}"
        worker_url = f"http://127.0.0.1:{worker_port}"
        for command, address in (("worker", worker_url), ("gateway", url)):
            stack.enter_context(running(command, settings, address, logs / f"{command}.log")).await_ready()
        ending = threading.Event()
        thread = threading.Thread(target=produce, args=(broker, 22, 38, ending))
        thread.start()
        try:
            yield url
        finally:
            ending.set()
            thread.join()


def _take_score(page: Page, example: str, name: str) -> None:
    page.get_by_role("button", name=example, exact=True).click()
    page.wait_for_selector("#risk")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    take(page, name)


def _take_filled(page: Page) -> None:
    """Fill the form in from a Bundle without a chest pain type, and answer that."""
    page.set_input_files("#bundle", _BUNDLE)
    page.wait_for_selector("#bundle-notes:not([hidden])")
    page.get_by_role("radio", name="atypical angina").check()
    page.get_by_role("button", name="Score this patient").click()
    page.wait_for_selector("#risk")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    take(page, "page-fhir.png")


def _take_live(page: Page) -> None:
    page.click("#tab-live")
    page.wait_for_selector(_FULL, timeout=_A_MINUTE_MS)
    take(page, "page-live.png")


def _take_card(page: Page) -> None:
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    page.get_by_role("link", name="Results", exact=True).click()
    page.evaluate("document.activeElement.blur()")
    take(page, "page-model.png")


if __name__ == "__main__":
    main()
