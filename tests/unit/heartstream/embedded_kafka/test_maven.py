"""The Maven repository for jars: the setting, then the mirror that Maven would use, then Maven Central."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from heartstream.embedded_kafka.maven import repository_url
from runtime.http import without_password
from schemas.errors import SettingsError

MIRROR = "<mirror><id>{}</id><mirrorOf>{}</mirrorOf><url>{}</url></mirror>"
NAMESPACE = ' xmlns="http://maven.apache.org/SETTINGS/1.2.0"'


def settings(home: Path, mirrors: str, servers: str = "", namespace: str = NAMESPACE) -> Path:
    """Write the user's Maven settings; return the home directory."""
    (home / ".m2").mkdir()
    text = f"<settings{namespace}><servers>{servers}</servers><mirrors>{mirrors}</mirrors></settings>"
    (home / ".m2" / "settings.xml").write_text(text)
    return home


def test_without_settings_it_is_maven_central(tmp_path: Path) -> None:
    """The host is in the domain after which Maven's group id, org.apache.maven, is named."""
    url = urlsplit(repository_url("", {}, tmp_path))
    assert (url.scheme, str(url.hostname).split(".")[:-4:-1]) == ("https", ["org", "apache", "maven"])


def test_the_setting_overrides_every_mirror(tmp_path: Path) -> None:
    """`MAVEN_REPOSITORY` is used even if a mirror matches."""
    home = settings(tmp_path, MIRROR.format("m", "*", "https://mirror/m2"))
    assert repository_url("http://named/m2", {}, home) == "http://named/m2"


@pytest.mark.parametrize(
    ("pattern", "is_taken"),
    [
        ("central", True),
        ("*", True),
        ("external:*", True),
        ("other, central", True),
        ("other", False),
        ("*,!central", False),
        ("external:http:*", False),
    ],
)
@pytest.mark.parametrize("namespace", ["", NAMESPACE])
def test_a_mirror_of_central_is_used(tmp_path: Path, pattern: str, is_taken: bool, namespace: str) -> None:  # noqa: FBT001
    """Patterns match as in Maven; mirrors of other repositories are ignored."""
    home = settings(tmp_path, MIRROR.format("m", pattern, "https://mirror/m2"), namespace=namespace)
    assert (repository_url("", {}, home) == "https://mirror/m2") is is_taken


def test_the_mirror_that_names_central_wins(tmp_path: Path) -> None:
    """It wins over an earlier one whose pattern matches, as in Maven."""
    mirrors = MIRROR.format("a", "*", "https://all/m2") + MIRROR.format("b", "central", "https://central/m2")
    assert repository_url("", {}, settings(tmp_path, mirrors)) == "https://central/m2"


def test_credentials_and_variables_are_filled_in(tmp_path: Path) -> None:
    """The credentials of the server with the mirror's id are used and never shown."""
    server = "<server><id>m</id><username>${env.WHO}</username><password>p@ss</password></server>"
    home = settings(tmp_path, MIRROR.format("m", "*", "https://${env.HOST}/m2"), server)
    url = repository_url("", {"WHO": "me", "HOST": "mirror:8443"}, home)
    assert (url, without_password(url)) == ("https://me:p%40ss@mirror:8443/m2", "https://mirror:8443/m2")


def test_unusable_settings_are_reported(tmp_path: Path) -> None:
    """An encrypted password, a broken file, or a URL of another scheme."""
    server = "<server><id>m</id><username>me</username><password>{abc=}</password></server>"
    home = settings(tmp_path, MIRROR.format("m", "*", "https://mirror/m2"), server)
    with pytest.raises(SettingsError, match="encrypted"):
        repository_url("", {}, home)
    (home / ".m2" / "settings.xml").write_text("<settings>")
    with pytest.raises(SettingsError, match=r"settings\.xml"):
        repository_url("", {}, home)
    with pytest.raises(SettingsError, match="http"):
        repository_url("ftp://mirror/m2", {}, home)


def test_the_installations_settings_come_last(tmp_path: Path) -> None:
    """The administrator's mirror is found through MAVEN_HOME."""
    (tmp_path / "maven" / "conf").mkdir(parents=True)
    mirror = MIRROR.format("m", "*", "https://mirror/m2")
    (tmp_path / "maven" / "conf" / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    assert repository_url("", {"MAVEN_HOME": str(tmp_path / "maven")}, tmp_path) == "https://mirror/m2"
