"""Settings of the worker."""

from __future__ import annotations

from typing import Annotated

import msgspec

from runtime.settings.base import Count, Name, Seconds


class Worker(msgspec.Struct, frozen=True):
    """How the worker consumes, batches and commits records.

    With `processing_guarantee` `exactly_once`, results and offsets are written in transactions, and a `read_committed`
    consumer sees each result once. `batch_records` is the largest batch scored at once. `flush_max_records` is the most
    records confirmed together (one transaction under exactly-once). `in_flight_max_records` is the most records scored
    but not yet confirmed. `instance_id` enables static group membership, so that a restart causes no rebalance.
    `group_protocol` `consumer` selects the Kafka 4 group protocol (KIP-848).

    The worker stops when more than `rejection_limit_ratio` of the last `rejection_window_records` (or more) were
    rejected: a bad deploy looks like bad data, and must not send a whole topic to the dead letters. A partition that
    makes no progress for `stall_seconds` while it has lag is fetched again; if that does not help, the worker stops.

    With `cloudevents`, each score carries CloudEvents headers (binary mode); its value is unchanged.
    """

    group_id: Name = "heartstream"
    instance_id: str = ""
    group_protocol: Annotated[str, msgspec.Meta(pattern="^(classic|consumer)$")] = "classic"
    processing_guarantee: Annotated[str, msgspec.Meta(pattern="^(at_least_once|exactly_once)$")] = "at_least_once"
    batch_records: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 4_000
    flush_max_records: Count = 30_000
    in_flight_max_records: Count = 60_000
    rejection_window_records: Count = 1_000
    rejection_limit_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    commit_interval_seconds: Seconds = 0.25
    drain_seconds: Seconds = 20.0
    stall_seconds: Seconds = 60.0
    cloudevents: bool = False
