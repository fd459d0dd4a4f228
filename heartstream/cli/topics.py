"""`heartstream topics`: create the topics."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Count
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.tables import print_wrapped
from schemas.errors import SettingsError
from schemas.topics import name_problem


def topics(*others: str, partitions: Count = 8) -> None:
    """Wait for the broker, and create missing topics.

    Existing topics are not changed. The number of partitions limits how many workers of a group are active.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 heartstream topics --partitions 16 scores.replay

    Exit codes: 0 all topics exist; 69 no broker answers, or it refuses; 78 invalid settings.

    Args:
        others: Additional topics, for example one for heartstream replay.
        partitions: The number of partitions of a new topic.
    """
    with errors_to_exit_codes():
        settings = load_settings()
        from heartstream.brokers import await_broker  # noqa: PLC0415  # --help should not wait
        from runtime.kafka.topics import create_topics  # noqa: PLC0415  # the same

        if problems := tuple(f"{other!r} {problem}" for other in others if (problem := name_problem(other))):
            raise SettingsError(problems)
        kafka, names = settings.kafka, settings.topics
        await_broker(kafka.bootstrap_servers, kafka.options)
        ours = (names.patients, names.scores, names.dead_letters, names.outcomes, names.shadow)
        wanted = tuple(dict.fromkeys((*ours, *others)))
        create_topics(kafka.bootstrap_servers, wanted, partitions, kafka.options)
        print_wrapped(f"topics: {', '.join(wanted)}", "  ")
