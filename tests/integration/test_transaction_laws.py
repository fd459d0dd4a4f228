"""What worker.kafka relies on in Kafka transactions: the same laws for the simulated Kafka and a real one."""

from __future__ import annotations

from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from tests.integration.kafkas import Kafka, Reader, Writer, at, law, publish, reader_of, until
from tests.integration.refusals import ABORTABLE, PLAIN, refusal, send_offset


def stored(kafka: Kafka) -> tuple[int, int | None]:
    """Return the group's offset of the first partition and its error code, both as the admin client returns them."""
    admin = kafka.admin()  # it must outlive its futures
    request = ConsumerGroupTopicPartitions(kafka.group, [TopicPartition(kafka.topic, 0)])
    futures = admin.list_consumer_group_offsets([request], require_stable=True, request_timeout=30)
    (position,) = futures[kafka.group].result(30).topic_partitions
    return position.offset, None if position.error is None else position.error.code()


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


@law
def test_calls_in_the_wrong_transaction_state_are_refused(kafka: Kafka) -> None:
    """A call out of order raises a state error that is neither fatal nor retriable, and needs no abort."""
    kafka.create(1)
    client = kafka.producer(**{"transactional.id": kafka.topic})
    state = KafkaError._STATE, PLAIN
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
    assert refusal(reader.consumer.committed, places, timeout=1) == (KafkaError._TIMED_OUT, PLAIN)
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
    inconsistent = KafkaError._INCONSISTENT, ABORTABLE
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
    assert refusal(writer.send, 0, b"more") == (KafkaError._STATE, PLAIN)
    refused = KafkaError.MSG_SIZE_TOO_LARGE, ABORTABLE
    assert refusal(send_offset, kafka, writer, 2, reader.consumer.consumer_group_metadata()) == refused
    assert refusal(writer.client.commit_transaction, 30) == refused
    assert refusal(writer.client.begin_transaction) == refused
    writer.client.abort_transaction(30)
    assert retry_until_committed(writer, b"next") == [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER]
    until(kafka, lambda: reader.values, reader)
    assert [value for _, _, value in reader.values] == [b"next"]


@law
def test_records_of_an_abortable_transaction_are_purged_and_beginning_another_raises_the_reason(kafka: Kafka) -> None:
    """None of the records behind a sequence gap is delivered; `begin_transaction` raises the cause.

    The error purges what is queued at that moment. A batch that returns to the queue for a retry after it stays there
    until the abort, so how many are purged at once depends on timing.
    """
    kafka.create(1, most_bytes=1_000)
    writer = Writer.in_transactions(kafka, **{"linger.ms": 0, "batch.num.messages": 1})
    writer.client.begin_transaction()
    writer.send(0, b"x" * 2_000)
    assert writer.client.flush(30) == 0
    writer.client.abort_transaction(30)
    writer.reports.clear()
    writer.client.begin_transaction()
    assert refusal(writer.client.begin_transaction) == (KafkaError._STATE, PLAIN)
    writer.send(0, *[b"behind a gap"] * 20)
    failed = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, ABORTABLE
    until(kafka, lambda: refusal(writer.client.begin_transaction) == failed, writer.client)
    writer.client.flush(1)
    assert len(writer.client) == 20 - len(writer.reports)
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
        assert refusal(send_offset, kafka, writer, 1, group) == (code, ABORTABLE)
        assert refusal(writer.client.commit_transaction, 30) == (code, ABORTABLE)
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
