"""`heartstream dlq list` and `show`, run as users run them, on a real broker."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.ports import free_port
from schemas.errors import RejectionCode
from tests.support.dlq_harness import DlqHarness, columns, now
from worker.dead_letters import without_value
from worker.kafka.outgoing_record import OutgoingRecord

HOUR = 3_600_000
DAY = 24 * HOUR
MARKER = "Zebra-4711"
MODEL_FAILURE, NOT_JSON = RejectionCode.MODEL_FAILURE, RejectionCode.NOT_JSON


def test_piped_output_is_plain(harness: DlqHarness) -> None:
    """One line per letter with tab-separated cells and no colour; the counts go to standard error."""
    harness.letters([NOT_JSON, MODEL_FAILURE, NOT_JSON])
    run = harness.run("list")
    rows = columns(run.stdout)
    assert run.stdout.splitlines()[0] == "POSITION\tTIME\tSOURCE\tATTEMPTS\tSTATE\tERRORS"
    assert sorted(row[5] for row in rows) == ["model_failure at /age", "not_json at /age", "not_json at /age"]
    assert [row[3:5] for row in rows] == [["0", "waiting"]] * 3
    assert run.stderr == "3 dead letters\n          2  not_json\n          1  model_failure\n"
    assert "\x1b" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["new", "old"]),
        (["--code", "model_failure"], ["new", "old"]),
        (["--code", "not-json"], []),
        (["--since", "2h"], ["new"]),
        (["--until", "2h"], ["old"]),
        (["--key", "old"], ["old"]),
        (["--key", "old", "--since", "2h"], []),
    ],
)
def test_filters(harness: DlqHarness, filters: list[str], expected: list[str]) -> None:
    """By code, by the record's own time and by key; all must match."""
    for name, age in (("new", 1), ("old", 3)):
        harness.send(harness.letter_of(harness.record(name.encode(), b"v", timestamp=now() - age * HOUR)))
    run = harness.run("list", "--with-key", *filters)
    assert sorted(row[5] for row in columns(run.stdout)) == expected


def test_list_shows_what_was_redriven(harness: DlqHarness) -> None:
    """The state, and --waiting, distinguish redriven letters from the others."""
    harness.letters([NOT_JSON, MODEL_FAILURE])
    harness.run("redrive", "--code", "not_json", "--yes")
    states = {row[5]: row[4] for row in columns(harness.run("list").stdout)}
    assert states == {"not_json at /age": "redriven", "model_failure at /age": "waiting"}
    assert [row[5] for row in columns(harness.run("list", "--waiting").stdout)] == ["model_failure at /age"]


def test_no_patient_is_printed_by_default(harness: DlqHarness) -> None:
    """Keys, values and header values of a record need an option."""
    marker = MARKER.encode()
    harness.send(harness.letter_of(harness.record(marker, marker, [("trace", marker)])))
    position = columns(harness.run("list").stdout)[0][0]
    silent = [
        harness.run(*arguments)
        for arguments in (
            ["list"],
            ["list", "--json"],
            ["list", "--key", MARKER],
            ["show", position],
            ["show", position, "--json"],
            ["redrive", "--dry-run"],
            ["redrive", "--yes"],
        )
    ]
    loud = [
        harness.run("list", "--with-key"),
        harness.run("list", "--json", "--with-key"),
        harness.run("show", position, "--with-value"),
        harness.run("show", position, "--with-value", "--json"),
    ]
    assert [run.returncode for run in [*silent, *loud]] == [0] * 11
    assert [MARKER in run.stdout + run.stderr for run in silent] == [False] * 7
    assert [MARKER in run.stdout for run in loud] == [True] * 4


def test_control_characters_are_escaped(harness: DlqHarness) -> None:
    """In keys, values and headers, and within a table."""
    harness.send(
        harness.letter_of(harness.record(b"a\tb\x1b[2J\xff", b"line\n\x1b]0;x\x07", [("h\x1b[1m", b"\x9b31m")]))
    )
    rows = columns(harness.run("list", "--with-key").stdout)
    shown = harness.run("show", rows[0][0], "--with-value").stdout
    assert rows[0][5] == "a\\tb\\x1b[2J\\xff"
    assert shown.endswith("\nline\\n\\x1b]0;x\\x07\n")
    assert "\x1b" not in shown


def test_json_preserves_the_bytes(harness: DlqHarness) -> None:
    """UTF-8 is text, so that it can be edited and sent; other bytes are Base64."""
    harness.send(harness.letter_of(harness.record("ключ".encode(), b'{"age":\n 1}', [("a", b"1"), ("b", None)])))
    today = now() // DAY * DAY
    harness.send(harness.letter_of(harness.record(b"\xff", b"\xfe", timestamp=today + 123)))
    places = [f"{letter.partition}:{letter.offset}" for letter in harness.dead()]
    shown = [json.loads(harness.run("show", place, "--with-value", "--json").stdout) for place in places]
    text, other = sorted(shown, key=lambda one: "key" not in one)
    assert (text["key"], text["value"]) == ("ключ", '{"age":\n 1}')
    assert text["headers_base64"] == [["a", "MQ=="], ["b", None]]
    assert (other["key_base64"], other["value_base64"]) == ("/w==", "/g==")
    assert other["time"] == f"{datetime.fromtimestamp(today / 1000, UTC).date()}T00:00:00.123Z"


def test_an_omitted_value_is_marked(harness: DlqHarness) -> None:
    """It is distinguished from an empty one."""
    harness.send(without_value(harness.letter_of(harness.record(b"k", b"12345"))))
    position = columns(harness.run("list").stdout)[0][0]
    line = json.loads(harness.run("list", "--json").stdout)
    assert (line["value_bytes"], line["value_omitted"]) == (5, True)
    assert "omitted: too large for the topic (5 bytes)" in harness.run("show", position, "--with-value").stdout


def test_a_foreign_record_is_listed(harness: DlqHarness) -> None:
    """A record that is not a dead letter of heartstream is marked as such, and does not end the list."""
    harness.send(OutgoingRecord(harness.topics.dead_letters, None, None, [("heartstream.dead-letter", b"{")]))
    run = harness.run("list")
    assert [row[2:] for row in columns(run.stdout)] == [["-", "0", "waiting", "not written by heartstream"]]


def test_a_closed_pipe_is_not_an_error(harness: DlqHarness, tmp_path: Path) -> None:
    """With `| head` the command ends without a message."""
    harness.letters([NOT_JSON] * 5_000)
    log = tmp_path / "stderr"
    with (
        log.open("wb") as told,
        subprocess.Popen(
            harness.command("list"), env=harness.environment, stdout=subprocess.PIPE, stderr=told
        ) as lister,
    ):
        assert lister.stdout is not None
        lister.stdout.readline()
        lister.stdout.close()
        code = lister.wait(60)
    assert (code, log.read_bytes()) == (141, b"")


def test_an_empty_topic_lists_nothing(harness: DlqHarness) -> None:
    """Standard output is empty and the exit code is 0."""
    run = harness.run("list")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "0 dead letters\n")


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "told"),
    [
        (["list"], {"HEARTSTREAM_TOPICS__DEAD_LETTERS": "absent"}, 69, "there is no topic absent"),
        (["redrive", "--yes"], {"HEARTSTREAM_TOPICS__PATIENTS": "absent"}, 69, "there is no topic absent"),
        (["list"], {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}, 69, "no broker answers"),
        (["list"], {"HEARTSTREAM_KAFKA__OPTIONS__FOO": "1"}, 78, "Kafka option foo"),
        (["list", "--since", "noon"], {}, 2, "30m, 12h or 2d"),
        (["show", "noon"], {}, 2, "partition:offset"),
        (["show", "0:99"], {}, 1, "there is no dead letter at"),
        (["show", "99:0"], {}, 1, "there is no dead letter at"),
    ],
)
def test_errors_are_one_line(
    harness: DlqHarness, arguments: list[str], settings: dict[str, str], code: int, told: str
) -> None:
    """With the exit code of their kind and no traceback."""
    run = harness.run(*arguments, **settings)
    assert (run.returncode, told in run.stderr, run.stdout) == (code, True, "")
    assert "Traceback" not in run.stderr
