"""Which API a command talks to, and with which token."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from imagejobs_cli.errors import Unusable

CONFIG_FILE = Path(click.get_app_dir("imagejobs")) / "config.toml"
STACK_FILE = Path(".local/stack.json")
URL_VARIABLE, TOKEN_VARIABLE, PROFILE_VARIABLE = "IMAGEJOBS_API_URL", "IMAGEJOBS_TOKEN", "IMAGEJOBS_PROFILE"

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What RFC 6750, 2.1 allows after `Bearer `, and a header could carry at all.
_TOKEN = re.compile(r"[!-~]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Connection:
    """An API and the right to call it.

    Args:
        api_url: The API's URL, with or without a slash at its end.
        token: For `Authorization: Bearer …`; not shown in its representation.
        source: Where both were found, for messages.

    Raises:
        Unusable: Not such a URL or token, or the token would travel unencrypted.
    """

    api_url: str
    token: str = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        url = urlsplit(self.api_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise Unusable(f"The API's URL of {self.source} is no http(s) URL: {self.api_url}")
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise Unusable(f"The token of {self.source} would travel unencrypted to {url.hostname}. Use its https URL.")
        if not _TOKEN.fullmatch(self.token):
            raise Unusable(f"The token of {self.source} is empty, or has characters that no token has.")

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine."""
        return urlsplit(self.api_url).hostname in LOOPBACK


def find_connection(profile: str | None, warn: Callable[[str], None]) -> Connection:
    """The API to talk to: of `--profile`, else of the environment, else the local stack that runs in this clone.

    Args:
        profile: The name after `--profile`.
        warn: Told what the person should mend.

    Raises:
        Unusable: None of them leads to an API.
    """
    if profile:
        return _of_profile(profile, warn)
    if os.environ.get(URL_VARIABLE) or os.environ.get(TOKEN_VARIABLE):
        return _of_environment(os.environ)
    if named := os.environ.get(PROFILE_VARIABLE):
        return _of_profile(named, warn)
    return _of_local_stack(Path.cwd())


def _of_environment(environment: Mapping[str, str]) -> Connection:
    missing = [name for name in (URL_VARIABLE, TOKEN_VARIABLE) if not environment.get(name)]
    if missing:
        raise Unusable(f"{missing[0]} is not set in the environment; {URL_VARIABLE} and {TOKEN_VARIABLE} go together.")
    return Connection(environment[URL_VARIABLE], environment[TOKEN_VARIABLE], "the environment")


def _of_profile(name: str, warn: Callable[[str], None]) -> Connection:
    profiles = _profiles(warn)
    found = profiles.get(name)
    if not isinstance(found, Mapping):
        known = ", ".join(sorted(profiles)) or "none"
        raise Unusable(f"There is no profile {name} in {CONFIG_FILE}; it has: {known}.")
    missing = [key for key in ("api_url", "token") if not isinstance(found.get(key), str)]
    if missing:
        raise Unusable(f'The profile {name} in {CONFIG_FILE} lacks {missing[0]} = "…".')
    return Connection(found["api_url"], found["token"], f"the profile {name}")


def _profiles(warn: Callable[[str], None]) -> Mapping[str, Any]:
    try:
        content = CONFIG_FILE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Unusable(f"There is no {CONFIG_FILE}, which holds the profiles.") from None
    if os.name == "posix" and (mode := stat.S_IMODE(CONFIG_FILE.stat().st_mode)) & _OTHERS:
        warn(f"{CONFIG_FILE} holds tokens and others may use it (mode {mode:04o}): chmod 600 {CONFIG_FILE}")
    try:
        profiles = tomllib.loads(content).get("profiles", {})
    except tomllib.TOMLDecodeError as error:
        raise Unusable(f"{CONFIG_FILE} is no TOML: {error}") from None
    return profiles if isinstance(profiles, Mapping) else {}


def _of_local_stack(folder: Path) -> Connection:
    for each in (folder, *folder.parents):
        path = each / STACK_FILE
        if path.is_file():
            info = json.loads(path.read_text(encoding="utf-8"))
            return Connection(info["api_url"], info["token"], f"the local stack of {each}")
    raise Unusable(
        "No API is named and no local stack runs in this folder or above it. Start one with `imagejobs local up`, "
        f"or set {URL_VARIABLE} and {TOKEN_VARIABLE}, or name a profile of {CONFIG_FILE} with --profile."
    )
