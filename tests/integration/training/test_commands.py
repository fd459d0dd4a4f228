"""The commands as a user runs them: output, files and exit codes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from heartstream.cli.data import app
from heartstream.cli.train import train
from tests.fakes.http_server import Server, content
from training.data.dataset import SITES, UCI_FILES, file_name, published_file
from training.data.frames import read_snapshot, read_uci


def run_fetch(*arguments: str) -> int:
    """Run `heartstream data fetch` and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        app(["fetch", *arguments])
    code = caught.value.code
    return code if isinstance(code, int) else 0


def test_fetch_prints_a_line_per_file(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, size, "verified" and origin; nothing on standard error."""
    assert run_fetch("--dest", str(tmp_path), "--base-url", server.url) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:5] for line in out.splitlines()] == [
        [file.name, str(file.size), "bytes", "verified", "downloaded"] for file in UCI_FILES
    ]
    assert err == ""


def test_fetch_without_network_uses_the_snapshot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files are written all the same, one line says why, and the exit code is 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert run_fetch("--dest", str(tmp_path), "--base-url", url) == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err.count("\n")) == (4, 1)
    assert "ConnectError" in err
    assert "using the bundled snapshot" in err
    assert {file_name(site): (tmp_path / file_name(site)).read_bytes() for site in SITES} == {
        file_name(site): published_file(site) for site in SITES
    }


def test_offline_sends_no_request(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """With --offline the server is not contacted, and the second call prints nothing on standard error."""
    assert run_fetch("--offline", "--dest", str(tmp_path), "--base-url", server.url) == 0
    assert "offline: using the bundled snapshot" in capsys.readouterr().err
    assert run_fetch("--offline", "--dest", str(tmp_path), "--base-url", server.url) == 0
    assert (capsys.readouterr().err, server.asked) == ("", [])


def test_refused_file_is_a_failure(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed file is reported in one line, does not replace the old one, and gives exit code 1."""
    name = file_name("cleveland")
    (tmp_path / name).write_bytes(b"old")
    server.answers[name] = content(b"changed")
    assert run_fetch("--dest", str(tmp_path), "--base-url", server.url) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), (tmp_path / name).read_bytes()) == ("", 1, b"old")
    assert f"{name} refused: arrived with 7 bytes" in err


def test_invalid_url_is_an_invalid_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has the exit code of invalid settings."""
    assert run_fetch("--dest", str(tmp_path), "--base-url", "archive") == 78
    assert "must begin with http" in capsys.readouterr().err


def test_fetched_files_are_what_training_reads(tmp_path: Path) -> None:
    """`data fetch --dest` and `train --data-dir` work together, even without a network."""
    assert run_fetch("--offline", "--dest", str(tmp_path)) == 0
    assert read_uci(tmp_path).equals(read_snapshot())


@pytest.mark.parametrize(
    ("options", "code"), [({"threshold": 1.5}, 78), ({"data_dir": Path("no-such-folder")}, 69)], ids=["setting", "data"]
)
def test_train_has_an_exit_code_per_kind_of_failure(
    tmp_path: Path, options: dict[str, float | Path], code: int
) -> None:
    """Invalid settings and invalid data differ, and neither leaves a model."""
    with pytest.raises(SystemExit) as caught:
        train(output=tmp_path / "model", tracking=False, model_version="1", **options)
    assert (caught.value.code, list(tmp_path.iterdir())) == (code, [])


def test_train_distinguishes_invalid_from_unreadable_data(tmp_path: Path) -> None:
    """A file with a header is not UCI's: a retry would not help, and no model is left."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "processed.cleveland.data").write_text("age,sex\n63,1\n", "utf-8")
    with pytest.raises(SystemExit) as caught:
        train(output=tmp_path / "model", data_dir=data, tracking=False, model_version="1", quick=True)
    assert (caught.value.code, (tmp_path / "model").exists()) == (65, False)
