"""What worker.kafka relies on in a Kafka producer: the same laws for the simulated Kafka and a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from tests.integration.kafkas import Kafka, Reader, Writer, at, law, publish, reader_of, until

_ABORTABLE: Final = (False, False, True)
_FATAL: Final = (True, False, False)
_PLAIN: Final = (False, False, False)


def refusal(call: Callable[..., object], *args: Any, **options: Any) -> tuple[int, tuple[bool, bool, bool]]:
    """Return the error that a call raises: its code, and whether it is fatal, retriable, or requires an abort."""
    with pytest.raises(KafkaException) as raised:
        call(*args, **options)
    error = raised.value.args[0]
    return error.code(), (error.fatal(), error.retriable(), error.txn_requires_abort())


def stored(kafka: Kafka) -> tuple[int, int | None]:
    """Return the group's offset of the first partition and its error code, both as the admin client returns them."""
    admin = kafka.admin()  # it must outlive its futures
    request = ConsumerGroupTopicPartitions(kafka.group, [TopicPartition(kafka.topic, 0)])
    futures = admin.list_consumer_group_offsets([request], require_stable=True, request_timeout=30)
    (position,) = futures[kafka.group].result(30).topic_partitions
    return position.offset, None if position.error is None else position.error.code()


def send_offset(kafka: Kafka, writer: Writer, offset: int, group: Any) -> None:
    writer.client.send_offsets_to_transaction(at(kafka, offset), group, 30)


def retry_until_committed(writer: Writer, value: bytes) -> list[int]:
    """Repeat a transaction of one record until it is committed; return the codes of the errors before."""
    codes = []
    while len(codes) < 5:
        writer.client.begin_transaction()
        writer.send(0, value)
        try:
            writer.client.commit_transaction(30)
        except KafkaException as failure:
            error = failure.args[0]
            assert error.txn_requires_abort(), error
            codes.append(error.code())
            writer.client.abort_transaction(30)
        else:
            break
    return codes


# Delivery reports.


@law
def test_each_record_is_reported_once_in_order_and_in_a_call(kafka: Kafka) -> None:
    """Delivery reports are called from `flush` only, once per record, in each partition's order."""
    kafka.create(2)
    writer = Writer(kafka.producer, kafka.topic)
    for number in range(20):
        writer.send(number % 2, b"%d" % number)
    publish(kafka, 0, b"meanwhile")
    assert writer.reports == []
    assert len(writer.client) >= 20
    assert writer.client.flush(30) == 0
    for partition in (0, 1):
        ours = [report for report in writer.reports if report[0] == partition]
        assert ours == [(partition, b"%d" % number, None) for number in range(partition, 20, 2)]


@law
def test_purged_records_are_reported_as_purged(kafka: Kafka) -> None:
    """The next `poll` after a purge reports each record with the purge error."""
    kafka.create(1)
    writer = Writer(kafka.producer, kafka.topic)
    writer.send(0, b"0", b"1", b"2")
    writer.client.purge()
    assert writer.reports == []
    assert len(writer.client) > 0
    writer.client.poll(0)
    assert sorted(writer.reports) == [(0, b"%d" % number, KafkaError._PURGE_QUEUE) for number in range(3)]
    assert len(writer.client) == 0


@law
def test_with_only_errors_reported_a_refused_record_is_reported(kafka: Kafka) -> None:
    """With `delivery.report.only.error`, a record too large for the topic is reported, and delivered ones are not."""
    kafka.create(1, most_bytes=1_000)
    writer = Writer(kafka.producer, kafka.topic, **{"delivery.report.only.error": True})
    for value, reports in ((b"small", 0), (b"x" * 2_000, 1), (b"small", 1)):
        writer.send(0, value)
        assert writer.client.flush(30) == 0
        assert writer.reports == [(0, b"x" * 2_000, KafkaError.MSG_SIZE_TOO_LARGE)][:reports]


@law
def test_a_record_that_cannot_be_sent_in_time_is_reported_as_timed_out(kafka: Kafka) -> None:
    """A record is reported with _MSG_TIMED_OUT after `message.timeout.ms` without a broker."""
    kafka.create(1)
    writer = Writer(kafka.cut_off_producer, kafka.topic, **{"message.timeout.ms": 1_000})
    writer.send(0, b"late")
    assert writer.client.flush(30) == 0
    assert writer.reports == [(0, b"late", KafkaError._MSG_TIMED_OUT)]


# Transactions.


@law
def test_calls_in_the_wrong_transaction_state_are_refused(kafka: Kafka) -> None:
    """A call out of order raises a state error that is neither fatal nor retriable, and needs no abort."""
    kafka.create(1)
    client = kafka.producer(**{"transactional.id": kafka.topic})
    state = KafkaError._STATE, _PLAIN
    assert refusal(client.begin_transaction) == state
    client.init_transactions(30)
    assert refusal(client.produce, kafka.topic, b"outside", partition=0) == state
    assert refusal(client.commit_transaction, 30) == state
    assert refusal(client.abort_transaction, 30) == state
    client.begin_transaction()
    assert refusal(client.begin_transaction) == state
    client.commit_transaction(30)


@law
def test_records_and_offsets_of_a_transaction_appear_on_commit(kafka: Kafka) -> None:
    """Until the commit, records are invisible, and the offset is unstable for clients with read_committed."""
    reader = reader_of(kafka, 2)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    for partition in (0, 1):
        writer.send(partition, b"result")
    send_offset(kafka, writer, 5, reader.consumer.consumer_group_metadata())
    assert writer.client.flush(30) == 0
    places = [TopicPartition(kafka.topic, partition) for partition in (0, 1)]
    for place in places:
        until(kafka, lambda place=place: reader.consumer.get_watermark_offsets(place, cached=True) == (0, 1), reader)
    assert reader.values == []
    assert stored(kafka) == (OFFSET_INVALID, KafkaError.UNSTABLE_OFFSET_COMMIT)
    assert refusal(reader.consumer.committed, places, timeout=1) == (KafkaError._TIMED_OUT, _PLAIN)
    careless = kafka.consumer(**{"isolation.level": "read_uncommitted"})
    assert [each.offset for each in careless.committed(places, timeout=30)] == [OFFSET_INVALID, OFFSET_INVALID]
    writer.client.commit_transaction(30)
    until(kafka, lambda: sorted(reader.values) == [(0, 0, b"result"), (1, 0, b"result")], reader)
    found = reader.consumer.committed(places, timeout=30)
    assert [(each.offset, each.metadata) for each in found] == [(5, "note"), (OFFSET_INVALID, None)]
    assert stored(kafka) == (5, None)


@law
def test_an_aborted_transaction_leaves_no_records_and_offsets(kafka: Kafka) -> None:
    """Neither delivered nor queued records nor offsets of an aborted transaction become visible."""
    reader = reader_of(kafka, 2)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    writer.send(0, b"sent")
    assert writer.client.flush(30) == 0
    send_offset(kafka, writer, 9, reader.consumer.consumer_group_metadata())
    writer.send(1, b"queued")
    writer.client.abort_transaction(30)
    publish(kafka, 0, b"next")
    until(kafka, lambda: reader.values, reader)
    assert [value for _, _, value in reader.values] == [b"next"]
    until(kafka, lambda: stored(kafka)[1] is None)
    assert stored(kafka) == (OFFSET_INVALID, None)


@law
def test_ending_a_transaction_reports_its_deliveries(kafka: Kafka) -> None:
    """The calls that commit and abort a transaction call the delivery reports of its records."""
    kafka.create(1)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    writer.send(0, b"committed")
    writer.client.commit_transaction(30)
    assert writer.reports == [(0, b"committed", None)]
    assert len(writer.client) == 0
    writer.client.begin_transaction()
    writer.send(0, b"aborted")
    writer.client.abort_transaction(30)
    assert writer.reports[1:] == [(0, b"aborted", KafkaError._PURGE_QUEUE)]
    assert len(writer.client) == 0


@law
def test_the_later_written_offset_wins(kafka: Kafka) -> None:
    """A plain commit during a transaction replaces the transaction's offset, though that is larger."""
    reader = reader_of(kafka, 1)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    send_offset(kafka, writer, 3, reader.consumer.consumer_group_metadata())
    reader.consumer.commit(offsets=at(kafka, 1), asynchronous=False)
    writer.client.commit_transaction(30)
    until(kafka, lambda: stored(kafka)[1] is None)
    assert stored(kafka) == (1, None)


# Transactions that fail.


@law
def test_a_purged_record_fails_its_transaction_and_the_next_one(kafka: Kafka) -> None:
    """A purged record makes its transaction abortable, and its sequence gap also the next one."""
    reader = reader_of(kafka, 1)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    writer.send(0, b"sent")
    assert writer.client.flush(30) == 0
    writer.send(0, b"purged")
    writer.client.purge()
    send_offset(kafka, writer, 2, reader.consumer.consumer_group_metadata())
    inconsistent = KafkaError._INCONSISTENT, _ABORTABLE
    assert refusal(writer.client.commit_transaction, 30) == inconsistent
    assert refusal(writer.client.commit_transaction, 30) == inconsistent
    writer.client.abort_transaction(30)
    assert retry_until_committed(writer, b"next") == [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER]
    until(kafka, lambda: reader.values, reader)
    assert [value for _, _, value in reader.values] == [b"next"]


@law
def test_a_refused_record_fails_its_transaction_and_the_next_one(kafka: Kafka) -> None:
    """A record too large for the topic makes its transaction abortable, and its sequence gap also the next one."""
    reader = reader_of(kafka, 1, most_bytes=1_000)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    for value in (b"small", b"x" * 2_000):
        writer.send(0, value)
        assert writer.client.flush(30) == 0
    assert [code for _, _, code in writer.reports] == [None, KafkaError.MSG_SIZE_TOO_LARGE]
    assert refusal(writer.send, 0, b"more") == (KafkaError._STATE, _PLAIN)
    refused = KafkaError.MSG_SIZE_TOO_LARGE, _ABORTABLE
    assert refusal(send_offset, kafka, writer, 2, reader.consumer.consumer_group_metadata()) == refused
    assert refusal(writer.client.commit_transaction, 30) == refused
    assert refusal(writer.client.begin_transaction) == refused
    writer.client.abort_transaction(30)
    assert retry_until_committed(writer, b"next") == [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER]
    until(kafka, lambda: reader.values, reader)
    assert [value for _, _, value in reader.values] == [b"next"]


@law
def test_records_of_an_abortable_transaction_wait_and_beginning_another_raises_the_reason(kafka: Kafka) -> None:
    """Records behind a sequence gap stay queued until the abort; `begin_transaction` raises the cause."""
    kafka.create(1, most_bytes=1_000)
    writer = Writer.in_transactions(kafka, **{"linger.ms": 0, "batch.num.messages": 1})
    writer.client.begin_transaction()
    writer.send(0, b"x" * 2_000)
    assert writer.client.flush(30) == 0
    writer.client.abort_transaction(30)
    writer.reports.clear()
    writer.client.begin_transaction()
    assert refusal(writer.client.begin_transaction) == (KafkaError._STATE, _PLAIN)
    writer.send(0, *[b"behind a gap"] * 20)
    failed = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, _ABORTABLE
    until(kafka, lambda: refusal(writer.client.begin_transaction) == failed, writer.client)
    writer.client.flush(1)
    assert len(writer.client) == 20 - len(writer.reports) > 0
    writer.client.abort_transaction(30)
    assert writer.reports == [(0, b"behind a gap", KafkaError._PURGE_QUEUE)] * 20
    assert retry_until_committed(writer, b"next") == []


@law
def test_offsets_of_an_older_generation_or_a_removed_member_are_refused(kafka: Kafka) -> None:
    """Such offsets fail with the coordinator's error, and the transaction must be aborted."""
    reader = reader_of(kafka, 2)
    older = reader.consumer.consumer_group_metadata()
    other = Reader(kafka)
    until(kafka, lambda: len(reader.owned()) == len(other.owned()) == 1, reader, other)
    dropped = other.consumer.consumer_group_metadata()
    kafka.drop(other.consumer)
    writer = Writer.in_transactions(kafka)
    for group, code in ((older, KafkaError.ILLEGAL_GENERATION), (dropped, KafkaError.UNKNOWN_MEMBER_ID)):
        writer.client.begin_transaction()
        writer.send(0, b"result")
        assert refusal(send_offset, kafka, writer, 1, group) == (code, _ABORTABLE)
        assert refusal(writer.client.commit_transaction, 30) == (code, _ABORTABLE)
        writer.client.abort_transaction(30)
    until(kafka, lambda: stored(kafka)[1] is None)
    assert stored(kafka) == (OFFSET_INVALID, None)


@law
def test_offsets_without_a_member_id_are_accepted(kafka: Kafka) -> None:
    """The group metadata of a consumer that has not joined disables the coordinator's check of the generation."""
    reader_of(kafka, 1)
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    send_offset(kafka, writer, 4, kafka.consumer().consumer_group_metadata())
    writer.client.commit_transaction(30)
    until(kafka, lambda: stored(kafka)[1] is None)
    assert stored(kafka) == (4, None)


# Fences.


@law
def test_a_fenced_producer_cannot_end_its_transaction_and_stays_fenced(kafka: Kafka) -> None:
    """Every transactional call of a fenced producer raises the fatal error _FENCED."""
    kafka.create(1)
    fenced = KafkaError._FENCED, _FATAL
    writer = Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    writer.send(0, b"result")
    assert writer.client.flush(30) == 0
    Writer.in_transactions(kafka)
    assert refusal(writer.client.commit_transaction, 30) == fenced
    assert refusal(writer.client.poll, 10) == fenced
    assert writer.client.poll(0.3) == 0
    assert refusal(writer.client.abort_transaction, 30) == fenced
    assert refusal(writer.client.begin_transaction) == fenced
    assert refusal(send_offset, kafka, writer, 1, kafka.consumer().consumer_group_metadata()) == fenced
    assert refusal(writer.send, 0, b"more") == (KafkaError._FATAL, _PLAIN)


@law
def test_a_fenced_producer_learns_of_it_when_it_sends(kafka: Kafka) -> None:
    """The first record sent after fencing makes `poll` raise the fatal error, and fails in its report."""
    kafka.create(1)
    for begin, code in ((b"before", KafkaError.INVALID_PRODUCER_EPOCH), (b"", KafkaError._PURGE_QUEUE)):
        writer = Writer.in_transactions(kafka)
        writer.client.begin_transaction()
        if begin:
            writer.send(0, begin)
            assert writer.client.flush(30) == 0
            writer.reports.clear()
        Writer.in_transactions(kafka)
        writer.send(0, b"after")
        assert refusal(writer.client.poll, 10) == (KafkaError._FENCED, _FATAL)
        until(kafka, lambda writer=writer: writer.reports, writer.client)
        assert writer.reports == [(0, b"after", code)]


@law
def test_a_fenced_producer_can_end_an_empty_transaction(kafka: Kafka) -> None:
    """An empty transaction sends no request to the broker, so its commit succeeds even if fenced."""
    kafka.create(1)
    writer = Writer.in_transactions(kafka)
    Writer.in_transactions(kafka)
    writer.client.begin_transaction()
    writer.client.commit_transaction(30)


@law
def test_a_transaction_that_times_out_is_aborted_and_its_producer_fenced(kafka: Kafka) -> None:
    """After `transaction.timeout.ms` the broker aborts the transaction, and the commit raises _FENCED."""
    reader = reader_of(kafka, 1)
    writer = Writer.in_transactions(kafka, **{"transaction.timeout.ms": 1_000, "message.timeout.ms": 1_000})
    writer.client.begin_transaction()
    writer.send(0, b"result")
    assert writer.client.flush(30) == 0
    until(kafka, lambda: (0, 2) in reader.ends, reader)
    assert reader.values == []
    assert refusal(writer.client.commit_transaction, 30) == (KafkaError._FENCED, _FATAL)
