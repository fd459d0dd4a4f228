"""Who is measured: the worker, the bare loops that it is held against, and other people's frameworks."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Guarantee = Literal["at least once", "exactly once", "at most once", "none"]


class Contender(msgspec.Struct, frozen=True):
    """One contender: its command, the environment that it runs in, and which share of the input it gets.

    The slow ones get less, so that a run takes some seconds. `environment` names a lock file in requirements/peers, or
    is None for this project's own environment.
    """

    name: str
    arguments: tuple[str, ...]
    share: float = 1.0
    environment: str | None = None
    guarantee: Guarantee = "at least once"
    settings: tuple[tuple[str, str], ...] = ()
    drains: bool = False
    """Whether it is expected to have committed exactly the input's ends when it was stopped at the end."""
    says: Literal["all", "risk"] = "all"
    """What its scores say: scores of the same kind must be equal to the byte."""
    input: Literal["records", "requests"] = "records"
    """MLServer takes requests of the Open Inference Protocol, made of the same records."""

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

CONTENDERS: Final = (
    Contender("bare", ("-m", "bench.bare"), drains=True),
    Contender("heartstream", ("-m", "heartstream", "worker"), drains=True),
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


def chosen(names: str | None, *, quick: bool, other_table: bool = False) -> list[Contender]:
    """Return the contenders that are asked for, in their order, the bare loop always among them.

    With another feature table than the built-in one, only those that take patient records. Raises ValueError for a name
    that is none of them.
    """
    able = [contender for contender in CONTENDERS if contender.input == "records" or not other_table]
    wanted = names.split(",") if names else QUICK if quick else [contender.name for contender in able]
    unknown = set(wanted) - {contender.name for contender in able}
    if unknown:
        raise ValueError(f"no such contender{' for another table' * other_table}: {', '.join(sorted(unknown))}")
    return [contender for contender in able if contender.name in {"bare", *wanted}]
