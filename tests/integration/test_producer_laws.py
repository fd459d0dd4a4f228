"""What worker.kafka relies on in a Kafka producer: the same laws for the simulated Kafka and a real one."""

from __future__ import annotations

from confluent_kafka import KafkaError

from tests.integration.kafkas import Kafka, Writer, law, publish, reader_of, until
from tests.integration.refusals import FATAL, PLAIN, refusal, send_offset

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


# Fences.


@law
def test_a_fenced_producer_cannot_end_its_transaction_and_stays_fenced(kafka: Kafka) -> None:
    """Every transactional call of a fenced producer raises the fatal error _FENCED."""
    kafka.create(1)
    fenced = KafkaError._FENCED, FATAL
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
    assert refusal(writer.send, 0, b"more") == (KafkaError._FATAL, PLAIN)


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
        assert refusal(writer.client.poll, 10) == (KafkaError._FENCED, FATAL)
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
    assert refusal(writer.client.commit_transaction, 30) == (KafkaError._FENCED, FATAL)
