"""`python -m operations.tokens`: makes, lists and revokes the tokens that may call, and changes what signs webhooks.

A token and a webhook secret are shown once, when they are made: the stack keeps a token's hash alone, and shows a
secret to nobody. Warm functions know of a change within a minute. Two operators must not do this at the same moment.
"""

import argparse
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagejobs.webhook import new_secret
from operations.target import STACK_FILE, Target, TargetUnknown

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

Entry = dict[str, Any]

DAILY_IMAGES = 100_000
REQUESTS_PER_MINUTE = 600
TOKEN_BYTES = 32
# A receiver that was given the new secret late still verifies with the one before.
VALID_SECRETS = 2
# It becomes the group of SQS messages, and stands in logs: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID_CHARACTERS = 12


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


class Book:
    """The callers in the stack's secret.

    Args:
        client: A boto3 Secrets Manager client.
        secret_arn: The secret of the output `CallersSecretArn`.
    """

    def __init__(self, client: "SecretsManagerClient", secret_arn: str) -> None:
        self._client = client
        self._secret_arn = secret_arn

    def entries(self) -> list[Entry]:
        """One a token."""
        text = self._client.get_secret_value(SecretId=self._secret_arn)["SecretString"]
        entries: list[Entry] = json.loads(text)["callers"]
        return entries

    def create(self, name: str, daily_images: int, requests_per_minute: int) -> tuple[str, str]:
        """Let a caller in, or give one that is in another token; the token and the webhook secret.

        Raises:
            Refused: The name or a limit cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise Refused("A name has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with no sign.")
        if min(daily_images, requests_per_minute) < 1:
            raise Refused("Both limits are at least 1; to let a caller do nothing, revoke its tokens.")
        token, webhook_secret = secrets.token_urlsafe(TOKEN_BYTES), new_secret()
        entry = {
            "name": name,
            "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            "webhook_secrets": [webhook_secret],
            "daily_images": daily_images,
            "requests_per_minute": requests_per_minute,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write([*self.entries(), entry])
        return token, webhook_secret

    def rotate_secret(self, token_id: str) -> str:
        """A new webhook secret for a token; the one before stays valid beside it, older ones do not.

        Raises:
            Refused: There is no such token.
        """
        entries = self.entries()
        entry = _of_id(entries, token_id)
        webhook_secret = new_secret()
        entry["webhook_secrets"] = [webhook_secret, *entry["webhook_secrets"]][:VALID_SECRETS]
        self._write(entries)
        return webhook_secret

    def revoke(self, token_id: str) -> Entry:
        """Let a token in no more; its entry. Jobs that are under way go on.

        Raises:
            Refused: There is no such token.
        """
        entries = self.entries()
        entry = _of_id(entries, token_id)
        self._write([other for other in entries if other is not entry])
        return entry

    def _write(self, entries: Sequence[Entry]) -> None:
        self._client.put_secret_value(SecretId=self._secret_arn, SecretString=json.dumps({"callers": entries}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when it is done, 1 when it was refused, 2 when the stack was not reached."""
    options = _parse(arguments)
    try:
        target = Target.deployed(options.stack_name) if options.stack_name else Target.local(options.stack)
        document, words = _run(Book(target.secretsmanager(), target.names["callers_secret_arn"]), options)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except (TargetUnknown, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(document) if options.json else words)
    return 0


def _run(book: Book, options: argparse.Namespace) -> tuple[object, str]:
    """Do what was asked for; what came of it, as a JSON document and in words."""
    if options.command == "create":
        token, webhook_secret = book.create(options.name, options.daily_images, options.requests_per_minute)
        shown = {"token": token, "webhook_secret": webhook_secret}
        return shown, f"Token:          {token}\nWebhook secret: {webhook_secret}\nNeither is shown again."
    if options.command == "rotate-secret":
        webhook_secret = book.rotate_secret(options.id)
        words = "It is not shown again. The one before is valid until the next one."
        return {"webhook_secret": webhook_secret}, f"Webhook secret: {webhook_secret}\n{words}"
    if options.command == "revoke":
        entry = book.revoke(options.id)
        return _summary(entry), f"A token of {entry['name']} is revoked; within a minute it is let in nowhere."
    summaries = [_summary(entry) for entry in book.entries()]
    return summaries, "\n".join(map(_described, summaries)) or "Nobody may call yet: create a token."


def _summary(entry: Entry) -> Entry:
    """What may be shown of a token at any time."""
    return {
        "id": _id(entry),
        "name": entry["name"],
        "daily_images": entry["daily_images"],
        "requests_per_minute": entry["requests_per_minute"],
        "webhook_secrets": len(entry["webhook_secrets"]),
        "created_at": entry.get("created_at"),
    }


def _described(summary: Entry) -> str:
    limits = f"{summary['daily_images']:,} images a day, {summary['requests_per_minute']:,} requests a minute"
    made = summary["created_at"] or "by hand"
    return f"{summary['id']}  {summary['name']}: {limits}, webhook secrets: {summary['webhook_secrets']}, made {made}"


def _id(entry: Entry) -> str:
    """What names a token without being of use to a thief: the beginning of its hash."""
    return str(entry["token_sha256"])[:_ID_CHARACTERS]


def _of_id(entries: Sequence[Entry], token_id: str) -> Entry:
    for entry in entries:
        if _id(entry) == token_id:
            return entry
    raise Refused(f"There is no token {token_id}; `list` names them.")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m operations.tokens", description=__doc__)
    parser.add_argument("--stack", type=Path, default=STACK_FILE, help="stack.json of a local stack (%(default)s)")
    parser.add_argument("--stack-name", help="of a deployed CloudFormation stack, found with AWS's own environment")
    parser.add_argument("--json", action="store_true", help="for scripts")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="a new caller, or another token of one")
    create.add_argument("name")
    create.add_argument("--daily-images", type=int, default=DAILY_IMAGES, help="(%(default)s)")
    create.add_argument("--requests-per-minute", type=int, default=REQUESTS_PER_MINUTE, help="(%(default)s)")
    commands.add_parser("list", help="all tokens, by their ids")
    for name, what in (("revoke", "let a token in no more"), ("rotate-secret", "a new webhook secret of a token")):
        commands.add_parser(name, help=what).add_argument("id")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
