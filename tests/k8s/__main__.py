"""Checks in a real Kubernetes cluster: `python -m tests.k8s --help`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from heartstream.terminal.exit_codes import FAILED, UNAVAILABLE, errors_to_exit_codes
from tests.k8s import clients, provisioning
from tests.k8s.cluster import Cluster, ClusterError
from tests.k8s.laws import LAWS
from tests.support.docker_cli import log_progress


class Verdict(msgspec.Struct, frozen=True):
    """The result of a law."""

    law: str
    holds: bool
    seen: str
    seconds: float


def judge(law: Callable[[Cluster], Any], cluster: Cluster) -> Verdict:
    """Check one law."""
    name = law.__name__.replace("_", " ")
    log_progress(name)
    started = time.monotonic()
    try:
        seen, holds = str(law(cluster)), True
    except (AssertionError, ClusterError) as broken:
        seen, holds = str(broken), False
        log_progress(f"BROKEN  {name}: {seen}")
    return Verdict(name, holds, seen, time.monotonic() - started)


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the verdicts as aligned text, one row per law."""
    rows = [f"{'law':24}{'':8}{'s':>5}  what was seen"]
    for verdict in verdicts:
        word = "holds" if verdict.holds else "BROKEN"
        rows.append(f"{verdict.law:24}{word:8}{verdict.seconds:5.0f}  {verdict.seen.splitlines()[0]}")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all laws with the command's options; raises SystemExit."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.INFO)
    with errors_to_exit_codes():
        provisioning.check_tools(options.kubeconfig, builds=not options.no_build)
        if not options.no_build:
            provisioning.build_images()
        with _cluster(options) as cluster:
            clients.create_namespaces(cluster)
            verdicts = [judge(law, cluster) for law in LAWS]
    sys.stdout.write("\n".join(table(verdicts)) + "\n")
    if not all(verdict.holds for verdict in verdicts):
        raise SystemExit(FAILED)


def _cluster(options: argparse.Namespace) -> AbstractContextManager[Cluster]:
    if options.kubeconfig:
        return provisioning.given_cluster(options.kubeconfig, options.load)
    return provisioning.own_cluster(keep=options.keep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run cluster",
        description="Deploy heartstream to a real Kubernetes cluster, use it, shake it, and account for every record "
        "and request. The cluster should be an empty one: namespaces heartstream, clients, ingress-nginx and strangers "
        "are made in it.",
        epilog="Example: kind create cluster --name proof --kubeconfig proof.conf && "
        "./run cluster --kubeconfig proof.conf --load 'kind load docker-image --name proof'. "
        f"Exit codes: 0 every law holds; {FAILED} one is broken; {UNAVAILABLE} no cluster, or no Docker.",
    )
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="the cluster; without it, one on this machine")
    parser.add_argument(
        "--load", default="", metavar="COMMAND", help="brings an image, its last argument, to the cluster"
    )
    parser.add_argument("--no-build", action="store_true", help="the images heartstream-*:local are there already")
    parser.add_argument("--keep", action="store_true", help="leave the cluster on this machine running")
    return parser


if __name__ == "__main__":
    main()
