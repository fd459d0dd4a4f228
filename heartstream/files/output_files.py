"""Output files that have their final names only when they are complete, and a journal from which to go on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from heartstream.files.formats import PIPE, Content, Format, Pack, compression_of, compressor
from heartstream.files.output_paths import FILE_MODE, journal_of, new_journal_of, open_locked, partial_of
from heartstream.files.tally import Tally
from schemas.errors import DependencyError, HeartstreamError, SettingsError
from schemas.reading import ReadOptions
from schemas.records import Details, ModelRef


class Job(msgspec.Struct, frozen=True):
    """All that the results depend on: an interrupted run is gone on with only where this is as it was."""

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
    """How far a run has come: what was read and counted, and how large the files were then."""

    job: Job
    batches: int = 0
    tally: Tally = Tally()
    scores_bytes: int = 0
    errors_bytes: int = 0


class Sink(Protocol):
    """Where bytes go."""

    size: int

    def write(self, part: Content) -> None:
        """Write all of it, until the next call returns; raises DependencyError."""
        ...

    def sync(self) -> None:
        """Have it on the disk, where it is one."""
        ...


class Pipe:
    """Standard output."""

    size = 0

    def write(self, part: Content) -> None:
        """Write, and pass it on at once. Raises BrokenPipeError where nobody reads any more."""
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()

    def sync(self) -> None:
        """Do nothing: a pipe keeps nothing."""


class Nowhere:
    """What nobody wants to have."""

    size = 0

    def write(self, part: Content) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""


class PartialFile:
    """A file beside the final one: `NAME.partial`, of which the first `size` bytes are kept.

    A thread packs and writes one part while the next is made; what goes wrong there is raised by the next call.
    """

    def __init__(self, path: Path, size: int, pack: Pack, closing: ExitStack) -> None:
        """Open it and cut off what is beyond `size`. Raises DependencyError and SettingsError."""
        self.path, self.size = path, size
        self.partial = partial_of(path)
        self._pack = pack
        with _writable(self.partial):
            self._file: BinaryIO = closing.enter_context(open_locked(path, create=not size))
            if os.fstat(self._file.fileno()).st_size < size:
                raise SettingsError((f"{self.partial} is shorter than its journal says: --force begins anew",))
            self._file.truncate(size)
            self._file.seek(size)
        self._thread = closing.enter_context(ThreadPoolExecutor(1))
        self._writing: Future[None] | None = None

    def write(self, part: Content) -> None:
        """Have all of it written, once the part before is; raises DependencyError."""
        self._wait()
        if part:
            self._writing = self._thread.submit(self._write, part)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _write(self, part: Content) -> None:
        rest = memoryview(self._pack(part))
        self.size += len(rest)
        with _writable(self.partial):
            while rest:
                rest = rest[self._file.write(rest) or 0 :]

    def sync(self) -> None:
        """Have it on the disk; `size` is right then."""
        self._wait()
        with _writable(self.partial):
            os.fsync(self._file.fileno())


class Output:
    """The files of one run: scores, errors and journal. Without a journal to start from, none is kept."""

    def __init__(
        self, scores: Path, errors: Path | None, start: Journal | None, pack: Pack, closing: ExitStack
    ) -> None:
        """Begin, or go on where `start` says; `pack` is for the scores. Raises DependencyError and SettingsError."""
        self._final, self._start = scores, start
        kept = (start.scores_bytes, start.errors_bytes) if start else (0, 0)
        self.scores: Sink = Pipe() if scores == PIPE else PartialFile(scores, kept[0], pack, closing)
        self.errors: Sink = Nowhere()
        if errors is not None:
            try:
                self.errors = PartialFile(errors, kept[1], compressor(compression_of(errors)), closing)
            except HeartstreamError:
                if not kept[0]:
                    self.discard()
                raise

    def note(self, batches: int, tally: Tally) -> None:
        """Write down how far the run has come, once what was written is on the disk. Raises DependencyError."""
        if self._start is None:
            return
        self.scores.sync()
        self.errors.sync()
        journal = Journal(self._start.job, batches, tally, self.scores.size, self.errors.size)
        path, new = journal_of(self._final), new_journal_of(self._final)
        with _writable(path):
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
                file.write(msgspec.json.encode(journal))
            new.replace(path)

    def discard(self) -> None:
        """Take away what was written: nothing of it may be used. Raises DependencyError."""
        for sink in (self.errors, self.scores):
            sink.sync()
            if isinstance(sink, PartialFile):
                with _writable(sink.partial):
                    sink.partial.unlink()
        if self._start is not None:
            journal_of(self._final).unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the files their final names; a file of errors without any is taken away. Raises DependencyError."""
        for sink in (self.errors, self.scores):
            sink.sync()
            if isinstance(sink, PartialFile):
                with _writable(sink.path):
                    sink.partial.replace(sink.path)
        if isinstance(self.errors, PartialFile) and not self.errors.size:
            self.errors.path.unlink()
        if self._start is not None:
            journal_of(self._final).unlink(missing_ok=True)


def read_journal(scores: Path, job: Job) -> Journal:
    """Read where an interrupted run of the same job stopped; its beginning if there was none. Raises SettingsError."""
    path = journal_of(scores)
    try:
        journal = msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return Journal(job)
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError((f"{path} is no journal of this program: --force begins anew",)) from error
    if journal.job != job:
        raise SettingsError((f"{path} is of another input, model, settings or version: --force begins anew",))
    return journal


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DependencyError(f"cannot write {path}: {error.strerror}") from error
