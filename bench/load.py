"""The input of the stream benchmark: real patients' records on a topic, and topics made and removed."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported, says its guide

from bench.uci import UCI, as_matrix, blank_missing, legal_rows
from heartstream.demo.patients import real_patients
from runtime.kafka.topics import create_topics
from schemas.records import PatientRecord

PARTITIONS: Final = 4
SEED: Final = 1988
_FLUSH_SECONDS: Final = 120.0
_CALL_SECONDS: Final = 10.0
_HOLD_MILLISECONDS: Final = 600_000

Fields = Mapping[str, object]
"""A patient record without its id."""


def tell(text: str) -> None:
    """Write one line of progress to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def legal_patients() -> list[PatientRecord]:
    """Return the patients of the snapshot that can be scored, shuffled the same way each time."""
    patients = [msgspec.convert(record, UCI.records.type, strict=False) for record in real_patients()]
    matrix = as_matrix(patients)
    blank_missing(matrix)
    legal = [patient for patient, ok in zip(patients, legal_rows(matrix).tolist(), strict=True) if ok]
    random.Random(SEED).shuffle(legal)  # noqa: S311  # for variety, not for secrets
    return legal


def records(count: int, patients: Sequence[Fields] | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of `count` records: the patients in turn, each with an id of its own; by default UCI's."""
    encode = msgspec.json.Encoder().encode
    patients = patients or _uci_patients()
    for number in range(count):
        patient_id = f"p-{number:07}"
        yield patient_id.encode(), encode({"patient_id": patient_id, **patients[number % len(patients)]})


def _uci_patients() -> list[Fields]:
    return [
        plain({name: value for name, value in msgspec.structs.asdict(each).items() if name in UCI.table.by_name})
        for each in legal_patients()
    ]


def plain(fields: Fields) -> Fields:
    """Return the fields with whole numbers without a point, as real producers write them."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in fields.items()
    }


def fill(
    address: str, topic: str, count: int, partitions: int = PARTITIONS, patients: Sequence[Fields] | None = None
) -> int:
    """Make a topic and put `count` records on it; returns their mean size in bytes. Raises OSError if that fails."""
    create_topics(address, [topic], partitions, {})
    producer = Producer(_producer_config(address))
    size = _produce(producer, topic, records(count, patients))
    if producer.flush(_FLUSH_SECONDS):
        raise OSError("the broker did not take the input in time")
    return round(size / max(count, 1))


class HeldInput:
    """Records that lie on a topic, and that no read_committed consumer sees until they are released, all at once."""

    def __init__(self, address: str, topic: str, count: int, partitions: int) -> None:
        """Make the topic and put the records on it. Raises OSError if that fails."""
        create_topics(address, [topic], partitions, {})
        options = {"transactional.id": topic, "transaction.timeout.ms": _HOLD_MILLISECONDS}
        self._producer = Producer(_producer_config(address) | options)
        self._producer.init_transactions(_FLUSH_SECONDS)
        self._producer.begin_transaction()
        _produce(self._producer, topic, records(count))
        if self._producer.flush(_FLUSH_SECONDS):
            raise OSError("the broker did not take the input in time")

    def release(self) -> None:
        """Commit the transaction that they were written in; it leaves a marker at the end of each partition."""
        self._producer.commit_transaction(_FLUSH_SECONDS)


def _producer_config(address: str) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": address,
        "enable.idempotence": True,
        "linger.ms": 20,
        "partitioner": "murmur2_random",
        "log_level": 2,
    }


def _produce(producer: Producer, topic: str, sent: Iterable[tuple[bytes, bytes]]) -> int:
    """Queue records; returns the size of their values."""
    size = 0
    for key, value in sent:
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, key)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    return size


def create_outputs(address: str, names: Sequence[str], partitions: int) -> None:
    """Make topics whose records bear the time at which the broker took them."""
    config = {"message.timestamp.type": "LogAppendTime"}
    topics = [NewTopic(name, num_partitions=partitions, config=config) for name in names]
    admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
    for creation in admin.create_topics(topics, operation_timeout=_CALL_SECONDS).values():
        creation.result(_CALL_SECONDS)


def remove_topics(address: str, names: Sequence[str]) -> None:
    """Delete topics, so that a broker of someone else's is left as it was."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
    for deletion in admin.delete_topics(list(names), operation_timeout=_CALL_SECONDS).values():
        deletion.exception(_CALL_SECONDS)
