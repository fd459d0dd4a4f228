"""Laws of the Kafka client's configuration."""

from __future__ import annotations

from runtime.settings import Settings
from worker.transport.driver import consumer_config, option_problems, producer_config
from worker.transport.transactions import shortest_retry


def settings(**options: str) -> Settings:
    names = {f"HEARTSTREAM_KAFKA__OPTIONS__{name}": text for name, text in options.items()}
    return Settings.from_mapping({"HEARTSTREAM_WORKER__GROUP_ID": "group", **names})


def test_delivery_guarantees_are_set() -> None:
    """The producer is idempotent with acks=all, and the consumer commits nothing by itself."""
    producer, consumer = producer_config(settings()), consumer_config(settings())
    assert (producer["enable.idempotence"], producer["acks"], consumer["enable.auto.commit"]) == (True, "all", False)


def test_options_reach_the_client_that_takes_them() -> None:
    """Common options go to both clients, others only to the one that knows them."""
    chosen = settings(SASL_USERNAME="worker", LINGER_MS="1", FETCH_MIN_BYTES="2")
    producer, consumer = producer_config(chosen), consumer_config(chosen)
    assert (producer["sasl.username"], consumer["sasl.username"]) == ("worker", "worker")
    assert (producer["linger.ms"], "fetch.min.bytes" in producer) == ("1", False)
    assert (consumer["fetch.min.bytes"], "linger.ms" in consumer) == ("2", False)


def test_every_bad_option_is_told() -> None:
    """Unknown options, bad values and options that are ours are listed together, without values."""
    problems = option_problems(settings(NO_SUCH_THING="secret-1", SECURITY_PROTOCOL="secret-2", ACKS="0"))
    assert [problem.split(":")[0] for problem in problems] == [
        "Kafka option acks is set by heartstream itself",
        "Kafka option no.such.thing",
        "Kafka option security.protocol",
    ]
    assert "secret" not in " ".join(problems)


def test_good_options_have_no_problems() -> None:
    """Options that only make sense together are judged together."""
    chosen = settings(SECURITY_PROTOCOL="SASL_SSL", SASL_MECHANISM="PLAIN", SASL_USERNAME="u", SASL_PASSWORD="p")
    assert option_problems(chosen) == ()


def test_options_that_contradict_our_own_are_told() -> None:
    """What only the real clients refuse, with the options that heartstream sets, is found before they are made."""
    assert len(option_problems(settings(MAX_IN_FLIGHT="10"))) == 1


def test_a_call_is_quick_if_no_request_of_it_can_have_been_repeated() -> None:
    """The client repeats a request after its backoff, a fifth less at the earliest, or offsets after half a second."""
    guarantee = {"HEARTSTREAM_WORKER__GROUP_ID": "group", "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": "exactly_once"}
    chosen = [{}, {"RETRY_BACKOFF_MS": "100"}, {"RETRY_BACKOFF_MAX_MS": "200"}, {"RETRY_BACKOFF_MS": "1000"}]
    bounds = [
        shortest_retry(
            producer_config(
                Settings.from_mapping(
                    guarantee | {f"HEARTSTREAM_KAFKA__OPTIONS__{name}": text for name, text in options.items()}
                )
            )
        )
        for options in chosen
    ]
    assert bounds == [0.45, 0.075, 0.15, 0.5]
