"""Callers: who may call, by the hash of their token, and what signs their webhooks; one secret holds all."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from imagejobs.settings import required

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

# How long a revoked token may still work in a warm environment.
CACHE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller.

    Attributes:
        name: The owner of its jobs.
        token_sha256: SHA-256 of its bearer token, in hex; the token itself is nowhere.
        webhook_secrets: Standard Webhooks secrets (`whsec_…`) that sign its events, newest first.
    """

    name: str
    token_sha256: str
    webhook_secrets: tuple[str, ...]


class Callers:
    """The callers in a Secrets Manager secret, read again every minute.

    Args:
        client: A boto3 Secrets Manager client.
        secret_arn: A secret holding `{"callers": [{"name", "token_sha256", "webhook_secrets"}]}`.
    """

    def __init__(self, client: "SecretsManagerClient", secret_arn: str) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self._callers: Sequence[Caller] = ()
        self._read_at = float("-inf")

    @classmethod
    def from_environment(cls) -> "Callers":
        """The callers in the secret that the template's `CALLERS_SECRET_ARN` names."""
        return cls(boto3.client("secretsmanager"), required("CALLERS_SECRET_ARN"))

    def by_token(self, token: str) -> Caller | None:
        """The caller that a bearer token belongs to. Every hash is compared, in constant time."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = [caller for caller in self._read() if hmac.compare_digest(caller.token_sha256, digest)]
        return found[0] if found else None

    def webhook_secrets(self, name: str) -> Sequence[str]:
        """The secrets that sign the events of the caller `name`.

        Raises:
            LookupError: There is no such caller (any more).
        """
        for caller in self._read():
            if caller.name == name:
                return caller.webhook_secrets
        raise LookupError(f"There is no caller {name!r} to sign for.")

    def _read(self) -> Sequence[Caller]:
        if time.monotonic() - self._read_at > CACHE_SECONDS:
            secret = self._client.get_secret_value(SecretId=self._secret_arn)
            described = json.loads(secret["SecretString"])["callers"]
            self._callers = [
                Caller(caller["name"], caller["token_sha256"], tuple(caller["webhook_secrets"])) for caller in described
            ]
            self._read_at = time.monotonic()
        return self._callers
