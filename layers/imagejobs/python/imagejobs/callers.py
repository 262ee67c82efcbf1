"""Callers: who may call, by the hash of their token, and what signs their webhooks; one secret holds all."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from imagejobs.settings import required

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

# How long a revoked token may still work in a warm environment; API Gateway keeps the answer for as long after that.
CACHE_SECONDS = 30.0
# How long an unknown one is taken for wrong before the secret is asked again: it may be new.
DOUBT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Caller:
    """One token of a caller.

    Attributes:
        name: The owner of its jobs; a caller that changes its token has two for a while.
        token_sha256: SHA-256 of the bearer token, in hex; the token itself is nowhere.
        webhook_secrets: Standard Webhooks secrets (`whsec_…`) that sign its events, newest first.
        daily_images: Images a day that its jobs may have.
        requests_per_minute: Requests that it may send.
    """

    name: str
    token_sha256: str
    webhook_secrets: tuple[str, ...]
    daily_images: int
    requests_per_minute: int

    @classmethod
    def from_described(cls, described: Mapping[str, Any]) -> "Caller":
        """From its entry in the secret."""
        secrets = tuple(described["webhook_secrets"])
        limits = int(described["daily_images"]), int(described["requests_per_minute"])
        return cls(described["name"], described["token_sha256"], secrets, *limits)


class Callers:
    """The callers in a Secrets Manager secret, read again twice a minute.

    Args:
        client: A boto3 Secrets Manager client.
        secret_arn: A secret holding `{"callers": […]}`, each with the attributes of `Caller`.
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
        return _of_digest(self._read(CACHE_SECONDS), digest) or _of_digest(self._read(DOUBT_SECONDS), digest)

    def webhook_secrets(self, name: str) -> Sequence[str]:
        """The secrets that sign the events of the caller `name`, of all of its tokens.

        Raises:
            LookupError: There is no such caller (any more).
        """
        of_name = [caller.webhook_secrets for caller in self._read(CACHE_SECONDS) if caller.name == name]
        if not of_name:
            raise LookupError(f"There is no caller {name!r} to sign for.")
        return [secret for secrets in of_name for secret in secrets]

    def _read(self, max_age_seconds: float) -> Sequence[Caller]:
        if time.monotonic() - self._read_at > max_age_seconds:
            secret = self._client.get_secret_value(SecretId=self._secret_arn)
            described = json.loads(secret["SecretString"])["callers"]
            self._callers = [Caller.from_described(caller) for caller in described]
            self._read_at = time.monotonic()
        return self._callers


def _of_digest(callers: Sequence[Caller], digest: str) -> Caller | None:
    found = [caller for caller in callers if hmac.compare_digest(caller.token_sha256, digest)]
    return found[0] if found else None
