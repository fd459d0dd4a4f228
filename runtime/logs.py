"""Structured logs: one JSON object a line on standard error, from this product and from the libraries it uses alike.

An exception's message and local variables may hold a patient's values, so only its type and code locations are
written, unless its class is one whose text is known to be safe.
"""

from __future__ import annotations

import logging
import logging.config
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import structlog

from runtime.log_throttling import ThrottlingFilter
from runtime.settings import Telemetry
from schemas.errors import HeartstreamError

CLIENT_LOG: Final = logging.getLogger("librdkafka")
"""Where the Kafka client writes its own lines, which name brokers and topics but no record."""

_THROTTLE: Final = ThrottlingFilter()

_QUIET: Final = {
    "worker": "WARNING",
    "faust": "WARNING",
    "mode": "WARNING",
    "aiokafka": "WARNING",
    "asyncio": "WARNING",
    "opentelemetry.sdk": "ERROR",
}


FIELDS: Final = frozenset(
    {
        *("event", "level", "timestamp", "logger", "exception"),
        *("role", "version", "name", "digest", "engine", "reason", "purpose", "host", "port"),
        *(
            "interface",
            "records",
            "removed_bytes",
            "codes",
            "seconds",
            "topic",
            "partition",
            "partitions",
            "owned",
            "drained",
            "complete",
        ),
        *("committed", "again", "call", "client", "code", "suppressed", "watches_drift", "share", "group"),
        *("batch_bytes", "dead_letter"),
        *("positions", "numbers", "offsets", "ranges", "transactional"),
    }
)
"""All that a line may have. What else somebody logs, a patient's value perhaps, is left out and counted."""
_INTERNAL: Final = frozenset({"_record", "_from_structlog", "positional_args"})
"""What structlog passes on to itself."""

_SAFE: Final = (HeartstreamError, OSError)
"""Errors whose text is made to be read: it holds no value of a record."""


_processors: Final[list[structlog.typing.Processor]] = []
"""Changed in place, so that loggers that have remembered it follow when logging is configured again."""


def configure(telemetry: Telemetry) -> None:
    """Send all logging of this process through one formatter; called at start."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _safe_exception,
        _known_fields_only,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if telemetry.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    logging.config.dictConfig(_stdlib_config(telemetry.log_level, shared, renderer))
    # What its level leaves out is dropped before anything is made of it.
    _processors[:] = [structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _stdlib_config(
    level: str, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> dict[str, Any]:
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "one": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": processors,
                "pass_foreign_args": True,
                "foreign_pre_chain": [structlog.stdlib.add_logger_name, _foreign_text_only, *shared],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "one"}},
        "root": {"handlers": ["stderr"], "level": level},
        "filters": {"throttle": {"()": lambda: _THROTTLE}},
        "loggers": {name: {"level": limit} for name, limit in _QUIET.items()}
        # asyncio tells 128 times a second that no connection can be accepted, while there are no file descriptors.
        | {
            name: {"level": _QUIET.get(name, "NOTSET"), "filters": ["throttle"]}
            for name in (CLIENT_LOG.name, "asyncio")
        },
    }


def _safe_exception(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace exception information by its type and the places it passed through."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


def _known_fields_only(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out fields that are not on the list, and say how many."""
    unknown = event.keys() - FIELDS - _INTERNAL
    for name in unknown:
        del event[name]
    if unknown:
        event["dropped_fields"] = len(unknown)
    return event


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Return an exception as data without values: type, code locations and, for our own errors, the text."""
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, _SAFE):
        described["message"] = str(error)
    if error.__cause__ is not None and error.__cause__ is not error:
        described["cause"] = describe_exception(error.__cause__)
    return described


def _foreign_text_only(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep of what libraries log what cannot quote a patient.

    That is the first line, or, where an exception is among the arguments, the text without any argument filled in.
    """
    record = event.get("_record")
    arguments = event.pop("positional_args", None) or ()
    values = arguments.values() if isinstance(arguments, Mapping) else arguments
    unsafe = any(isinstance(value, BaseException) and not isinstance(value, _SAFE) for value in values)
    text = str(getattr(record, "msg", "")) if unsafe else str(event.get("event", ""))
    event["event"] = text.split("\n", 1)[0]
    return event
