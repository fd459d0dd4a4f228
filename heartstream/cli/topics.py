"""`heartstream topics`: the topics that worker and gateway use."""

from __future__ import annotations

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Count
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.tables import print_line
from schemas.errors import SettingsError
from schemas.topics import name_problem


def topics(*others: str, partitions: Count = 8) -> None:
    """Wait for the broker, and create the topics that are not there yet.

    A topic that is there is left as it is. A group can have as many workers at work as there are partitions.

    Example: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 heartstream topics --partitions 16 scores.replay

    Exit codes: 0 they are there; 69 no broker answers, or it refuses; 78 bad settings.

    Args:
        others: Further topics, as one for heartstream replay.
        partitions: How many partitions a new topic gets.
    """
    with errors_to_exit_codes():
        settings = load_settings()
        from heartstream.brokers import await_broker  # noqa: PLC0415  # --help should not wait
        from runtime.kafka.topics import create_topics  # noqa: PLC0415  # the same

        if problems := tuple(f"{other!r} {problem}" for other in others if (problem := name_problem(other))):
            raise SettingsError(problems)
        kafka, names = settings.kafka, settings.topics
        await_broker(kafka.bootstrap_servers, kafka.options, silent_seconds=0)
        ours = (names.patients, names.scores, names.dead_letters, names.outcomes, names.shadow)
        wanted = tuple(dict.fromkeys((*ours, *others)))
        create_topics(kafka.bootstrap_servers, wanted, partitions, kafka.options)
        print_line(f"topics: {', '.join(wanted)}")
