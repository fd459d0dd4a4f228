"""Laws of the Kafka client's configuration."""

from __future__ import annotations

from runtime.kafka.config import (
    admin_config,
    consumer_config,
    plain_producer_config,
    producer_config,
    standalone_consumer_config,
)
from runtime.kafka.option_check import option_problems
from runtime.settings import Kafka, Settings


def settings(**options: str) -> Settings:
    names = {f"HEARTSTREAM_KAFKA__OPTIONS__{name}": text for name, text in options.items()}
    return Settings.from_mapping({"HEARTSTREAM_WORKER__GROUP_ID": "group", **names})


def test_delivery_guarantees_are_set() -> None:
    """The producer is idempotent with acks=all, and the consumer does not commit by itself."""
    producer, consumer = producer_config(settings()), consumer_config(settings())
    assert (producer["enable.idempotence"], producer["acks"], consumer["enable.auto.commit"]) == (True, "all", False)


def test_options_reach_the_client_that_knows_them() -> None:
    """Common options go to both clients, others only to the one that knows them."""
    chosen = settings(SASL_USERNAME="worker", LINGER_MS="1", FETCH_MIN_BYTES="2")
    producer, consumer = producer_config(chosen), consumer_config(chosen)
    assert (producer["sasl.username"], consumer["sasl.username"]) == ("worker", "worker")
    assert (producer["linger.ms"], "fetch.min.bytes" in producer) == ("1", False)
    assert (consumer["fetch.min.bytes"], "linger.ms" in consumer) == ("2", False)


def test_every_bad_option_is_reported() -> None:
    """Unknown options, bad values and options that heartstream sets are listed together, without their values."""
    problems = option_problems(settings(NO_SUCH_THING="secret-1", SECURITY_PROTOCOL="secret-2", ACKS="0"))
    assert [problem.split(":")[0] for problem in problems] == [
        "Kafka option acks cannot be changed",
        "Kafka option no.such.thing",
        "Kafka option security.protocol",
    ]
    assert "secret" not in " ".join(problems)


def test_valid_options_have_no_problems() -> None:
    """Options that are only valid together are validated together."""
    chosen = settings(SECURITY_PROTOCOL="SASL_SSL", SASL_MECHANISM="PLAIN", SASL_USERNAME="u", SASL_PASSWORD="p")
    assert option_problems(chosen) == ()


def test_options_that_contradict_our_own_are_reported() -> None:
    """Options that a real client would refuse, given those that heartstream sets, are found before it is created."""
    assert len(option_problems(settings(MAX_IN_FLIGHT="10"))) == 1


def test_no_option_weakens_a_guarantee() -> None:
    """No client option of the user replaces one that a delivery guarantee depends on, for any client."""
    kafka = Kafka("broker:9092", {"acks": "0", "enable.idempotence": "false", "bootstrap.servers": "other:9092"})
    producer = plain_producer_config(kafka)
    assert (producer["acks"], producer["enable.idempotence"]) == ("all", True)
    assert (producer["bootstrap.servers"], admin_config(kafka)["bootstrap.servers"]) == ("broker:9092", "broker:9092")


def test_only_the_worker_under_exactly_once_has_a_transactional_producer() -> None:
    """Any other producer with the same transactional id would fence the worker, or be fenced by it."""
    chosen = Settings.from_mapping({"HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": "exactly_once"})
    configs = (producer_config(chosen), plain_producer_config(chosen.kafka), producer_config(settings()))
    assert ["transactional.id" in config for config in configs] == [True, False, False]


def test_a_consumer_outside_the_group_takes_no_static_members_place() -> None:
    """It has a group id of its own and no instance id, and does not commit by itself."""
    chosen = Settings.from_mapping({"HEARTSTREAM_WORKER__INSTANCE_ID": "one"})
    config = standalone_consumer_config(chosen, "watch")
    assert (config["group.id"], config["enable.auto.commit"]) == ("watch", False)
    assert ("group.instance.id" in config, "group.instance.id" in consumer_config(chosen)) == (False, True)


def test_an_admin_client_gets_only_common_options() -> None:
    """An admin client would warn about each option of a consumer or producer."""
    given = {"sasl.username": "worker", "linger.ms": "1", "fetch.min.bytes": "2", "message.timeout.ms": "3"}
    assert admin_config(Kafka("broker:9092", given)) == {"sasl.username": "worker", "bootstrap.servers": "broker:9092"}
