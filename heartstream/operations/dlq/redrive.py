"""Sending dead letters back to the patients topic, each at most so often, none twice by itself.

Letters go in chunks: a chunk is sent, the broker confirms it, and only then the group's offsets say that it was
redriven. A process that is killed between the two repeats at most that chunk.
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
from heartstream.operations.dlq.dead_letters import Letter, Selection
from runtime.kafka.config import plain_producer_config
from runtime.kafka.range_reader import Reader
from runtime.record_times import NO_TIMESTAMP
from runtime.settings import Settings
from schemas.codec import encode_source
from schemas.codings import with_coding
from schemas.errors import DependencyError, FaultCode, HeartstreamError
from schemas.topics import FIRST_FAILURE_HEADER, REDRIVE_ATTEMPTS_HEADER

_CHUNK_LETTERS: Final = 500
_CHUNK_BYTES: Final = 16_000_000
_POLL_SECONDS: Final = 0.2
_SEND_MILLISECONDS: Final = 60_000
_LAST_REPORTS_SECONDS: Final = 10.0
_REFUSALS: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG}
)
"""What the broker says of one record that it will never take; anything else concerns them all."""
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # so named


class TooScatteredError(HeartstreamError):
    """A selection leaves so many letters between those that it takes that Kafka cannot keep in mind which are done."""


class Left(Enum):
    """Why a selected letter is not redriven; it stays as it is."""

    TRIED_OUT = "failed again after as many redrives as are allowed"
    FOREIGN = "not written by heartstream, or its headers cannot be read"
    ELSEWHERE = "of another topic than the one that is redriven to"
    GONE = "without its value, key or headers, which its source topic no longer holds"
    TOO_OLD = "older than their topic keeps records, so they could go unread: --present-time gives them another time"
    UNDECLARED = "legal, but of a source in another coding: --coding names it"
    UNMARKABLE = "no plain JSON record, or one that names its coding already: --coding cannot be added"
    REFUSED = "not taken by the broker: too large, or its timestamp is not allowed"


class Tally:
    """What was, or would be, done with the selected letters."""

    def __init__(self) -> None:
        self.redriven = 0
        self.codes: Counter[FaultCode] = Counter()
        self.left: Counter[Left] = Counter()

    def note_redriven(self, letter: Letter) -> None:
        """Count a letter that goes back."""
        self.redriven += 1
        self.codes.update(letter.codes)


class Order(msgspec.Struct, frozen=True):
    """What to redrive, and where to: the letters of a selection, at most `limit`, none more than `max_attempts` times.

    `coding` is added to each record as the coding that it is in. With `present_time`, records are sent with the present
    time and not with their own. `oldest_kept` is the timestamp below which the topic's retention would take them away
    unread.
    """

    topic: str
    selection: Selection
    max_attempts: int
    limit: int | None = None
    present_time: bool = False
    oldest_kept: int | None = None
    coding: str | None = None


def reason_to_leave(letter: Letter, order: Order) -> Left | None:
    """Say why a selected letter is not to be sent back, None if it is."""
    if letter.reason is None:
        return Left.FOREIGN
    if letter.reason.source.topic != order.topic:
        return Left.ELSEWHERE
    if letter.attempts >= order.max_attempts:
        return Left.TRIED_OUT
    return _coding_missing(letter, order.coding) or _too_old(letter, order)


def _coding_missing(letter: Letter, coding: str | None) -> Left | None:
    """Say if the letter needs a coding that is not given, or cannot take the one that is."""
    if coding is None:
        return Left.UNDECLARED if FaultCode.FOREIGN_SOURCE in letter.codes else None
    # Of a value that was left out it is found out later.
    if letter.omitted_bytes is None and with_coding(letter.value, coding) is None:
        return Left.UNMARKABLE
    return None


def _too_old(letter: Letter, order: Order) -> Left | None:
    if order.present_time or order.oldest_kept is None or letter.timestamp is None:
        return None
    return Left.TOO_OLD if letter.timestamp < order.oldest_kept else None


def plan(backlog: Backlog, order: Order, seen: Callable[[], None]) -> Tally:
    """Count what `redrive` would do, sending nothing. Whether omitted values can still be had is not looked up."""
    tally = Tally()
    for letter in _to_redrive(backlog, order, tally, seen):
        tally.note_redriven(letter)
    return tally


def _to_redrive(backlog: Backlog, order: Order, tally: Tally, seen: Callable[[], None]) -> Iterator[Letter]:
    """Yield the letters that go back, at most `order.limit`; count those that stay."""
    chosen = 0
    for letter in backlog.waiting():
        seen()
        if not order.selection.takes(letter):
            continue
        if (reason := reason_to_leave(letter, order)) is not None:
            tally.left[reason] += 1
            continue
        yield letter
        chosen += 1
        if chosen == order.limit:
            return


class Redrive:
    """Sends letters of a backlog back. `tally` tells how far it came, also after an error or Ctrl-C."""

    def __init__(self, settings: Settings, backlog: Backlog, originals: Reader, order: Order) -> None:
        self._order = order
        self._backlog = backlog
        self._originals = originals
        config = {"message.timeout.ms": _SEND_MILLISECONDS, **plain_producer_config(settings.kafka), "log_level": 0}
        self._client = Producer(config)
        self._confirmed: list[Letter] = []
        self._refused: list[Letter] = []
        self._failure: KafkaError | None = None
        self.tally = Tally()

    def run(self, seen: Callable[[], None]) -> None:
        """Send what is ordered; returns when the broker has all of it and keeps in mind that it was sent.

        Calls `seen` for each letter that is read: an exception from there ends it while nothing is on its way. Raises
        DependencyError where the broker does not do its part, and TooScatteredError; what was confirmed until then is
        kept in mind.
        """
        for chunk in _chunks(_to_redrive(self._backlog, self._order, self.tally, seen)):
            if not self._backlog.has_room_for(chunk):
                raise TooScatteredError(
                    "the letters that this selection leaves between those that it takes are too scattered to keep "
                    "in mind: redrive with another selection, or without one, before you go on with this"
                )
            self._send(chunk)

    def _send(self, chunk: Iterable[Letter]) -> None:
        """Send letters and wait for the broker. Whatever happens, what it has confirmed is noted."""
        try:
            for letter in chunk:
                self._send_one(letter)
            self._await_reports()
            # The broker's limit is of what is sent together: alone, a letter may fit.
            refused, self._refused = self._refused, []
            for letter in refused:
                self._send_one(letter)
                self._await_reports()
            self.tally.left.update([Left.REFUSED] * len(self._refused))
            self._refused = []
        finally:
            self._await_last_reports()
            confirmed, self._confirmed = self._confirmed, []
            for letter in confirmed:
                self.tally.note_redriven(letter)
            self._backlog.note(confirmed)
        if self._failure is not None:
            raise DependencyError(f"{self._order.topic} did not take a record: {self._failure.name()}")

    def _await_reports(self) -> None:
        while self._client.flush(_POLL_SECONDS):
            pass

    def _await_last_reports(self) -> None:
        """Give what is still on its way, after an interruption, some time to be confirmed; drop the rest."""
        deadline = time.monotonic() + _LAST_REPORTS_SECONDS
        while self._client.flush(_POLL_SECONDS) and time.monotonic() < deadline:
            pass
        if len(self._client):
            self._client.purge()
            self._client.poll(0)

    def _send_one(self, letter: Letter) -> None:
        original = self._original(letter)
        if original is None:
            self.tally.left[Left.GONE] += 1
            return
        value = original.value
        if self._order.coding is not None and (value := with_coding(value, self._order.coding)) is None:
            self.tally.left[Left.UNMARKABLE] += 1
            return
        options: dict[str, Any] = {}
        if not self._order.present_time:
            options["timestamp"] = NO_TIMESTAMP if original.timestamp is None else original.timestamp
        while True:
            try:
                self._client.produce(
                    self._order.topic,
                    value,
                    original.key,
                    headers=[*original.headers, *_redrive_headers(letter)],
                    on_delivery=lambda error, _: self._hear(letter, error),
                    **options,
                )
            except BufferError:
                self._client.poll(_POLL_SECONDS)
            except KafkaException as failure:
                self._hear(letter, failure.args[0])
                return
            else:
                return

    def _hear(self, letter: Letter, error: KafkaError | None) -> None:
        """Take in what the broker says of one record."""
        if error is None:
            self._confirmed.append(letter)
        elif error.code() in _REFUSALS:
            self._refused.append(letter)
        elif error.code() not in _PURGED:
            self._failure = error

    def _original(self, letter: Letter) -> Letter | None:
        """Return what the letter's record was: the letter itself, or, where some of it was left out, its source."""
        if letter.is_whole or letter.reason is None:
            return letter
        message = self._originals.fetch(letter.reason.source)
        if message is None or not _is_of(letter, message):
            return None
        own = Letter.of(message)
        return msgspec.structs.replace(letter, key=own.key, value=own.value, headers=own.headers)


def _is_of(letter: Letter, message: Message) -> bool:
    """Say whether a record is the letter's, as far as the letter can tell: a topic may have been made anew."""
    value = message.value()
    fits = letter.value == value if letter.omitted_bytes is None else letter.omitted_bytes == len(value or b"")
    return fits and (letter.lacks_key or letter.key == message.key())


def _redrive_headers(letter: Letter) -> list[tuple[str, bytes | None]]:
    first = letter.first_failure or (letter.reason.source if letter.reason else None)
    counted: list[tuple[str, bytes | None]] = [(REDRIVE_ATTEMPTS_HEADER, str(letter.attempts + 1).encode())]
    return [*counted, (FIRST_FAILURE_HEADER, encode_source(first))] if first else counted


def _chunks(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """Group letters into chunks that are confirmed together."""
    chunk: list[Letter] = []
    size = 0
    for letter in letters:
        chunk.append(letter)
        size += letter.omitted_bytes or len(letter.value or b"")
        if len(chunk) == _CHUNK_LETTERS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
