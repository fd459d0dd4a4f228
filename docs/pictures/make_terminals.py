"""Draws what commands say: `python docs/pictures/make_terminals.py NAME... `, each NAME.svg from a real run.

    fetch      downloading UCI's files (--uci URL where the archive itself cannot be reached)
    training   training, as a terminal shows it
    images     the images and a running container (after compose/README.md's `docker build`; --model DIRECTORY)
    cluster    pods and services (after `./run cluster --keep`, with KUBECONFIG set)
    telemetry  metrics and log lines of a gateway (--model DIRECTORY)

Needs the `dev` dependency group, and what each of them is about.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from heartstream.demo.processes import predict, running
from runtime.ports import free_port

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
RECORD: Final = ROOT / "schemas/examples/patients/v1/accepted/nulls.json"
HEARTSTREAM: Final = f"{shlex.quote(sys.executable)} -m heartstream"


class Terminal:
    """Keeps commands and what they said."""

    def __init__(self, width: int) -> None:
        self._console = Console(record=True, width=width, force_terminal=True, file=io.StringIO())
        self._environment = {**os.environ, "COLUMNS": str(width), "TERM": "dumb"}

    def run(self, shown: str, command: str, last: int = 40) -> None:
        """Run a shell command and keep the last lines of what it said, under the command as a reader would give it."""
        done = subprocess.run(  # noqa: S603  # the commands of this file
            ["/bin/bash", "-c", command], capture_output=True, text=True, env=self._environment, cwd=ROOT, check=False
        )
        self.say(shown, (done.stdout + done.stderr).rstrip().splitlines()[-last:])

    def say(self, shown: str, lines: list[str]) -> None:
        """Keep a command and its lines."""
        self._console.print(Text(f"$ {shown}", style="bold"))
        for line in lines:
            self._console.print(Text.from_ansi(line), soft_wrap=False)
        self._console.print()

    def save(self, name: str) -> None:
        """Write NAME.svg."""
        drawing = re.sub(r"@font-face \{.*?\}", "", self._console.export_svg(title="heartstream"), flags=re.DOTALL)
        (FOLDER / f"{name}.svg").write_text(drawing, encoding="utf-8")


def fetch(asked: argparse.Namespace) -> None:
    """Download into an empty folder, and once more."""
    terminal = Terminal(112)
    where = f" --base-url {asked.uci}" if asked.uci else ""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            terminal.run(
                f"heartstream data fetch --dest data{where}",
                f"cd {folder} && {HEARTSTREAM} data fetch --dest data{where}",
            )
    terminal.save("fetch")


def training(_asked: argparse.Namespace) -> None:
    """Train the quick way."""
    terminal = Terminal(118)
    with tempfile.TemporaryDirectory() as folder:
        terminal.run(
            "heartstream train --quick",
            f"cd {folder} && {HEARTSTREAM} train --quick 2>/dev/null | sed 's#{folder}/##g'",
        )
    terminal.save("training")


def images(asked: argparse.Namespace) -> None:
    """Show the images, start one as the guide says, and ask it."""
    terminal, port = Terminal(118), free_port()
    terminal.run(
        "docker images 'heartstream-*:local'",
        "docker images --filter 'reference=heartstream-*:local' --format 'table {{.Repository}}\t{{.Tag}}\t{{.Size}}'",
    )
    options = f"--read-only --tmpfs /tmp --cap-drop ALL -v {asked.model.resolve()}:/model:ro -p 127.0.0.1:{port}:8000"
    shown = "--read-only --tmpfs /tmp --cap-drop ALL -v ./model:/model:ro -p 127.0.0.1:8000:8000"
    health = "docker inspect --format '{{.State.Health.Status}}' heartstream-picture"
    wait = f"for i in $(seq 100); do [ $({health}) = healthy ] && break; sleep 0.5; done"
    terminal.run(
        f"docker run -d --name gateway {shown} heartstream-gateway:local",
        f"docker run -d --name heartstream-picture {options} heartstream-gateway:local | cut -c1-12; {wait}",
    )
    terminal.run(
        "docker ps",
        "docker ps --filter name=heartstream-picture --format 'table {{.Image}}\t{{.Command}}\t{{.Status}}\t{{.Ports}}'"
        f" --no-trunc | sed 's/:{port}->/:8000->/'",
    )
    terminal.run(
        "curl -s localhost:8000/predict -d @nulls.json", f"curl -s localhost:{port}/predict -d @{RECORD} | fold -w 116"
    )
    subprocess.run(["docker", "rm", "-f", "heartstream-picture"], capture_output=True, check=True)  # noqa: S607
    terminal.save("images")


def cluster(_asked: argparse.Namespace) -> None:
    """Show what runs in the cluster."""
    terminal = Terminal(118)
    for arguments in (
        "get nodes",
        "-n heartstream get pods,services",
        "-n heartstream get deployments,cronjobs,pdb,ingress",
    ):
        terminal.run(f"kubectl {arguments}", f"kubectl {arguments}")
    terminal.save("cluster")


@contextmanager
def gateway(model: Path) -> Iterator[tuple[str, Path]]:
    """Run a gateway; yield its address and its log."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"HEARTSTREAM_MODEL__PATH": str(model.resolve()), "HEARTSTREAM_GATEWAY__PORT": str(port)}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gateway.log"
        with running("gateway", settings, url, log) as child:
            child.await_ready()
            yield url, log


def telemetry(asked: argparse.Namespace) -> None:
    """Let a gateway score, and show what it tells."""
    terminal = Terminal(118)
    with gateway(asked.model) as (url, log):
        for _ in range(200):
            predict(url, RECORD.read_bytes())
        terminal.run("curl -s localhost:8000/predict -d '{'", f"curl -s {url}/predict -d '{{' | fold -w 116")
        chosen = "grep -E '^heartstream_(records|record_errors|model_info|http_requests)' | grep -v _created"
        terminal.run(f"curl -s localhost:8000/metrics | {chosen}", f"curl -s {url}/metrics | {chosen}")
        lines = log.read_text(encoding="utf-8").replace(url.rpartition(":")[2], "8000").splitlines()
        terminal.say("heartstream gateway    # its log", [line for line in lines if line.startswith("{")])
    terminal.save("telemetry")


PICTURES: Final = {picture.__name__: picture for picture in (fetch, training, images, cluster, telemetry)}


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=PICTURES)
    parser.add_argument("--model", type=Path, default=Path("model"), help="a model directory")
    parser.add_argument("--uci", default="", metavar="URL", help="where UCI's files are")
    asked = parser.parse_args()
    for name in asked.names:
        PICTURES[name](asked)


if __name__ == "__main__":
    main()
