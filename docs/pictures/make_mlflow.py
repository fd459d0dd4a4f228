"""Takes mlflow.png and mlflow-runs.png: MLflow's page of a training run, and its list of runs, in a real browser.

    heartstream train --mlflow-dir mlflow && python docs/pictures/make_mlflow.py mlflow

Needs Chromium (Debian: apt install chromium) and the `train` extra.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from PIL import Image
from screenshots import FOLDER, browser_path

from runtime.ports import free_port

_START_SECONDS: Final = 120
_RENDER_MS: Final = 20_000
_SHOWN: Final = (190, 0, 1405, 860)
_SHOWN_OF_LIST: Final = (190, 0, 1405, 330)
_ASSISTANT: Final = 485
"""Pixels at the right that the assistant takes."""


def main() -> None:
    """Serve a store, open its newest run and its list of runs, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="folder that `heartstream train --mlflow-dir` wrote")
    asked = parser.parse_args()
    browser = browser_path()
    store = f"sqlite:///{(asked.store / 'mlflow.db').resolve()}"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("heartstream")
    if experiment is None:
        raise SystemExit(f"no training run is recorded in {asked.store}")
    port = free_port()
    server_of = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command = [*server_of, "--backend-store-uri", store, "--port", str(port)]
    server = subprocess.Popen(  # noqa: S603  # this interpreter
        command,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health")
        (run, *_) = client.search_runs([experiment.experiment_id], max_results=1)
        runs = f"http://127.0.0.1:{port}/#/experiments/{experiment.experiment_id}/runs"
        _take(browser, f"{runs}/{run.info.run_id}", FOLDER / "mlflow.png", _SHOWN)
        _take(browser, runs, FOLDER / "mlflow-runs.png", _SHOWN_OF_LIST)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # our own server
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("MLflow's server did not start")


def _take(browser: str, url: str, output: Path, shown: tuple[int, int, int, int]) -> None:
    subprocess.run(  # noqa: S603  # the browser that was found
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={_SHOWN[2] + _ASSISTANT},{_SHOWN[3]}",
            f"--virtual-time-budget={_RENDER_MS}",
            f"--screenshot={output.resolve()}",
            url,
        ],
        check=True,
        timeout=_START_SECONDS,
        capture_output=True,
    )
    with Image.open(output) as whole:
        whole.crop(shown).convert("P", palette=Image.Palette.ADAPTIVE).save(output, optimize=True)


if __name__ == "__main__":
    main()
