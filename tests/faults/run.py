"""Runs a plan: creates topics, load and workers, injects the fault, waits for the outcomes, and checks the laws."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Literal

import msgspec

from runtime.settings import Topics
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.faults.acceptor import Guarantee, refusal
from tests.faults.account import Account, Result, Sent, most_repeats, settle, total
from tests.faults.in_flight import lost_in_flight, separate_losses
from tests.faults.laws import broken_laws
from tests.faults.mutants import some_mutants
from tests.faults.outcomes import Outcomes
from tests.faults.plan_run import SESSION_SECONDS, PlanRun, Together, log_progress
from tests.faults.plans import Plan
from tests.faults.poison import culprit, poison
from tests.faults.swapping import Alternatives, scorers_named, serve
from tests.faults.trace import read_trace
from tests.faults.worker_processes import WorkerProcesses
from tests.support.outcomes import Outcome, process
from tests.support.proxied_broker import Broker
from training.pipeline import TrainingRequest, train

WorkerKind = Literal["heartstream", "faust"]

ABORTED_RECORDS: Final = 50
_CHUNK: Final = 10_000
_SHORT_TRANSACTIONS: Final = {
    "HEARTSTREAM_KAFKA__OPTIONS__TRANSACTION_TIMEOUT_MS": "15000",
    "HEARTSTREAM_KAFKA__OPTIONS__MESSAGE_TIMEOUT_MS": "15000",
}
"""The open transaction of a killed worker blocks readers this long; by default 20 s."""


class Report(msgspec.Struct, frozen=True):
    """The result of a plan. `account` is None if the run itself failed; `problem` then has the reason.

    `in_flight` is what was uncommitted at the faults, and in flight when workers lost partitions after that.
    `most_repeats` are duplicates in one partition that were not uncommitted at a fault, and `repeat_limit` is the
    allowed number. `reread` are repeated results of a new topic. `exits` are exit codes of workers that exited by
    themselves and were restarted; `behind` counts partitions whose last record is not committed. `steps` is the length
    of the workers' trace, and `trace` the step that the model does not allow; of the `mutants` of that trace, `refused`
    is the number that the acceptor refuses.
    """

    name: str
    guarantee: Guarantee
    done: str = ""
    account: Account | None = None
    in_flight: int = 0
    most_repeats: int = 0
    repeat_limit: int | None = None
    reread: int | None = None
    exits: tuple[int, ...] = ()
    bad_stops: tuple[int, ...] = ()
    slowest_stop: float = 0.0
    behind: int = 0
    steps: int = 0
    trace: str = ""
    refused: int = 0
    mutants: int = 0
    problem: str = ""
    broken: tuple[str, ...] = ()


class Models(msgspec.Struct, frozen=True):
    """The model directories of a run: a valid one, one that raises on some records, and those for a swap."""

    good: Path
    poisoned: Path
    alternatives: Alternatives

    @classmethod
    def make(cls, folder: Path) -> Models:
        """Train the valid model and derive the others."""
        good, poisoned = folder / "model", folder / "poisoned"
        train(TrainingRequest(good, model_version="faults", quick=True))
        poison(good, poisoned)
        return cls(good, poisoned, Alternatives.of(good, folder))


class Setting(msgspec.Struct, frozen=True):
    """What all runs share."""

    broker: Broker
    models: Models
    folder: Path
    worker: WorkerKind
    quick: bool
    seed: int
    mutants: int = 0


def run_plan(plan: Plan, guarantee: Guarantee, setting: Setting, together: Together) -> Report:
    """Run one plan under one guarantee and check its laws. An exception in the run is its result, and not raised."""
    folder = setting.folder / f"{plan.name}-{guarantee}"
    folder.mkdir(parents=True)
    report = Report(plan.name, guarantee)
    with _plan_run(plan, guarantee, setting, together, folder) as run:
        try:
            report = _perform(run, plan, report, setting)
        except Exception as error:  # noqa: BLE001  # a run that fails is a violation, and the others continue
            together.leave()
            report = msgspec.structs.replace(report, problem=f"{type(error).__name__}: {error}")
        report = msgspec.structs.replace(report, exits=tuple(run.workers.exits), bad_stops=tuple(run.workers.bad_stops))
        report = msgspec.structs.replace(report, broken=broken_laws(report, graceful=plan.graceful))
        if report.broken and setting.worker == "heartstream":
            log_progress("\n".join(run.workers.tails()))
        return report


def _perform(run: PlanRun, plan: Plan, report: Report, setting: Setting) -> Report:
    """Start the load, inject the faults, wait for the outcomes, and return the report."""
    faust = setting.worker == "faust"
    if not faust:
        run.load.put_aborted(ABORTED_RECORDS)
    if not plan.poisoned:
        run.load.start()
    done = plan.act(run, setting.quick)
    run.load.stop()
    if not faust:
        run.load.put_aborted(ABORTED_RECORDS)
    log_progress(f"  {plan.name} {report.guarantee}: {done}; settling")
    run.await_outcomes()
    run.flight.end()
    run.workers.stop_all()
    run.outcomes.read_to_end()
    losses = run.workers.losses()
    if not faust:
        report = _with_trace(report, run, setting)
    return msgspec.structs.replace(
        report,
        done=done,
        account=_account(run, plan, setting),
        in_flight=run.in_flight + lost_in_flight(run.flight.observations, losses, run.outcomes.results),
        most_repeats=most_repeats(run.outcomes.results, run.struck),
        repeat_limit=_repeat_limit(plan, losses),
        slowest_stop=round(run.workers.slowest_stop, 1),
        behind=run.outcomes.behind(run.load.sent),
        reread=run.reread,
    )


def _account(run: PlanRun, plan: Plan, setting: Setting) -> Account:
    """Return the account of all topics of the name; a result's key shows which of them it is for."""
    results: dict[str, list[Result]] = {each.prefix: [] for each in run.loads}
    for result in run.outcomes.results:
        key = (result.key or b"").decode()
        results[next((prefix for prefix in results if key.startswith(prefix)), run.loads[0].prefix)].append(result)
    accounts = []
    for each in run.loads:
        found = results[each.prefix]
        sent = each.due({result.source for result in found})
        accounts.append(settle(sent, found, _expected(sent, found, plan, setting)))
    return total(accounts)


def _repeat_limit(plan: Plan, losses: list[float]) -> int | None:
    """Return how many records of one partition may be repeated, if the plan has a limit."""
    if plan.repeat_seconds is None:
        return None
    return int(len(separate_losses(losses)) * plan.repeat_seconds * plan.recipe.rate / plan.partitions)


def _with_trace(report: Report, run: PlanRun, setting: Setting) -> Report:
    """Check the workers' trace against the model, and some traces with a mistake as well."""
    steps = read_trace(run.workers.files())
    records: dict[int, list[int]] = {}
    # For a recreated topic, only offsets at which both topics have a record are certain.
    of_topics = [{(each.source.partition, each.source.offset) for each in load.sent} for load in run.loads]
    for partition, offset in sorted(set.intersection(*of_topics)):
        records.setdefault(partition, []).append(offset)
    is_replaced = len(run.loads) > 1
    mutants = [
        mutant.is_refused(report.guarantee, records, is_replaced=is_replaced)
        for mutant in some_mutants(steps, setting.mutants, setting.seed)
    ]
    return msgspec.structs.replace(
        report,
        steps=len(steps),
        trace=refusal(steps, report.guarantee, records, is_replaced=is_replaced),
        refused=sum(mutants),
        mutants=len(mutants),
    )


@contextmanager
def _plan_run(
    plan: Plan, guarantee: Guarantee, setting: Setting, together: Together, folder: Path
) -> Iterator[PlanRun]:
    name = f"{plan.name}-{uuid.uuid4().hex[:6]}"
    topics = Topics(patients=name, scores=f"{name}-scores", dead_letters=f"{name}-dlq")
    broker = setting.broker
    broker.create_topic(topics.patients, plan.partitions)
    if plan.outputs:
        broker.create_topic(topics.scores, plan.partitions)
        broker.create_topic(topics.dead_letters, plan.partitions, plan.dead_letter_bytes)
    with ExitStack() as stack:
        outcomes = Outcomes(broker.direct, topics, plan.partitions, f"group-{name}")
        stack.callback(outcomes.close)
        link = folder / "current"
        serve(link, _model(plan, setting))
        workers = WorkerProcesses(setting.worker, _worker_settings(plan, guarantee, link, setting, topics), folder)
        stack.callback(workers.end)
        recipe = msgspec.structs.replace(plan.recipe, bad_share=0.0) if setting.worker == "faust" else plan.recipe
        load = plan.load(broker.direct, name, recipe, setting.seed, culprit() if plan.poisoned else None)
        run = PlanRun(broker, topics, workers, load, outcomes, together, setting.seed)
        run.link, run.alternatives = link, setting.models.alternatives
        stack.callback(run.flight.end)
        yield run


def _worker_settings(
    plan: Plan, guarantee: Guarantee, link: Path, setting: Setting, topics: Topics
) -> Mapping[str, str]:
    settings = {
        "HEARTSTREAM_MODEL__PATH": str(link),
        "HEARTSTREAM_TOPICS__PATIENTS": topics.patients,
        "HEARTSTREAM_TOPICS__SCORES": topics.scores,
        "HEARTSTREAM_TOPICS__DEAD_LETTERS": topics.dead_letters,
        "HEARTSTREAM_WORKER__GROUP_ID": f"group-{topics.patients}",
        "HEARTSTREAM_WORKER__BATCH_RECORDS": "100",
        "HEARTSTREAM_WORKER__STALL_SECONDS": "20",
        # The trace has the steps of each flush.
        "HEARTSTREAM_TELEMETRY__LOG_LEVEL": "DEBUG",
        "HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
        "HEARTSTREAM_KAFKA__OPTIONS__HEARTBEAT_INTERVAL_MS": "300",
        **plan.settings,
    }
    if guarantee == "exactly_once":
        settings["HEARTSTREAM_WORKER__PROCESSING_GUARANTEE"] = guarantee
        if setting.quick and not plan.shakes_broker:
            settings |= _SHORT_TRANSACTIONS
    if setting.worker == "faust":
        settings["APP_DATADIR"] = str(setting.folder / "faust")
    return settings


def _model(plan: Plan, setting: Setting) -> Path:
    return setting.models.poisoned if plan.poisoned else setting.models.good


def _expected(sent: list[Sent], results: list[Result], plan: Plan, setting: Setting) -> list[Outcome]:
    """Return the expected outcomes by scoring here; a model that raises does so in a process with stderr silenced.

    Where models were swapped, a record's score must be that of the model that it names.
    """
    model, name = _model(plan, setting), plan.settings.get("HEARTSTREAM_MODEL__NAME")
    if plan.swapped:
        models = setting.models.alternatives
        named, first, second = (
            scorers_named(results),
            _scored(sent, models.first, name),
            _scored(sent, models.second, name),
        )
        other = load(models.second, name).model.digest
        pairs = zip(sent, first, second, strict=True)
        return [two if named.get(record.source) == other else one for record, one, two in pairs]
    if not plan.poisoned:
        return _scored(sent, model, name)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_silence_stderr) as pool:
        return pool.submit(_scored, sent, model, name).result()


def _silence_stderr() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _scored(sent: list[Sent], model: Path, name: str | None) -> list[Outcome]:
    scorer = Scorer.from_directory(model, name)
    outcomes: list[Outcome] = []
    for start in range(0, len(sent), _CHUNK):
        chunk = sent[start : start + _CHUNK]
        outcomes += process([record.value for record in chunk], [record.source for record in chunk], scorer)
    return outcomes
