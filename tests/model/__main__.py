"""Checks the model of the transport: `python -m tests.model --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from heartstream.terminal.exit_codes import FAILED, UNAVAILABLE, errors_to_exit_codes
from tests.model.checker import VERSION, check, install
from tests.model.runs import Finding, Run, lines, runs


def main(arguments: Sequence[str] | None = None) -> None:
    """Explore each configuration, and say what came of it; raises SystemExit."""
    asked = _parser().parse_args(arguments)
    findings: list[Finding] = []
    with errors_to_exit_codes():
        tla = install()
        for run in _chosen(asked):
            result = check(tla, run.path, run.constants, run.config, liveness=run.liveness)
            findings.append(Finding(run, result))
            sys.stderr.write(f"{run.module} {run.name}: {result.violated or 'no violation'}, {result.seconds:.0f} s\n")
            if asked.trace and result.trace:
                sys.stderr.write(f"  {' > '.join(result.trace)}\n")
    sys.stdout.write("\n".join(lines(findings)) + "\n")
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode({"model": findings}), indent=2) + b"\n")
    if not all(finding.is_as_expected for finding in findings):
        raise SystemExit(FAILED)


def _chosen(asked: argparse.Namespace) -> list[Run]:
    every = list(runs())
    names = sorted({name for run in every for name in (run.module, run.name)})
    unknown = [name for name in asked.only if name not in names]
    if unknown:
        _parser().error(f"nothing is named {', '.join(unknown)}; there are {', '.join(names)}")
    return [run for run in every if not asked.only or run.module in asked.only or run.name in asked.only]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description="Check the TLA+ model of the transport (docs/design/model) exhaustively: with every safeguard no "
        "invariant may fail, and without any one of them an invariant must.",
        epilog="Example: python -m tests.model --only GROUP_FENCING --trace. "
        f"The checker, tla-checker {VERSION}, is built with Cargo at first (some minutes). "
        f"Exit codes: 0 every configuration is as expected; {FAILED} one is not; {UNAVAILABLE} no checker.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these modules or configurations alone")
    parser.add_argument("--trace", action="store_true", help="show the actions that lead to each violation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file too")
    return parser


if __name__ == "__main__":
    main()
