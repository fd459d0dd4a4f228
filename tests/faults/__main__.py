"""The fault suite: `python -m tests.faults --help`. It is described in docs/faults.md."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from heartstream.terminal.exit_codes import FAILED, UNAVAILABLE, errors_to_exit_codes
from tests.faults.plan_run import Together, log_progress
from tests.faults.plans import FAUST_PLANS, PLANS, Plan
from tests.faults.run import Guarantee, Models, Report, Setting, run_plan
from tests.faults.table import as_json, lines
from tests.support.proxied_broker import running_broker

GUARANTEES: Final[dict[str, tuple[Guarantee, ...]]] = {
    "at_least_once": ("at_least_once",),
    "exactly_once": ("exactly_once",),
    "both": ("at_least_once", "exactly_once"),
}


def run_plans(plans: Sequence[Plan], guarantees: Sequence[Guarantee], setting: Setting) -> list[Report]:
    """Run plans, each under all guarantees concurrently; if quick, those that spare the broker run concurrently too."""
    reports: list[Report] = []
    calm = [plan for plan in plans if not plan.shakes_broker]
    groups = [calm, *([plan] for plan in plans if plan.shakes_broker)] if setting.quick else [[plan] for plan in plans]
    for group in groups:
        reports += _run_group(group, guarantees, setting)
    order = [plan.name for plan in plans]
    return sorted(reports, key=lambda report: order.index(report.name))


def _run_group(plans: Sequence[Plan], guarantees: Sequence[Guarantee], setting: Setting) -> list[Report]:
    if not plans:
        return []
    log_progress(f"{', '.join(plan.name for plan in plans)}: started")
    setting.broker.heal()
    with ThreadPoolExecutor(len(plans) * len(guarantees)) as pool:
        futures = []
        for plan in plans:
            together = Together(len(guarantees))
            futures += [pool.submit(run_plan, plan, guarantee, setting, together) for guarantee in guarantees]
        reports = [future.result() for future in futures]
    for report in reports:
        log_progress(lines([report])[1])
    return reports


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the suite with the command's options; raises SystemExit."""
    options = _parser().parse_args(arguments)
    plans = FAUST_PLANS if options.worker == "faust" else PLANS
    if options.list:
        sys.stdout.writelines(f"{plan.name:18}{'quick' if plan.quick else '':7}{plan.law}\n" for plan in plans)
        return
    chosen = _chosen(plans, options)
    guarantees = GUARANTEES["at_least_once" if options.worker == "faust" else options.guarantee]
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="heartstream-faults-", dir=options.logs))
    with errors_to_exit_codes():
        reports = _run(chosen, guarantees, folder, options)
    sys.stdout.write("\n".join(lines(reports)) + "\n")
    if options.json:
        options.json.write_bytes(as_json(reports))
    if options.worker == "heartstream" and any(report.broken for report in reports):
        sys.stderr.write(f"a law is broken; the workers' logs are in {folder}\n")
        raise SystemExit(FAILED)
    if not options.logs:
        shutil.rmtree(folder)


def _run(
    plans: Sequence[Plan], guarantees: Sequence[Guarantee], folder: Path, options: argparse.Namespace
) -> list[Report]:
    logging.disable(logging.INFO)
    with ExitStack() as stack:
        training = stack.enter_context(ThreadPoolExecutor(1)).submit(Models.make, folder)
        broker = stack.enter_context(running_broker(options.broker))
        setting = Setting(
            broker, training.result(), folder, options.worker, options.quick, options.seed, options.mutants
        )
        return run_plans(plans, guarantees, setting)


def _chosen(plans: Sequence[Plan], options: argparse.Namespace) -> list[Plan]:
    if not options.only:
        return [plan for plan in plans if plan.quick or not options.quick]
    names = [plan.name for plan in plans]
    unknown = [name for name in options.only if name not in names]
    if unknown:
        _parser().error(f"no plan named {', '.join(unknown)}; there are {', '.join(names)}")
    return [plan for plan in plans if plan.name in options.only]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Let records flow through workers on real Kafka, bring faults about, and account for every record.",
        epilog="Example: python -m tests.faults --only kill zombie --guarantee at_least_once --json faults.json. "
        f"Exit codes: 0 every law holds; {FAILED} a law is broken; {UNAVAILABLE} no Apache Kafka can be started.",
    )
    parser.add_argument("--quick", action="store_true", help="the quick selection, each plan the short way")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these plans alone (see --list)")
    parser.add_argument(
        "--broker", choices=("docker", "embedded"), help="which Kafka; by default Docker's where that is usable"
    )
    parser.add_argument("--guarantee", choices=GUARANTEES, default="both", help="what is asked of the worker")
    parser.add_argument("--worker", choices=("heartstream", "faust"), default="heartstream", help="who is tested")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments and the broken records")
    parser.add_argument("--mutants", type=int, default=0, metavar="N", help="hold N wrong traces of each kind as well")
    parser.add_argument("--list", action="store_true", help="list the plans and their laws")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the workers' logs in this folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file too")
    return parser


if __name__ == "__main__":
    main()
