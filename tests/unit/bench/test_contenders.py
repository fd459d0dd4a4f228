"""Who is measured by `bench.stream`, by name, by group, and with another model or table."""

from __future__ import annotations

import pytest

from bench.contenders import CONTENDERS, PEERS, QUICK, chosen
from bench.stream import able, parse
from bench.toolchains import TOOLCHAINS

NATIVE = {contender.name for contender in CONTENDERS if contender.environment in TOOLCHAINS}


def names(arguments: str) -> set[str]:
    """Return the contenders that a command line asks for."""
    return {contender.name for contender in parse(arguments.split()).contenders}


def test_by_default_nothing_is_built() -> None:
    """Without `--peers`, no contender needs another language's tools."""
    assert (names("") & NATIVE, names("--quick")) == (set(), set(QUICK))


def test_native_peers_run_beside_ours() -> None:
    """Each of them, the bare loop, and the worker with the same details and guarantees."""
    ours = {"bare", "heartstream", "heartstream-eos", "heartstream-risk", "heartstream-risk-eos"}
    assert names("--peers native") == NATIVE | ours


def test_all_are_all() -> None:
    """One command measures everything."""
    assert names("--peers all") == {contender.name for contender in CONTENDERS} == set(PEERS["all"])


@pytest.mark.parametrize(
    ("arguments", "records", "untimed"),
    [
        ("", 600_000, 0.0),
        ("--peers native", 2_400_000, 0.5),
        ("--only wire", 2_400_000, 0.5),
        ("--quick", 120_000, 0.0),
    ],
)
def test_a_jvm_warms_up_before_it_is_timed(arguments: str, records: int, untimed: float) -> None:
    """With a native contender all get more records, and the first half is not timed."""
    plan = parse(arguments.split())
    assert (plan.records, plan.untimed) == (records, untimed)


@pytest.mark.parametrize("arguments", ["--model random_forest", "--table tests/tables/wdbc.toml --data wdbc.csv"])
def test_native_peers_serve_only_the_linear_model_of_the_built_in_table(arguments: str) -> None:
    """A group is without them then."""
    assert names(f"--peers all {arguments}") & NATIVE == set()


def test_a_native_peer_named_for_another_model_is_refused() -> None:
    """Rather than silently left out."""
    with pytest.raises(ValueError, match="no such contender for random_forest: wire"):
        chosen("wire", quick=False, model="random_forest")


def test_what_cannot_be_built_is_skipped_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One a toolchain, whatever it would build; the others stay."""
    monkeypatch.setenv("PATH", "")
    plan, skipped = able(parse(["--peers", "native"]))
    assert {contender.name for contender in plan.contenders} & NATIVE == set()
    assert (set(skipped), plan.untimed) == (NATIVE, 0.0)
    streams = "kafka-streams, kafka-streams-2, kafka-streams-eos, kafka-streams-2-eos"
    assert capsys.readouterr().err.splitlines() == [
        "rust-risk, rust, wire: skipped: cargo, cc, make not installed",
        f"{streams}: skipped: mvn, java, javac not installed",
    ]
