"""The client's configuration determines how soon it can have repeated a transactional request."""

from __future__ import annotations

from runtime.kafka.config import producer_config
from runtime.settings import Settings
from worker.kafka.transactions import shortest_retry


def test_the_shortest_retry_follows_from_the_backoff_settings() -> None:
    """A request is repeated after its backoff minus 20% jitter at the earliest, offsets after half a second."""
    guarantee = {"HEARTSTREAM_WORKER__GROUP_ID": "group", "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": "exactly_once"}
    chosen = [{}, {"RETRY_BACKOFF_MS": "100"}, {"RETRY_BACKOFF_MAX_MS": "200"}, {"RETRY_BACKOFF_MS": "1000"}]
    bounds = [
        shortest_retry(
            producer_config(
                Settings.from_mapping(
                    guarantee | {f"HEARTSTREAM_KAFKA__OPTIONS__{name}": text for name, text in options.items()}
                )
            )
        )
        for options in chosen
    ]
    assert bounds == [0.45, 0.075, 0.15, 0.5]
