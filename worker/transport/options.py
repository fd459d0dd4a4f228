"""How to consume."""

from __future__ import annotations

import msgspec


class ConsumerOptions(msgspec.Struct, frozen=True):
    """How to consume: the clients' configurations, the most records in a batch, and bounds in seconds.

    `commit_interval` None leaves offsets to the producer's transactions. `revoke_timeout` bounds the wait for started
    batches when partitions are taken back; `drain_timeout` that at the end of the process; `stall_limit` how long a
    partition may stand still; `solitude_limit` how long a client may be without group or broker before another takes
    its place, `expulsion_limit` how long its group may refuse its transactions.
    """

    client_config: dict[str, object]
    admin_config: dict[str, object]
    batch_records: int
    commit_interval: float | None
    drain_timeout: float
    revoke_timeout: float
    stall_limit: float
    solitude_limit: float = 60.0
    expulsion_limit: float = 10.0
