"""The Maven repository to download from: the configured one, the user's mirror, or Maven Central."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

from runtime.http import without_password
from schemas.errors import SettingsError

_CENTRAL: Final = "central"
_MATCHES_CENTRAL: Final = frozenset({"*", "external:*", _CENTRAL})
_REFERENCE: Final = re.compile(r"\$\{(env\.)?([^}]+)\}")


def repository_url(configured: str, environ: Mapping[str, str], home: Path) -> str:
    """Return the base URL of the repository: `configured`, else a mirror of Maven's settings, else Maven Central.

    Maven's settings are those of the user (`~/.m2/settings.xml`), then those of the installation that `MAVEN_HOME`
    names. The URL may hold credentials. Raises SettingsError if it or a settings file is unusable.
    """
    url = configured or next(_mirrors(environ, home), "") or _maven_central()
    if urlsplit(url).scheme not in {"http", "https"}:
        raise SettingsError((f"Maven repository {without_password(url)}: the URL must begin with http:// or https://",))
    return url


def _maven_central() -> str:
    """Return the address of Maven Central, derived from Maven's group id."""
    host = ".".join(reversed(["org", "apache", "maven", "repo"]))
    return f"https://{host}/maven2"


def _mirrors(environ: Mapping[str, str], home: Path) -> Iterator[str]:
    """Yield the mirrors of Maven Central, the one that Maven prefers first."""
    files = [home / ".m2" / "settings.xml"]
    if "MAVEN_HOME" in environ:
        files.append(Path(environ["MAVEN_HOME"]) / "conf" / "settings.xml")
    variables = {**environ, "user.home": str(home)}
    for file in files:
        try:
            root = ET.parse(file).getroot()  # noqa: S314  # the user's own file
        except FileNotFoundError:
            continue
        except (OSError, ET.ParseError) as error:
            raise SettingsError((f"cannot read Maven's settings {file}: {error}",)) from error
        matching = [mirror for mirror in root.iterfind("{*}mirrors/{*}mirror") if _is_of_central(mirror)]
        # Maven prefers a mirror that names the repository to one with a matching pattern.
        matching.sort(key=lambda mirror: _text(mirror, "mirrorOf", {}) != _CENTRAL)
        for mirror in matching:
            yield _with_credentials(root, mirror, variables, file)


def _is_of_central(mirror: ET.Element) -> bool:
    patterns = {pattern.strip() for pattern in _text(mirror, "mirrorOf", {}).split(",")}
    return bool(patterns & _MATCHES_CENTRAL) and f"!{_CENTRAL}" not in patterns


def _with_credentials(root: ET.Element, mirror: ET.Element, variables: Mapping[str, str], file: Path) -> str:
    """Return the mirror's URL, with user and password if the file has a server with the same id."""
    url, identifier = _text(mirror, "url", variables), _text(mirror, "id", {})
    for server in root.iterfind("{*}servers/{*}server"):
        user, password = _text(server, "username", variables), _text(server, "password", variables)
        if _text(server, "id", {}) != identifier or not user:
            continue
        if password.startswith("{") and password.endswith("}"):
            problem = f"{file}: the password of server {identifier} is encrypted, which only Maven can read"
            raise SettingsError((problem,))
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}"))
    return url


def _text(element: ET.Element, name: str, variables: Mapping[str, str]) -> str:
    """Return the text of a child, with `${env.NAME}` and `${user.home}` replaced; empty if there is none."""
    text = (element.findtext(f"{{*}}{name}") or "").strip()
    return _REFERENCE.sub(lambda found: variables.get(found[2], found[0]), text)


def user_repository_url(configured: str) -> str:
    """Return `repository_url` for this process and its user."""
    return repository_url(configured, os.environ, Path.home())
