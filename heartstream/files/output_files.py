"""Output files that get their final names when they are complete, and a journal to resume from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from heartstream.files.formats import PIPE, Compress, Content, Format, compression_of, compressor
from heartstream.files.output_paths import FILE_MODE, journal_path, new_journal_path, open_locked, partial_path
from heartstream.files.tally import Tally
from schemas.errors import DependencyError, HeartstreamError, SettingsError
from schemas.read_options import ReadOptions
from schemas.records import Details, ModelRef


class Job(msgspec.Struct, frozen=True):
    """Everything that the results depend on: an interrupted run is resumed only if it is unchanged."""

    source_bytes: int
    source_modified_ns: int
    format: Format
    model: ModelRef
    engine: str
    details: Details
    batching: int = 1
    coding: str | None = None
    options: ReadOptions = ReadOptions()


class Journal(msgspec.Struct, frozen=True):
    """The progress of a run: batches read, rows counted, and the sizes of the files at that point."""

    job: Job
    batches: int = 0
    tally: Tally = Tally()
    scores_bytes: int = 0
    errors_bytes: int = 0


class Sink(Protocol):
    """A destination for bytes."""

    size: int

    def write(self, part: Content) -> None:
        """Write all of it; `part` must stay valid until the next call returns. Raises DependencyError."""
        ...

    def sync(self) -> None:
        """Flush to disk, if it is a file."""
        ...


class StandardOutput:
    """Standard output."""

    size = 0

    def write(self, part: Content) -> None:
        """Write and flush. Raises BrokenPipeError if the reader has closed the pipe."""
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()

    def sync(self) -> None:
        """Do nothing: a pipe is not on disk."""


class NullSink:
    """Discards everything."""

    size = 0

    def write(self, part: Content) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""


class PartialFile:
    """A file beside the final one, `NAME.partial`, of which the first `size` bytes are kept.

    A thread compresses and writes one part while the next is scored; the next call raises its errors.
    """

    def __init__(self, path: Path, size: int, compress: Compress, closing: ExitStack) -> None:
        """Open it and truncate it to `size`. Raises DependencyError and SettingsError."""
        self.path, self.size = path, size
        self.partial = partial_path(path)
        self._compress = compress
        with _writable(self.partial):
            self._file: BinaryIO = closing.enter_context(open_locked(path, create=not size))
            if os.fstat(self._file.fileno()).st_size < size:
                raise SettingsError((f"{self.partial} is shorter than its journal says: --force starts over",))
            self._file.truncate(size)
            self._file.seek(size)
        self._thread = closing.enter_context(ThreadPoolExecutor(1))
        self._writing: Future[None] | None = None

    def write(self, part: Content) -> None:
        """Schedule a part for writing after the previous one. Raises DependencyError."""
        self._wait()
        if part:
            self._writing = self._thread.submit(self._write, part)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _write(self, part: Content) -> None:
        rest = memoryview(self._compress(part))
        self.size += len(rest)
        with _writable(self.partial):
            while rest:
                rest = rest[self._file.write(rest) or 0 :]

    def sync(self) -> None:
        """Flush to disk; afterwards, `size` is exact."""
        self._wait()
        with _writable(self.partial):
            os.fsync(self._file.fileno())


class Output:
    """The files of one run: scores, errors and journal. Without a journal to start from, none is written."""

    def __init__(
        self, scores: Path, errors: Path | None, start: Journal | None, compress: Compress, closing: ExitStack
    ) -> None:
        """Start, or resume at `start`; `compress` applies to the scores. Raises DependencyError and SettingsError."""
        self._final, self._start = scores, start
        kept = (start.scores_bytes, start.errors_bytes) if start else (0, 0)
        self.scores: Sink = StandardOutput() if scores == PIPE else PartialFile(scores, kept[0], compress, closing)
        self.errors: Sink = NullSink()
        if errors is not None:
            try:
                self.errors = PartialFile(errors, kept[1], compressor(compression_of(errors)), closing)
            except HeartstreamError:
                if not kept[0]:
                    self.discard()
                raise

    def checkpoint(self, batches: int, tally: Tally) -> None:
        """Write the journal, after flushing the files that it describes. Raises DependencyError."""
        if self._start is None:
            return
        self.scores.sync()
        self.errors.sync()
        journal = Journal(self._start.job, batches, tally, self.scores.size, self.errors.size)
        path, new = journal_path(self._final), new_journal_path(self._final)
        with _writable(path):
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
                file.write(msgspec.json.encode(journal))
            new.replace(path)

    def discard(self) -> None:
        """Delete what was written. Raises DependencyError."""
        for sink in (self.errors, self.scores):
            sink.sync()
            if isinstance(sink, PartialFile):
                with _writable(sink.partial):
                    sink.partial.unlink()
        if self._start is not None:
            journal_path(self._final).unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the files their final names; an empty errors file is deleted. Raises DependencyError."""
        for sink in (self.errors, self.scores):
            sink.sync()
            if isinstance(sink, PartialFile):
                with _writable(sink.path):
                    sink.partial.replace(sink.path)
        if isinstance(self.errors, PartialFile) and not self.errors.size:
            self.errors.path.unlink()
        if self._start is not None:
            journal_path(self._final).unlink(missing_ok=True)


def read_journal(scores: Path, job: Job) -> Journal:
    """Return the progress of an interrupted run of the same job, none if there was no run. Raises SettingsError."""
    path = journal_path(scores)
    try:
        journal = msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return Journal(job)
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError((f"{path} is not a journal of heartstream: --force starts over",)) from error
    if journal.job != job:
        raise SettingsError((f"{path} belongs to another input, model, settings or version: --force starts over",))
    return journal


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DependencyError(f"cannot write {path}: {error.strerror}") from error
