"""Sends dead letters back to the patients topic: each a limited number of times, and none twice without a new failure.

Letters are sent in chunks. When the broker has confirmed a chunk, its letters are committed as redriven. A process that
is killed between the two repeats at most that chunk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from heartstream.operations.dlq.backlog import Backlog
from heartstream.operations.dlq.dead_letters import DeadLetterRecord, Selection
from runtime.kafka.config import plain_producer_config
from runtime.kafka.messages import NO_TIMESTAMP
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.codec import encode_source
from schemas.codings import with_coding
from schemas.errors import DependencyError, HeartstreamError, RejectionCode
from schemas.topics import FIRST_FAILURE_HEADER, REDRIVE_ATTEMPTS_HEADER

_CHUNK_LETTERS: Final = 500
_CHUNK_BYTES: Final = 16_000_000
_POLL_SECONDS: Final = 0.2
_SEND_MILLISECONDS: Final = 60_000
_LAST_REPORTS_SECONDS: Final = 10.0
_REFUSALS: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG}
)
"""Errors with which the broker permanently refuses one record; any other error concerns them all."""
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # so named


class FragmentedSelectionError(HeartstreamError):
    """The selection skips so many letters in between that offset metadata cannot record which were redriven."""


class SkipReason(Enum):
    """Why a selected letter is not redriven and stays as it is."""

    MAX_ATTEMPTS = "failed again after the maximum number of attempts"
    NOT_OURS = "not written by heartstream, or with unreadable headers"
    OTHER_TOPIC = "from another topic than the patients topic"
    SOURCE_GONE = "without its value, key or headers, which the source topic no longer holds"
    TOO_OLD = "too old for the retention of the topic, so they may be deleted unread: give --present-time"
    CODING_NOT_GIVEN = "valid, but from a source in another coding: give --coding"
    CODING_NOT_ADDABLE = "not a plain JSON record, or naming its coding already: --coding does not apply"
    REFUSED = "refused by the broker: too large, or with an invalid timestamp"


class Tally:
    """Counts of selected letters: redriven, by code, and skipped, by reason."""

    def __init__(self) -> None:
        self.redriven = 0
        self.codes: Counter[RejectionCode] = Counter()
        self.skipped: Counter[SkipReason] = Counter()

    def count_redriven(self, letter: DeadLetterRecord) -> None:
        """Count a redriven letter."""
        self.redriven += 1
        self.codes.update(letter.codes)


class RedriveRequest(msgspec.Struct, frozen=True):
    """What to redrive, and where to: the letters of a selection, at most `limit`, none more than `max_attempts` times.

    `coding` is added to each record. With `present_time`, records get the present time as their timestamp.
    `oldest_retained` is the timestamp below which the topic's retention could delete them unread.
    """

    topic: str
    selection: Selection
    max_attempts: int
    limit: int | None = None
    present_time: bool = False
    oldest_retained: int | None = None
    coding: str | None = None


def skip_reason(letter: DeadLetterRecord, request: RedriveRequest) -> SkipReason | None:
    """Return why a selected letter is not redriven, None if it is."""
    if letter.reason is None:
        return SkipReason.NOT_OURS
    if letter.reason.source.topic != request.topic:
        return SkipReason.OTHER_TOPIC
    if letter.attempts >= request.max_attempts:
        return SkipReason.MAX_ATTEMPTS
    return _coding_missing(letter, request.coding) or _too_old(letter, request)


def _coding_missing(letter: DeadLetterRecord, coding: str | None) -> SkipReason | None:
    """Return whether the letter needs a coding that is not given, or cannot take the given one."""
    if coding is None:
        return SkipReason.CODING_NOT_GIVEN if RejectionCode.FOREIGN_SOURCE in letter.codes else None
    # An omitted value is checked later.
    if letter.omitted_bytes is None and with_coding(letter.value, coding) is None:
        return SkipReason.CODING_NOT_ADDABLE
    return None


def _too_old(letter: DeadLetterRecord, request: RedriveRequest) -> SkipReason | None:
    if request.present_time or request.oldest_retained is None or letter.timestamp is None:
        return None
    return SkipReason.TOO_OLD if letter.timestamp < request.oldest_retained else None


def plan(backlog: Backlog, request: RedriveRequest, on_letter: Callable[[], None]) -> Tally:
    """Count what a redrive would do, without sending. Omitted values are not looked up at their source."""
    tally = Tally()
    for letter in _to_redrive(backlog, request, tally, on_letter):
        tally.count_redriven(letter)
    return tally


def _to_redrive(
    backlog: Backlog, request: RedriveRequest, tally: Tally, on_letter: Callable[[], None]
) -> Iterator[DeadLetterRecord]:
    """Yield the letters to redrive, at most `request.limit`; count the skipped ones."""
    selected = 0
    for letter in backlog.waiting():
        on_letter()
        if not request.selection.matches(letter):
            continue
        if (reason := skip_reason(letter, request)) is not None:
            tally.skipped[reason] += 1
            continue
        yield letter
        selected += 1
        if selected == request.limit:
            return


class Redrive:
    """Redrives letters of a backlog. `tally` counts them, also after an error or Ctrl-C."""

    def __init__(self, settings: Settings, backlog: Backlog, originals: Reader, request: RedriveRequest) -> None:
        self._request = request
        self._backlog = backlog
        self._originals = originals
        config = {"message.timeout.ms": _SEND_MILLISECONDS, **plain_producer_config(settings.kafka), "log_level": 0}
        self._client = Producer(config)
        self._confirmed: list[DeadLetterRecord] = []
        self._refused: list[DeadLetterRecord] = []
        self._failure: KafkaError | None = None
        self.tally = Tally()

    def run(self, on_letter: Callable[[], None]) -> None:
        """Redrive the letters; returns when all are confirmed and committed as redriven.

        Calls `on_letter` for each letter that is read, while nothing is in flight, so that it may raise. Raises
        DependencyError if the broker fails, and FragmentedSelectionError; what was confirmed stays committed.
        """
        for chunk in _chunks(_to_redrive(self._backlog, self._request, self.tally, on_letter)):
            if not self._backlog.can_store(chunk):
                raise FragmentedSelectionError(
                    "this selection skips too many letters in between to record which ones were redriven: use another "
                    "selection, or none, before you continue with this one"
                )
            self._send(chunk)

    def _send(self, chunk: Iterable[DeadLetterRecord]) -> None:
        """Send letters and wait for the broker. Confirmed letters are committed as redriven, whatever happens."""
        try:
            for letter in chunk:
                self._send_one(letter)
            self._await_reports()
            # The broker limits the size of a batch: alone, a letter may fit.
            refused, self._refused = self._refused, []
            for letter in refused:
                self._send_one(letter)
                self._await_reports()
            self.tally.skipped.update([SkipReason.REFUSED] * len(self._refused))
            self._refused = []
        finally:
            self._await_last_reports()
            confirmed, self._confirmed = self._confirmed, []
            for letter in confirmed:
                self.tally.count_redriven(letter)
            self._backlog.mark_redriven(confirmed)
        if self._failure is not None:
            raise DependencyError(f"{self._request.topic} refused a record: {self._failure.name()}")

    def _await_reports(self) -> None:
        while self._client.flush(_POLL_SECONDS):
            pass

    def _await_last_reports(self) -> None:
        """After an interruption, wait a moment for confirmations of records in flight; drop the rest."""
        deadline = time.monotonic() + _LAST_REPORTS_SECONDS
        while self._client.flush(_POLL_SECONDS) and time.monotonic() < deadline:
            pass
        if len(self._client):
            self._client.purge()
            self._client.poll(0)

    def _send_one(self, letter: DeadLetterRecord) -> None:
        original = self._original(letter)
        if original is None:
            self.tally.skipped[SkipReason.SOURCE_GONE] += 1
            return
        value = original.value
        if self._request.coding is not None and (value := with_coding(value, self._request.coding)) is None:
            self.tally.skipped[SkipReason.CODING_NOT_ADDABLE] += 1
            return
        options: dict[str, Any] = {}
        if not self._request.present_time:
            options["timestamp"] = NO_TIMESTAMP if original.timestamp is None else original.timestamp
        while True:
            try:
                self._client.produce(
                    self._request.topic,
                    value,
                    original.key,
                    headers=[*original.headers, *_redrive_headers(letter)],
                    on_delivery=lambda error, _: self._on_delivery(letter, error),
                    **options,
                )
            except BufferError:
                self._client.poll(_POLL_SECONDS)
            except KafkaException as failure:
                self._on_delivery(letter, failure.args[0])
                return
            else:
                return

    def _on_delivery(self, letter: DeadLetterRecord, error: KafkaError | None) -> None:
        """Handle the delivery report of one record."""
        if error is None:
            self._confirmed.append(letter)
        elif error.code() in _REFUSALS:
            self._refused.append(letter)
        elif error.code() not in _PURGED:
            self._failure = error

    def _original(self, letter: DeadLetterRecord) -> DeadLetterRecord | None:
        """Return the complete original record: the letter, or, if part of it was omitted, its source."""
        if letter.is_whole or letter.reason is None:
            return letter
        message = self._originals.fetch(letter.reason.source)
        if message is None or not _is_original(letter, message):
            return None
        own = DeadLetterRecord.of(message)
        return msgspec.structs.replace(letter, key=own.key, value=own.value, headers=own.headers)


def _is_original(letter: DeadLetterRecord, message: Message) -> bool:
    """Return whether a record is the letter's original: its topic may have been deleted and created again."""
    value = message.value()
    fits = letter.value == value if letter.omitted_bytes is None else letter.omitted_bytes == len(value or b"")
    return fits and (letter.lacks_key or letter.key == message.key())


def _redrive_headers(letter: DeadLetterRecord) -> list[tuple[str, bytes | None]]:
    first = letter.first_failure or (letter.reason.source if letter.reason else None)
    counted: list[tuple[str, bytes | None]] = [(REDRIVE_ATTEMPTS_HEADER, str(letter.attempts + 1).encode())]
    return [*counted, (FIRST_FAILURE_HEADER, encode_source(first))] if first else counted


def _chunks(letters: Iterable[DeadLetterRecord]) -> Iterator[list[DeadLetterRecord]]:
    """Group letters into chunks that are confirmed together."""
    chunk: list[DeadLetterRecord] = []
    size = 0
    for letter in letters:
        chunk.append(letter)
        size += letter.omitted_bytes or len(letter.value or b"")
        if len(chunk) == _CHUNK_LETTERS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
