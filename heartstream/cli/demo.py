"""`heartstream demo`: the whole system on this machine."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import FAILED, INTERRUPTED, errors_to_exit_codes

_SERVERS = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
_NEXT = """
next, with ./run in place of heartstream in a checkout:
  heartstream demo --records 0   the same until Ctrl-C, live on a web page
  heartstream gateway            score a patient of your own on that page
  heartstream --help             all commands; docs/commands.md has examples
"""


def demo(
    *,
    broker: Literal["auto", "embedded", "docker", "given"] = "auto",
    records: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 5000,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 250.0,
    bad_share: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))] = 0.03,
    model: Path | None = None,
    seed: int = 42,
    download_only: Flag = False,
) -> None:
    """Stream real patients through Kafka, score them, and account for every record.

    Trains a model and starts a broker if needed, and runs a worker and a gateway. Always uses the topics demo.patients,
    demo.risk-scores, demo.dead-letters, demo.outcomes and demo.shadow-scores, whatever the settings say.

    Example: heartstream demo --rate 1000 --records 20000

    Exit codes: 0 every record has exactly one outcome; 1 records were lost, repeated or have the wrong outcome;
    130 interrupted before that was known; 65, 69, 78 as for the worker.

    Args:
        broker: auto uses the broker of HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS if it is set, else the embedded one, Apache
            Kafka with a bundled Java runtime; docker runs Kafka in a container.
        records: The number of records to produce. 0 runs until Ctrl-C, uses the default ports of the other commands
            (9092, 8000, 9100) if they are free, and writes each patient's outcome to the topic demo.outcomes.
        rate: Records per second.
        bad_share: Share of records that are deliberately invalid.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH; a missing one is trained first.
        seed: Seed for the order of the patients and the invalid records.
        download_only: Only download and prepare the embedded broker, which then works offline.
    """
    with errors_to_exit_codes():
        from heartstream.demo.reconciliation import summary_lines  # noqa: PLC0415  # --help should not wait for these
        from heartstream.demo.run import DemoRequest, run_demo  # noqa: PLC0415
        from heartstream.demo.view import new_view  # noqa: PLC0415
        from runtime.settings import Settings  # noqa: PLC0415

        settings = Settings.from_mapping(os.environ)
        if download_only:
            from heartstream.embedded_kafka.jars import jars_folder  # noqa: PLC0415  # in the demo extra only
            from heartstream.embedded_kafka.preparation import install  # noqa: PLC0415  # as above

            install(settings.embedded_kafka.maven_repository)
            sys.stdout.write(f"Apache Kafka is ready; its jars are in {jars_folder()}\n")
            return
        is_given = not os.environ.keys().isdisjoint({_SERVERS, f"{_SERVERS}_FILE"})
        kind = broker if broker != "auto" else ("given" if is_given else "embedded")
        folder = model or Path(settings.model.path)
        _train_if_needed(folder)
        # SIGTERM and SIGHUP, from Kubernetes, systemd or a closing terminal, act as Ctrl-C.
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:  # under nohup
                signal.signal(signum, signal.default_int_handler)
        try:
            with new_view() as view:
                summary = run_demo(DemoRequest(kind, folder, rate, records, bad_share, seed), settings, view)
        except KeyboardInterrupt:
            sys.stdout.write("interrupted before every record was accounted for\n")
            raise SystemExit(INTERRUPTED) from None
        sys.stdout.write("\n".join(summary_lines(summary)) + "\n")
        if not summary.balanced:
            raise SystemExit(FAILED)
        if records:
            sys.stdout.write(_NEXT)


def _train_if_needed(model: Path) -> None:
    if (model / "manifest.json").is_file():
        sys.stdout.write(f"model: using {model}\n")
        return
    from heartstream.cli.train import train  # noqa: PLC0415

    sys.stdout.write(f"model: none at {model}, training one\n")
    train(output=model, quick=True)
