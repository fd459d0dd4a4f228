"""The downloader against a real server: either the complete published file, or an error and the old file."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from tests.fakes.http_server import Answer, Handler, Server, content, dripping, in_turn, redirect, status
from training.data.dataset import SITES, UCI_FILES, RemoteFile, file_name, published_file
from training.data.download import (
    FetchedFile,
    FetchPolicy,
    FileRefusedError,
    Origin,
    SourceUnreachableError,
    fetch,
    trusted_certificates,
    unpack_snapshot,
)

VA = UCI_FILES[3]
GOOD = published_file("va")
AT_ONCE = FetchPolicy(connect_timeout=2, read_timeout=2, deadline=20, tries=3, first_wait=0, longest_wait=0)


def fetch_va(folder: Path, server: Server, policy: FetchPolicy = AT_ONCE) -> tuple[FetchedFile, ...]:
    """Fetch one file."""
    return fetch(folder, base_url=server.url, files=[VA], policy=policy)


def test_all_files_arrive_as_published(tmp_path: Path, server: Server) -> None:
    """Each file has the published bytes, and nothing else is in the folder."""
    fetched = fetch(tmp_path / "new" / "folder", base_url=server.url)
    assert {entry.origin for entry in fetched} == {Origin.SERVER}
    found = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert found == {file_name(site): published_file(site) for site in SITES}


def test_verified_file_is_not_downloaded_again(tmp_path: Path, server: Server) -> None:
    """The second time the server gets no request."""
    fetch_va(tmp_path, server)
    assert [entry.origin for entry in fetch_va(tmp_path, server)] == [Origin.CACHE]
    assert server.asked == [VA.name]


def test_damaged_file_on_disk_is_replaced(tmp_path: Path, server: Server) -> None:
    """An existing file that is not the published one is downloaded again."""
    (tmp_path / VA.name).write_bytes(GOOD[:-1])
    fetch_va(tmp_path, server)
    assert (tmp_path / VA.name).read_bytes() == GOOD


def test_progress_counts_to_the_end(tmp_path: Path, server: Server) -> None:
    """The callback gets the start and every byte."""
    heard: list[tuple[RemoteFile, int]] = []
    fetch(tmp_path, base_url=server.url, files=[VA], progress=lambda *step: heard.append(step))
    assert (heard[0], heard[-1]) == ((VA, 0), (VA, VA.size))


def test_a_busy_server_is_retried(tmp_path: Path, server: Server) -> None:
    """Two responses of 503 and then the file."""
    server.answers[VA.name] = in_turn(status(503), status(503), content(GOOD))
    fetch_va(tmp_path, server)
    assert ((tmp_path / VA.name).read_bytes(), len(server.asked)) == (GOOD, 3)


def test_a_cut_connection_is_retried(tmp_path: Path, server: Server) -> None:
    """An incomplete body may be an accident."""
    server.answers[VA.name] = in_turn(content(GOOD[:1000], promised=len(GOOD)), content(GOOD))
    fetch_va(tmp_path, server)
    assert ((tmp_path / VA.name).read_bytes(), len(server.asked)) == (GOOD, 2)


def test_redirects_are_followed(tmp_path: Path, server: Server) -> None:
    """The checksum verifies that the right file was found."""
    server.answers |= {VA.name: redirect("moved.data"), "moved.data": content(GOOD)}
    fetch_va(tmp_path, server)
    assert (tmp_path / VA.name).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("answer", "size", "asked"),
    [
        pytest.param(content(GOOD[:1000], promised=len(GOOD)), 1000, 3, id="cut on the way"),
        pytest.param(content(GOOD[:1000]), 1000, 1, id="cut at the source"),
        pytest.param(content(GOOD.replace(b"63", b"64", 1)), len(GOOD), 1, id="one digit changed"),
        pytest.param(content(b"<html>Sign in to this network</html>"), 36, 1, id="another page"),
        pytest.param(content(b""), 0, 1, id="nothing"),
    ],
)
def test_other_bytes_are_refused_with_both_checksums(
    tmp_path: Path, server: Server, answer: Answer, size: int, asked: int
) -> None:
    """The error has both sizes and checksums, and the old file stays."""
    (tmp_path / VA.name).write_bytes(b"old")
    server.answers[VA.name] = answer
    with pytest.raises(FileRefusedError) as caught:
        fetch_va(tmp_path, server)
    text = str(caught.value)
    assert text.startswith(f"{VA.name} refused: arrived with {size} bytes and SHA-256 ")
    assert text.endswith(f", expected {VA.size} bytes and SHA-256 {VA.sha256}")
    assert ({path.name: path.read_bytes() for path in tmp_path.iterdir()}, len(server.asked)) == (
        {VA.name: b"old"},
        asked,
    )


def test_endless_body_is_not_read_to_the_end(tmp_path: Path, server: Server) -> None:
    """It is cut off about a megabyte beyond the expected size."""
    server.answers[VA.name] = endless
    with pytest.raises(FileRefusedError) as caught:
        fetch_va(tmp_path, server)
    assert int(str(caught.value).split("arrived with ")[1].split()[0]) < 2_000_000


def endless(handler: Handler) -> None:
    """Send zeros until the client disconnects."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.stopped.is_set():
        try:
            handler.wfile.write(bytes(65536))
        except OSError:
            return


def test_broken_compression_is_refused(tmp_path: Path, server: Server) -> None:
    """A body that cannot be decompressed is an error of the server, not of the network."""

    def broken(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(b"this is no gzip")

    server.answers[VA.name] = broken
    with pytest.raises(FileRefusedError, match="DecodingError"):
        fetch_va(tmp_path, server)


def test_a_missing_file_is_not_retried(tmp_path: Path, server: Server) -> None:
    """404 is permanent: the server gets one request."""
    del server.answers[VA.name]
    with pytest.raises(FileRefusedError, match="the server answered with status 404"):
        fetch_va(tmp_path, server)
    assert (server.asked, list(tmp_path.iterdir())) == ([VA.name], [])


@pytest.mark.parametrize("code", [429, 500, 503])
def test_persistent_server_errors_are_unreachable(tmp_path: Path, server: Server, code: int) -> None:
    """A temporary error is tried three times and is then an unreachable source."""
    server.answers[VA.name] = status(code)
    with pytest.raises(SourceUnreachableError, match=f"status {code}"):
        fetch_va(tmp_path, server)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 5000, id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 6737\r\n\r\n" + GOOD, id="body"),
    ],
)
def test_slow_drip_ends_at_the_deadline(tmp_path: Path, server: Server, raw: bytes) -> None:
    """Single bytes satisfy every read timeout, but not the file's deadline."""
    server.answers[VA.name] = dripping(raw)
    began = time.monotonic()
    with pytest.raises(SourceUnreachableError, match=r"not complete after 1\.5 s"):
        fetch_va(tmp_path, server, FetchPolicy(read_timeout=1, deadline=1.5, first_wait=0, longest_wait=0))
    assert 1.5 <= time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_refused_connection_is_unreachable(tmp_path: Path) -> None:
    """After the retries it is an unreachable source."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(SourceUnreachableError, match="ConnectError"):
            fetch(tmp_path, base_url=url, policy=AT_ONCE)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "archive", "http://127.0.0.1:http/"])
def test_an_unusable_url_is_a_settings_error(tmp_path: Path, url: str) -> None:
    """A URL that can never work is not tried, and not mistaken for a missing network."""
    with pytest.raises(SettingsError, match="base URL"):
        fetch(tmp_path, base_url=url, policy=AT_ONCE)


def test_an_unusable_folder_is_a_settings_error(tmp_path: Path, server: Server) -> None:
    """A file in place of the folder, with a network and without."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="cannot write to"):
        fetch_va(tmp_path / "file" / "folder", server)
    with pytest.raises(SettingsError, match="cannot write to"):
        unpack_snapshot(tmp_path / "file" / "folder")


def test_snapshot_adds_the_missing_files(tmp_path: Path) -> None:
    """Without a network valid files stay, and the others are written with the published bytes."""
    (tmp_path / VA.name).write_bytes(GOOD)
    origins = {entry.file.name: entry.origin for entry in unpack_snapshot(tmp_path)}
    assert (origins.pop(VA.name), set(origins.values())) == (Origin.CACHE, {Origin.SNAPSHOT})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        file_name(site): published_file(site) for site in SITES
    }


def test_certificates_of_the_system_are_trusted() -> None:
    """A company's proxy presents certificates of its own CA, which is installed in the system's store only."""
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    trusted = trusted_certificates()
    assert set(system) <= set(trusted.get_ca_certs(binary_form=True))
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert trusted.check_hostname
