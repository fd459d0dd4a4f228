"""The work of `heartstream dlq`: from settings and options to output and exit code."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from heartstream.operations.dlq import render
from heartstream.operations.dlq.backlog import GROUP, Backlog
from heartstream.operations.dlq.dead_letters import DeadLetterRecord, Selection
from heartstream.operations.dlq.filters import parse_position, selection
from heartstream.operations.dlq.redrive import Redrive, RedriveRequest, Tally, plan
from heartstream.operations.dlq.retention import oldest_retained
from heartstream.terminal.exit_codes import BAD_USAGE, FAILED
from heartstream.terminal.progress import ProgressCounter
from heartstream.terminal.signals import deferred_interrupts
from heartstream.terminal.tables import print_wrapped, terminal_width
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.errors import DependencyError, RejectionCode
from schemas.records import Source
from scoring.model_artifact import load

_OFFSET_WIDTH: Final = 9


class ListOptions(msgspec.Struct, frozen=True):
    """Options of `list`."""

    waiting: bool
    limit: int | None
    with_key: bool
    as_json: bool


def read_selection(codes: Iterable[RejectionCode], since: str | None, until: str | None, key: str | None) -> Selection:
    """Parse the filters; exits with code 2 for an invalid time."""
    try:
        return selection(codes, since, until, key, datetime.now(UTC))
    except ValueError as error:
        _exit(str(error), BAD_USAGE)


def list_letters(wanted: Selection, form: ListOptions) -> None:
    """Print the matching letters."""
    settings = Settings.from_mapping(os.environ)
    count, codes = 0, Counter[RejectionCode]()
    with Reader.open(settings, GROUP) as reader:
        backlog = Backlog.of(reader, settings.topics.dead_letters)
        write = _writer(settings, backlog, form)
        letters = backlog.waiting() if form.waiting else backlog.all_letters()
        with ProgressCounter(backlog.size) as progress:
            for letter in letters:
                progress.advance()
                if wanted.matches(letter):
                    progress.clear()
                    write(letter)
                    count += 1
                    codes.update(letter.codes)
                if count == form.limit:
                    break
        sys.stdout.flush()
        sys.stderr.write(render.lines((render.letters_text(count), *render.code_lines(codes))))


def _writer(settings: Settings, backlog: Backlog, form: ListOptions) -> Callable[[DeadLetterRecord], None]:
    """Return a function that prints one letter, for a table with its head before the first."""
    if form.as_json:

        def write_json(letter: DeadLetterRecord) -> None:
            redriven = backlog.is_redriven(letter)
            sys.stdout.write(render.json_line(letter, redriven=redriven, with_key=form.with_key) + "\n")

        return write_json
    table = render.Table(
        width=terminal_width(),
        with_key=form.with_key,
        position_width=_OFFSET_WIDTH,
        source_width=len(settings.topics.patients) + 1 + _OFFSET_WIDTH,
    )
    heads = [table.head]

    def write_row(letter: DeadLetterRecord) -> None:
        texts = [*heads, table.row(letter, redriven=backlog.is_redriven(letter))]
        heads.clear()
        sys.stdout.write(render.lines(texts))

    return write_row


def show(position: str, *, with_value: bool, as_json: bool) -> None:
    """Print one letter."""
    settings = Settings.from_mapping(os.environ)
    try:
        topic, partition, offset = parse_position(position, settings.topics.dead_letters)
    except ValueError as error:
        _exit(str(error), BAD_USAGE)
    with Reader.open(settings, GROUP) as reader:
        backlog = Backlog.of(reader, topic)
        message = reader.fetch(Source(topic, partition, offset))
        if message is None:
            _exit(f"there is no dead letter at {topic}:{partition}:{offset}", FAILED)
        letter = DeadLetterRecord.of(message)
        redriven = backlog.is_redriven(letter)
        if as_json:
            texts = [render.json_line(letter, redriven=redriven, with_key=with_value, with_value=with_value)]
        else:
            shown = render.letter_lines(letter, topic, redriven=redriven, with_value=with_value)
            texts = [render.escaped(text) for text in shown]
        sys.stdout.write(render.lines(texts))
        sys.stdout.flush()


class RedriveOptions(msgspec.Struct, frozen=True):
    """Options of `redrive`."""

    max_attempts: int
    limit: int | None
    present_time: bool
    dry_run: bool
    yes: bool
    coding: str | None = None
    model: Path | None = None


def redrive(wanted: Selection, form: RedriveOptions) -> None:
    """Redrive letters after confirmation; print the counts. Raises SettingsError if the model has no such coding."""
    if not (form.dry_run or form.yes or sys.stdin.isatty()):
        _exit("no terminal to confirm on: give --yes, or --dry-run to see what would be sent", BAD_USAGE)
    settings = Settings.from_mapping(os.environ)
    if form.coding is not None:
        # A record that names a coding keeps it: one that does not exist could not be fixed by another redrive.
        artifact = load(form.model or Path(settings.model.path), None, settings.model.key())
        artifact.table.check_coding(form.coding)
    with Reader.open(settings, GROUP) as reader, Reader.open(settings) as originals:
        backlog = Backlog.of(reader, settings.topics.dead_letters)
        originals.ranges(settings.topics.patients)  # a producer would create a missing topic
        request = _request(settings, wanted, form)
        if form.dry_run or not form.yes:
            planned = _plan(backlog, request)
            if form.dry_run or not planned.redriven:
                return
            _confirm(planned, settings)
        _run(Redrive(settings, backlog, originals, request), backlog)


def _request(settings: Settings, wanted: Selection, form: RedriveOptions) -> RedriveRequest:
    topic = settings.topics.patients
    try:
        oldest = oldest_retained(settings, topic, int(time.time() * 1000))
    except DependencyError as error:
        sys.stderr.write(f"heartstream: {error}: old records may be deleted before they are scored\n")
        oldest = None
    return RedriveRequest(topic, wanted, form.max_attempts, form.limit, form.present_time, oldest, form.coding)


def _plan(backlog: Backlog, request: RedriveRequest) -> Tally:
    """Count what would be redriven, and print it."""
    with ProgressCounter(backlog.size) as progress:
        planned = plan(backlog, request, progress.advance)
    _print_tally(planned, "to redrive:")
    return planned


def _run(work: Redrive, backlog: Backlog) -> None:
    """Redrive; print the counts, also when interrupted."""
    try:
        with deferred_interrupts() as check, ProgressCounter(backlog.size) as progress:

            def seen() -> None:
                check()
                progress.advance()

            work.run(seen)
            check()
    finally:
        _print_tally(work.tally, "redriven:")


def _print_tally(tally: Tally, verb: str) -> None:
    for line in render.tally_lines(tally, verb):
        print_wrapped(line, "  ")


def _confirm(planned: Tally, settings: Settings) -> None:
    """Ask for confirmation; exits with code 1 if declined."""
    worker, count = settings.worker, planned.redriven
    if count > worker.rejection_window_records * worker.rejection_limit_ratio:
        sys.stderr.write(
            "If this many fail again, the worker may stop: its rejection limit. Start with a small --limit.\n"
        )
    sys.stderr.write(f"Send {render.letters_text(count)} back to {settings.topics.patients}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        _exit("declined: nothing was sent", FAILED)


def _exit(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"heartstream: {text}\n")
    raise SystemExit(code)
