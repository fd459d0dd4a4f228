"""Options of the consumer."""

from __future__ import annotations

import msgspec


class ConsumerOptions(msgspec.Struct, frozen=True):
    """Client configurations, the maximum records per batch, and time limits in seconds.

    With `commit_interval` None, the producer's transactions commit the offsets. `revoke_timeout` limits the wait for
    started batches on a revocation, `drain_timeout` on shutdown; `stall_limit` is how long a partition may be stalled;
    `disconnected_limit` is how long a client may be without group or broker, and `expulsion_limit` how long the group
    may refuse its transactions, before it is replaced.
    """

    client_config: dict[str, object]
    admin_config: dict[str, object]
    batch_records: int
    commit_interval: float | None
    drain_timeout: float
    revoke_timeout: float
    stall_limit: float
    disconnected_limit: float = 60.0
    expulsion_limit: float = 10.0
