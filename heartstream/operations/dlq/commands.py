"""The work of `heartstream dlq`: from settings and choices to what is printed, and the exit code."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NoReturn

import msgspec

from heartstream.operations.dlq import render
from heartstream.operations.dlq.backlog import GROUP, Backlog
from heartstream.operations.dlq.dead_letters import Letter, Selection
from heartstream.operations.dlq.filters import parse_position, selection
from heartstream.operations.dlq.redrive import Order, Redrive, Tally, plan
from heartstream.operations.dlq.retention import oldest_kept
from heartstream.terminal.exit_codes import BAD_USAGE, FAILED
from heartstream.terminal.interruption import held_back
from heartstream.terminal.progress import Meter
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.errors import DependencyError, FaultCode
from schemas.records import Source

_OFFSET_WIDTH: Final = 9


class ListForm(msgspec.Struct, frozen=True):
    """How `list` prints, and how much."""

    waiting: bool
    limit: int | None
    with_key: bool
    as_json: bool


def selection_of(codes: Iterable[FaultCode], since: str | None, until: str | None, key: str | None) -> Selection:
    """Read the filters; exits with code 2 where a time cannot be read."""
    try:
        return selection(codes, since, until, key, datetime.now(UTC))
    except ValueError as error:
        _refuse(str(error), BAD_USAGE)


def list_letters(wanted: Selection, form: ListForm) -> None:
    """Print the letters that are wanted."""
    settings = Settings.from_mapping(os.environ)
    count, codes = 0, Counter[FaultCode]()
    with Reader.open(settings, GROUP) as reader:
        backlog = Backlog.of(reader, settings.topics.dead_letters)
        write = _writer(settings, backlog, form)
        letters = backlog.waiting() if form.waiting else backlog.all_letters()
        with Meter(backlog.size) as meter:
            for letter in letters:
                meter.seen()
                if wanted.takes(letter):
                    meter.clear()
                    write(letter)
                    count += 1
                    codes.update(letter.codes)
                if count == form.limit:
                    break
        sys.stdout.flush()
        sys.stderr.write(render.lines((render.letters_text(count), *render.tell_codes(codes))))


def _writer(settings: Settings, backlog: Backlog, form: ListForm) -> Callable[[Letter], None]:
    """Return what prints one letter; the first one of a table brings the table's head."""
    if form.as_json:

        def write_json(letter: Letter) -> None:
            redriven = backlog.is_redriven(letter)
            sys.stdout.write(render.json_line(letter, redriven=redriven, with_key=form.with_key) + "\n")

        return write_json
    table = render.Table(
        aligned=sys.stdout.isatty(),
        with_key=form.with_key,
        position_width=_OFFSET_WIDTH,
        source_width=len(settings.topics.patients) + 1 + _OFFSET_WIDTH,
    )
    heads = [table.head]

    def write_row(letter: Letter) -> None:
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
        _refuse(str(error), BAD_USAGE)
    with Reader.open(settings, GROUP) as reader:
        backlog = Backlog.of(reader, topic)
        message = reader.fetch(Source(topic, partition, offset))
        if message is None:
            _refuse(f"no dead letter stands at {topic}:{partition}:{offset}", FAILED)
        letter = Letter.of(message)
        redriven = backlog.is_redriven(letter)
        if as_json:
            texts = [render.json_line(letter, redriven=redriven, with_key=with_value, with_value=with_value)]
        else:
            told = render.tell_letter(letter, topic, redriven=redriven, with_value=with_value)
            texts = [render.plain(text) for text in told]
        sys.stdout.write(render.lines(texts))
        sys.stdout.flush()


class RedriveForm(msgspec.Struct, frozen=True):
    """How to redrive, and how much."""

    max_attempts: int
    limit: int | None
    present_time: bool
    dry_run: bool
    yes: bool
    coding: str | None = None


def redrive(wanted: Selection, form: RedriveForm) -> None:
    """Send letters back, after asking; print what was done."""
    if not (form.dry_run or form.yes or sys.stdin.isatty()):
        _refuse("there is no terminal to ask on: give --yes, or --dry-run to see what would be sent", BAD_USAGE)
    settings = Settings.from_mapping(os.environ)
    with Reader.open(settings, GROUP) as reader, Reader.open(settings) as originals:
        backlog = Backlog.of(reader, settings.topics.dead_letters)
        originals.spans(settings.topics.patients)  # a producer would make a topic that is not there
        order = _order(settings, wanted, form)
        if form.dry_run or not form.yes:
            planned = _planned(backlog, order)
            if form.dry_run or not planned.redriven:
                return
            _ask(planned, settings)
        _carry_out(Redrive(settings, backlog, originals, order), backlog)


def _order(settings: Settings, wanted: Selection, form: RedriveForm) -> Order:
    topic = settings.topics.patients
    try:
        oldest = oldest_kept(settings, topic, int(time.time() * 1000))
    except DependencyError as error:
        sys.stderr.write(f"heartstream: {error}: records older than that could be deleted before they are scored\n")
        oldest = None
    return Order(topic, wanted, form.max_attempts, form.limit, form.present_time, oldest, form.coding)


def _planned(backlog: Backlog, order: Order) -> Tally:
    """Find out what would be done, and print it."""
    with Meter(backlog.size) as meter:
        planned = plan(backlog, order, meter.seen)
    sys.stdout.write(render.lines(render.tell_tally(planned, "to redrive:")))
    sys.stdout.flush()
    return planned


def _carry_out(work: Redrive, backlog: Backlog) -> None:
    """Do it; print how far it came, also where it is interrupted."""
    try:
        with held_back() as check, Meter(backlog.size) as meter:

            def seen() -> None:
                check()
                meter.seen()

            work.run(seen)
            check()
    finally:
        sys.stdout.write(render.lines(render.tell_tally(work.tally, "redriven:")))
        sys.stdout.flush()


def _ask(planned: Tally, settings: Settings) -> None:
    """Ask whether to go on; exits with code 1 if not."""
    worker, count = settings.worker, planned.redriven
    if count > worker.rejection_window_records * worker.rejection_limit_share:
        sys.stderr.write("If so many fail again, the worker may stop: its limit of rejections. Try a --limit first.\n")
    sys.stderr.write(f"Send {render.letters_text(count)} back to {settings.topics.patients}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        _refuse("declined: nothing was sent", FAILED)


def _refuse(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"heartstream: {text}\n")
    raise SystemExit(code)
