"""`heartstream top`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from heartstream.monitoring.top.scrape import Scrape, scrape_all
from heartstream.monitoring.top.tables import fit_width, format_duration, line, number, tables_of, text
from heartstream.monitoring.top.worker_stats import WorkerStats, group_stats, worker_stats
from runtime import events, metrics
from runtime.health import Health, TelemetryServer
from runtime.ports import free_port

URL = "http://worker-1:9100"
EARLIER = """
heartstream_records_total{interface="kafka",outcome="scored"} 1000
heartstream_records_total{interface="kafka",outcome="rejected"} 10
heartstream_batch_records_count{interface="kafka"} 20
heartstream_batch_records_sum{interface="kafka"} 1010
heartstream_end_to_end_latency_seconds_bucket{le="0.01"} 1000
heartstream_end_to_end_latency_seconds_bucket{le="0.1"} 1010
heartstream_end_to_end_latency_seconds_bucket{le="+Inf"} 1010
heartstream_dead_letters_total{code="not_json"} 10
"""
LATER = """
heartstream_records_total{interface="kafka",outcome="scored"} 1400
heartstream_records_total{interface="kafka",outcome="rejected"} 30
heartstream_batch_records_count{interface="kafka"} 30
heartstream_batch_records_sum{interface="kafka"} 1430
heartstream_end_to_end_latency_seconds_bucket{le="0.01"} 1210
heartstream_end_to_end_latency_seconds_bucket{le="0.1"} 1430
heartstream_end_to_end_latency_seconds_bucket{le="+Inf"} 1430
heartstream_dead_letters_total{code="not_json"} 12
heartstream_dead_letters_total{code="empty_value"} 18
heartstream_consumer_lag_records{topic="patients",partition="0"} 7
heartstream_consumer_lag_records{topic="patients",partition="1"} 1000
heartstream_consumer_lag_seconds{topic="patients",partition="0"} 0.25
heartstream_consumer_lag_seconds{topic="patients",partition="1"} 90
heartstream_in_flight_records 40
heartstream_rebalances_total{kind="assigned"} 2
heartstream_model_info{name="forest",version="3",digest="d",engine="onnx"} 1
"""


def reading(text: str, at: float, url: str = URL, state: str = "ready") -> Scrape:
    return Scrape(url, at, state, tuple(metrics.read(text)))


@pytest.fixture
def worker() -> WorkerStats:
    return worker_stats(reading(EARLIER, 10.0), reading(LATER, 12.0))


def test_rates_are_those_of_the_interval(worker: WorkerStats) -> None:
    """400 scored and 20 rejected records in two seconds, in ten batches; dead letters by code."""
    assert (worker.scored, worker.rejected, worker.batch) == (200.0, 10.0, 42.0)
    assert worker.letters == {"not_json": 12, "empty_value": 18}
    assert worker.letter_rates == {"not_json": 1.0, "empty_value": 9.0}


def test_quantiles_are_those_of_the_interval(worker: WorkerStats) -> None:
    """Half of the interval's 420 records took up to 10 ms, the others up to 100 ms, uniformly."""
    assert worker.quantile(0.5) == pytest.approx(0.01)
    assert worker.quantile(0.99) == pytest.approx(0.01 + 0.09 * (0.99 * 420 - 210) / 210)


def test_an_interval_without_records_has_no_quantile() -> None:
    """Nothing is known and nothing is shown."""
    assert worker_stats(reading(LATER, 10.0), reading(LATER, 12.0)).quantile(0.5) is None


def test_a_latency_above_all_bounds_is_the_last_bound() -> None:
    """As in Prometheus."""
    later = EARLIER.replace('le="+Inf"} 1010', 'le="+Inf"} 1020')
    assert worker_stats(reading(EARLIER, 10.0), reading(later, 12.0)).quantile(0.5) == 0.1


def test_a_restarted_worker_counts_from_zero(worker: WorkerStats) -> None:
    """Counters that were reset give no negative rates."""
    anew = worker_stats(reading(LATER, 10.0), reading(EARLIER, 12.0))
    assert (anew.scored, anew.rejected, worker.scored) == (500.0, 5.0, 200.0)


def test_a_group_is_the_sum_of_its_workers(worker: WorkerStats) -> None:
    """Rates and lags add up, quantiles cover all records, and an unreachable worker adds nothing."""
    silent = Scrape("http://worker-2:9100", 12.0, "no answer")
    group = group_stats([worker, worker, worker_stats(silent, silent)])
    assert (group.state, group.scored, group.lag, group.batch) == ("2 of 3 ready", 400.0, 2014, 42.0)
    assert (group.quantile(0.99), group.oldest) == (worker.quantile(0.99), 90.0)


def test_a_piped_line_summarizes_the_group(worker: WorkerStats) -> None:
    """One line, after the time of day."""
    told = line(group_stats([worker])).split("  ")[1:]
    assert told == [
        "1 of 1 ready",
        "scored 200/s",
        "rejected 10/s",
        "lag 1007",
        "oldest 1.5 min",
        "p50 10 ms",
        "p99 98 ms",
        "batch 42",
        "in flight 40",
        "rebalances 2",
        "dead letters empty_value=18,not_json=12",
        "worst patients[1] 1000, 1.5 min",
    ]


def test_the_partitions_with_the_most_lag_come_first(worker: WorkerStats) -> None:
    """The rest is summed up."""
    lags = "".join(f'heartstream_consumer_lag_records{{topic="t",partition="{n}"}} {n}\n' for n in range(100))
    many = worker_stats(reading("", 10.0), reading(lags, 12.0))
    (table,) = [table for table in tables_of(group_stats([many]), [many]) if table.title == "lag"]
    assert (table.rows[0][:2], table.rows[-1][:2]) == (("t[99]", "99"), ("88 more", "3,828"))
    assert worker.lag == 1007


def test_a_narrow_terminal_omits_minor_columns(worker: WorkerStats) -> None:
    """Never the worker, its rates, its lag or its state."""
    full = tables_of(group_stats([worker]), [worker])[0]
    narrow = fit_width(full, 80)
    assert fit_width(full, 200) == full
    assert {"worker", "scored/s", "rejected/s", "lag", "p99", "state"} <= set(narrow.headings)
    assert max(map(len, text(narrow).splitlines())) <= 80


def test_numbers_and_times_are_human_readable() -> None:
    """Thousands are separated, and times have a suitable unit."""
    assert [number(value) for value in (None, 0.0, 0.25, 9.0, 66120.4)] == ["-", "0", "0.2", "9", "66,120"]
    seconds = (None, 0.0, 0.0002, 0.0125, 0.9, 5.25, 90.0, 7200.0, 864_000.0)
    told = ["-", "0 s", "<1 ms", "12 ms", "900 ms", "5.2 s", "1.5 min", "2.0 h", "10 d"]
    assert [format_duration(value) for value in seconds] == told


@pytest.fixture
def problems() -> dict[str, str | None]:
    return {"live": None, "ready": None}


@pytest.fixture
def server(problems: dict[str, str | None]) -> Iterator[TelemetryServer]:
    health = Health(live={"loop": lambda: problems["live"]}, ready={"broker": lambda: problems["ready"]})
    server = TelemetryServer("127.0.0.1", 0, health)
    yield server
    server.close()


def test_a_workers_health_is_shown(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """Ready, not ready or not live, with the reason; or no answer."""
    url, nobody = f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{free_port()}"
    states = [[reading.state for reading in scrape_all([url, nobody])]]
    problems["ready"] = "gone"
    states += [[reading.state for reading in scrape_all([url])]]
    problems["live"] = "frozen"
    states += [[reading.state for reading in scrape_all([url])]]
    assert states == [["ready", "no answer"], ["not ready: broker: gone"], ["not live: loop: frozen"]]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heartstream", "top", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "COLUMNS": "80"}
    )


def test_once_prints_one_interval_and_exits(server: TelemetryServer) -> None:
    """In plain text, for a worker given without a scheme."""
    events.LagMeasured("top-test", 2, 34, 5.0).emit()
    done = run("--url", f"127.0.0.1:{server.port}", "--interval", "0.1", "--once")
    events.LagForgotten("top-test", 2).emit()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"127.0.0.1:{server.port}" in done.stdout
    assert "top-test[2]       34   5.0 s" in done.stdout


def test_no_worker_is_exit_code_69() -> None:
    """The error has the URL and what to check."""
    url = f"http://127.0.0.1:{free_port()}"
    done = run("--url", url)
    told = f"heartstream: no worker answers at {url}: is one running, with this telemetry port?\n"
    assert (done.returncode, done.stderr) == (69, told)
