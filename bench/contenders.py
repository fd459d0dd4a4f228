"""Who is measured: the worker, the bare loops that it is held against, and other people's frameworks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from bench.toolchains import TOOLCHAINS

LINEAR: Final = "logistic_regression"
Guarantee = Literal["at least once", "exactly once", "at most once", "none"]


class Contender(msgspec.Struct, frozen=True):
    """One contender: its command, the environment that it runs in, and which share of the input it gets.

    The slow ones get less, so that a run takes some seconds. `environment` names a lock file in requirements/peers, or
    a toolchain of `bench.toolchains`, or is None for this project's own environment.
    """

    name: str
    arguments: tuple[str, ...]
    share: float = 1.0
    environment: str | None = None
    guarantee: Guarantee = "at least once"
    settings: tuple[tuple[str, str], ...] = ()
    drains: bool = False
    """Whether it is expected to have committed exactly the input's ends when it was stopped at the end."""
    says: Literal["all", "risk", "records"] = "all"
    """What its scores say: scores of the same kind must be equal to the byte. `records` are the input itself."""
    input: Literal["records", "requests"] = "records"
    """MLServer takes requests of the Open Inference Protocol, made of the same records."""

    @property
    def is_native(self) -> bool:
        """Whether it is built from bench/peers instead of running in Python."""
        return self.environment in TOOLCHAINS

    def serves(self, model: str, *, other_table: bool) -> bool:
        """Return whether it can serve a model of ours: the native ones only know UCI's table and the linear model."""
        if self.is_native:
            return model == LINEAR and not other_table
        return self.input == "records" or not other_table

    @property
    def transactional(self) -> bool:
        """Whether its results come in transactions, with the offsets."""
        return self.guarantee == "exactly once"


_EXACTLY_ONCE: Final = ("HEARTSTREAM_WORKER__PROCESSING_GUARANTEE", "exactly_once")

_RISK_ALONE: Final = (
    ("HEARTSTREAM_SCORE__INTERVAL", "false"),
    ("HEARTSTREAM_SCORE__LABEL_SET", "false"),
    ("HEARTSTREAM_SCORE__REASONS", "0"),
)
"""Scores that say no more than the risk: what interval, label set and reasons cost."""
_SCORE_EVENTS: Final = (("HEARTSTREAM_WORKER__CLOUDEVENTS", "true"),)
"""The same scores with the headers of CloudEvents: what those cost."""
_UNCHECKED: Final = (("HEARTSTREAM_KAFKA__OPTIONS__CHECK_CRCS", "false"),)
"""The same without a look at the checksums of what is read: what that costs."""
_IN_PYTHON: Final = (("HEARTSTREAM_MODEL__NATIVE", "off"),)
"""The same without the native core, where it is installed: what it saves."""


def _kafka_streams(name: str, threads: int, guarantee: Guarantee) -> Contender:
    options = (str(threads), "exactly_once_v2" if guarantee == "exactly once" else "at_least_once")
    return Contender(name, options, environment="kafka-streams", guarantee=guarantee, drains=True, says="risk")


CONTENDERS: Final = (
    Contender("bare", ("-m", "bench.bare"), drains=True),
    Contender("heartstream", ("-m", "heartstream", "worker"), drains=True),
    Contender("heartstream-python", ("-m", "heartstream", "worker"), settings=_IN_PYTHON, drains=True),
    Contender("heartstream-risk", ("-m", "heartstream", "worker"), settings=_RISK_ALONE, drains=True, says="risk"),
    Contender("heartstream-events", ("-m", "heartstream", "worker"), settings=_SCORE_EVENTS, drains=True),
    Contender("heartstream-unchecked", ("-m", "heartstream", "worker"), settings=_UNCHECKED, drains=True),
    Contender("bare-eos", ("-m", "bench.bare_exactly_once"), guarantee="exactly once", drains=True),
    Contender(
        "heartstream-eos",
        ("-m", "heartstream", "worker"),
        guarantee="exactly once",
        settings=(_EXACTLY_ONCE,),
        drains=True,
    ),
    Contender(
        "heartstream-risk-eos",
        ("-m", "heartstream", "worker"),
        guarantee="exactly once",
        settings=(_EXACTLY_ONCE, *_RISK_ALONE),
        drains=True,
        says="risk",
    ),
    _kafka_streams("kafka-streams", 1, "at least once"),
    _kafka_streams("kafka-streams-2", 2, "at least once"),
    _kafka_streams("kafka-streams-eos", 1, "exactly once"),
    _kafka_streams("kafka-streams-2-eos", 2, "exactly once"),
    Contender("rust-risk", ("risk",), environment="rust", drains=True, says="risk"),
    Contender("rust", ("all",), environment="rust", drains=True),
    Contender("wire", ("wire",), environment="rust", drains=True, says="records"),
    Contender("bytewax", ("-m", "bench.peers.bytewax_flow"), 1.0, "bytewax"),
    Contender("quix", ("-m", "bench.peers.quix_app"), 0.25, "quix"),
    Contender("arroyo", ("-m", "bench.peers.arroyo_strategy"), 0.5, "arroyo"),
    Contender("faststream", ("-m", "bench.peers.faststream_app"), 0.1, "faststream"),
    Contender("faust-take", ("-m", "bench.peers.faust_take"), 0.04),
    Contender("faust-record", ("-m", "bench.peers.faust_record"), 0.02),
    Contender(
        "mlserver", ("-m", "mlserver.cli.main", "start", "."), 0.005, "mlserver", guarantee="none", input="requests"
    ),
)
QUICK: Final = ("bare", "heartstream", "faust-take")
Peers = Literal["python", "native", "all"]
PEERS: Final[Mapping[Peers, Sequence[str]]] = {
    "python": [contender.name for contender in CONTENDERS if not contender.is_native],
    "native": [
        *("heartstream", "heartstream-risk", "heartstream-eos", "heartstream-risk-eos"),
        *(contender.name for contender in CONTENDERS if contender.is_native),
    ],
    "all": [contender.name for contender in CONTENDERS],
}
"""Groups of contenders by name: `native` are the JVM and native code, and what of ours is held against them."""


def chosen(
    names: str | None, peers: Peers | None = None, *, quick: bool, other_table: bool = False, model: str = LINEAR
) -> list[Contender]:
    """Return the contenders that are asked for by name or as a group, in their order, the bare loop always among them.

    With another feature table than the built-in one, or another model than a logistic regression, only those that can
    serve it. Raises ValueError for a name that is none of them.
    """
    able = [each for each in CONTENDERS if each.serves(model, other_table=other_table)]
    named = names.split(",") if names else []
    if unknown := set(named) - {contender.name for contender in able}:
        other = " for another table" if other_table else f" for {model}" if model != LINEAR else ""
        raise ValueError(f"no such contender{other}: {', '.join(sorted(unknown))}")
    wanted = named or (PEERS[peers] if peers else QUICK if quick else PEERS["python"])
    return [contender for contender in able if contender.name in {"bare", *wanted}]
