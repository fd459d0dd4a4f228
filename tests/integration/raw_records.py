"""Produces records as only a badly behaved client does: with header names that are not UTF-8.

aiokafka's compiled part requires text, so a process of its own runs this with the pure Python part.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence

import msgspec

from schemas.records import Source

RawHeaders = Sequence[tuple[bytes, bytes | None]]


class RawRecord(msgspec.Struct, frozen=True):
    """A record's exact bytes."""

    key: bytes | None
    value: bytes | None
    headers: RawHeaders


class _Name(str):
    """A header name that is encoded as the bytes in its Base64 text."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b64decode(str(self))


def send_raw(address: str, topic: str, records: Sequence[RawRecord]) -> list[Source]:
    """Produce records in order to partition 0; return the position of each."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, address, topic],
        input=msgspec.json.encode(records),
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=list[Source])


async def _send(address: str, topic: str, records: Sequence[RawRecord]) -> list[Source]:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415  # not where the tests run

    producer = AIOKafkaProducer(bootstrap_servers=address, max_request_size=50_000_000, request_timeout_ms=120_000)
    await producer.start()
    try:
        places = []
        for record in records:
            headers = [(_Name(b64encode(name).decode()), value) for name, value in record.headers]
            place = await producer.send_and_wait(topic, record.value, record.key, partition=0, headers=headers)
            places.append(Source(place.topic, place.partition, place.offset))
        return places
    finally:
        await producer.stop()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=list[RawRecord])
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_send(sys.argv[1], sys.argv[2], given))))
