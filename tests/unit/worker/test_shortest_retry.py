"""The bound below which a transactional call was not repeated by the client follows from its configuration."""

from __future__ import annotations

from runtime.kafka.config import producer_config
from runtime.settings import Settings
from worker.transport.transactions import shortest_retry


def test_a_call_is_quick_if_no_request_of_it_can_have_been_repeated() -> None:
    """The client repeats a request after its backoff, a fifth less at the earliest, or offsets after half a second."""
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
