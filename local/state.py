"""The state directory of a local stack: one owner at a time, and what it keeps from one start to the next."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from local.errors import LocalStackError


@contextmanager
def owned(state_dir: Path) -> Iterator[None]:
    """Hold the state directory, which is made if needed; the lock goes with the process, however that ends.

    Raises:
        LocalStackError: A running stack holds it, or its path cannot be used.
    """
    if any(character.isspace() for character in str(state_dir)):
        raise LocalStackError(f"Postgres cannot start from a path with a space in it: {state_dir}. Move the project.")
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(
                f"A local stack already runs on {state_dir}. Stop it first (Ctrl-C where it runs); "
                f"{state_dir / 'stack.json'} names its process and its URLs."
            ) from error
        yield


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets of one local stack.

    Attributes:
        token: What callers of the API send as `Authorization: Bearer …`.
        webhook_secret: The Standard Webhooks secret that webhooks are signed with (`whsec_…`).
    """

    token: str
    webhook_secret: str

    @classmethod
    def of(cls, state_dir: Path) -> "Credentials":
        """The credentials kept in `state_dir`, made the first time."""
        path = state_dir / "credentials.json"
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        # 24 to 64 random bytes: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        credentials = cls(secrets.token_urlsafe(32), webhook_secret)
        write_json(path, asdict(credentials))
        return credentials


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Put `value` at `path`, readable by its owner only; a reader sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    temporary.replace(path)
