"""The dashboard is made of its script, whole, and names what exists."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import yaml

from compose.grafana.dashboard import render
from runtime import metrics
from tests.support.prometheus import as_asked, legend_labels, queries
from tests.support.promql import Named
from tests.support.telemetry import known_series, unknown

FOLDER = Path("compose/grafana")
TEXT = (FOLDER / "heartstream.json").read_text(encoding="utf-8")
DASHBOARD = json.loads(TEXT)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_is_current() -> None:
    """heartstream.json is what its generator writes: if not, run `python -m compose.grafana`."""
    assert render() == TEXT


def test_every_query_names_what_exists() -> None:
    """Metrics and labels are those that our processes show."""
    asked = {target["expr"]: unknown(as_asked(target["expr"], "1m")) for _, target in queries(DASHBOARD)}
    assert {expression: told for expression, told in asked.items() if told} == {}


def test_every_legend_names_labels_that_its_query_keeps() -> None:
    """A label that is summed away would leave a gap in the legend."""
    for _, target in queries(DASHBOARD):
        named = Named.of(as_asked(target["expr"], "1m"))
        kept = named.grouping or set().union(*(known_series()[metric] for metric in named.metrics))
        assert legend_labels(target["legendFormat"]) <= {*kept, "instance"}, target["expr"]


def test_every_metric_is_shown_somewhere() -> None:
    """Whatever is measured can be seen, but for the batches under way: their records are."""
    shown = " ".join(target["expr"] for _, target in queries(DASHBOARD))
    absent = [metric.name for metric in metrics.DESCRIBED if metric.name not in shown]
    assert absent == ["heartstream_in_flight_batches"]


def test_every_panel_explains_itself() -> None:
    """A title, a description, a unit and thresholds; the data source is a variable, the same everywhere."""
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource"]
    for panel in PANELS:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"].endswith(".") or ":" in panel["description"]
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
            "${datasource}"
        }


def test_panels_have_numbers_and_room_of_their_own() -> None:
    """No two panels have one id, or overlap; none is wider than the page."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in itertools.combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in DASHBOARD["panels"]) == 24


def test_compose_gives_prometheus_and_grafana_their_files() -> None:
    """What is mounted is there; the ports are open to this machine alone; nobody can sign in with a known password."""
    services = yaml.safe_load(Path("compose/compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("prometheus", "grafana"):
        mounts = [volume.split(":")[0] for volume in services[name]["volumes"]]
        assert [path for path in mounts if path.startswith("./") and not (Path("compose") / path).exists()] == []
        assert [port for port in services[name]["ports"] if not port.startswith("127.0.0.1:")] == []
    scraped = yaml.safe_load(Path("compose/prometheus/prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert [
        name for job in scraped for sd in job["dns_sd_configs"] for name in sd["names"] if name not in services
    ] == []
    source = yaml.safe_load((FOLDER / "datasources.yaml").read_text(encoding="utf-8"))["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    environment = services["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert [name for name in environment if "PASSWORD" in name] == []
