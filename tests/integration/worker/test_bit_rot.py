"""A byte that changed on a broker's disk is detected and never scored."""

from __future__ import annotations

import json
import re

from heartstream.demo.patients import real_patients
from runtime.settings import Topics
from tests.support.brokers import own_kafka
from tests.support.stream import Stream
from tests.support.workers import Workers


def test_a_flipped_byte_is_never_scored(topics: Topics, workers: Workers) -> None:
    """Age 63 becomes 33 in the log segment: the worker scores the records before it, logs the offset and stops."""
    with own_kafka() as kafka, Stream.open(kafka.address, topics, partitions=1) as stream:
        for number in range(3):
            stream.send(json.dumps({**real_patients()[0], "age": 63, "patient_id": f"p-{number}"}).encode(), b"k")
            stream.flush()
        flip = (
            f"f=$(find {kafka.data} -path '*{topics.patients}-0/*.log' 2>/dev/null); "
            "at=$(grep -abo '\"age\": 63' $f | sed -n 2p | cut -d: -f1) && "
            "printf 3 | dd status=none of=$f bs=1 seek=$((at + 7)) conv=notrunc && grep -ac '\"age\": 33' $f"
        )
        code, output = kafka.shell(flip)
        assert (code, output[:2]) == (0, b"1\n"), output
        with workers.start(stream.address) as worker:
            assert worker.process.wait(90) == 1
        stream.read_to_end()
        assert set(stream.results) == {stream.sent[0].source}
    assert re.search(rf"partition 0 of {topics.patients} has a corrupt batch at offset 1 .*CRC32C", workers.logs())
