"""Validation of the user's client options before clients are created."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from runtime.kafka.config import OWN_OPTIONS, consumer_config, producer_config
from runtime.settings import Settings
from schemas.errors import SettingsError

_QUIET: Final = {"log_level": 2}
"""A client that is only tried may fail to connect meanwhile: the one that is used reports it."""


def option_problems(settings: Settings) -> tuple[str, ...]:
    """Return the problems of the user's client options, one line each, as reported by librdkafka."""
    options = settings.kafka.options
    problems = [f"Kafka option {name} cannot be changed" for name in sorted(OWN_OPTIONS & options.keys())]
    for name, text in sorted(options.items()):
        alone = {"group.id": "check", **_QUIET, name: text}
        complaint = _complaint(partial(_try_consumer, alone))
        if complaint is not None and not complaint.startswith("Failed to create"):
            problems.append(f"Kafka option {name}: {complaint.replace(text, '(value)')}")
    if not problems:
        together = _complaint(partial(_try_consumer, {**consumer_config(settings), **_QUIET}))
        together = together or _complaint(lambda: Producer({**producer_config(settings), **_QUIET}))
        problems += [f"Kafka options: {together}"] if together else []
    return tuple(problems)


def check_options(settings: Settings) -> None:
    """Raise SettingsError that lists all problems of the user's client options."""
    if problems := option_problems(settings):
        raise SettingsError(problems)


def _try_consumer(config: dict[str, object]) -> None:
    Consumer(config).close()


def _complaint(make: Callable[[], object]) -> str | None:
    """Return why librdkafka cannot create a client, or None."""
    try:
        make()
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        return error.str()
    except (TypeError, ValueError) as failure:
        return type(failure).__name__
    return None
