"""Structured logs: one JSON object per line on standard error, for our own log lines and those of libraries.

An exception's message and local variables may contain a patient's values, so only its type and stack are logged, unless
the text of its class is known to be safe.
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
"""The Kafka client's own log lines, which contain brokers and topics but no records."""

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
        *("batch_bytes", "dead_letter", "core", "native_reason"),
        *("positions", "numbers", "offsets", "ranges", "transactional"),
    }
)
"""The fields that a line may have. Others, which might be a patient's values, are dropped and counted."""
_INTERNAL: Final = frozenset({"_record", "_from_structlog", "positional_args"})
"""structlog's internal fields."""

_SAFE: Final = (HeartstreamError, OSError)
"""Errors whose text never contains values of a record."""


_processors: Final[list[structlog.typing.Processor]] = []
"""Changed in place, so that cached loggers use it, too, when logging is reconfigured."""


def configure(telemetry: Telemetry) -> None:
    """Configure all logging of this process with one formatter; called at start."""
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
    # Lines below the level are dropped before they are processed.
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
        # asyncio logs 128 times a second that it cannot accept connections while there are no file descriptors.
        | {
            name: {"level": _QUIET.get(name, "NOTSET"), "filters": ["throttle"]}
            for name in (CLIENT_LOG.name, "asyncio")
        },
    }


def _safe_exception(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace exception information by its type and stack."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


def _known_fields_only(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop unknown fields and log their number."""
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
    """Remove what might quote a patient from log lines of libraries.

    The first line is kept, or, if the arguments include an exception, the text without the arguments.
    """
    record = event.get("_record")
    arguments = event.pop("positional_args", None) or ()
    values = arguments.values() if isinstance(arguments, Mapping) else arguments
    unsafe = any(isinstance(value, BaseException) and not isinstance(value, _SAFE) for value in values)
    text = str(getattr(record, "msg", "")) if unsafe else str(event.get("event", ""))
    event["event"] = text.split("\n", 1)[0]
    return event
