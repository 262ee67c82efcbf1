"""Campaign: a run with secrets in every URL and every way to fail, and a search for them in all that it wrote down.

What the customer's own data are is left out: the URLs of its images and webhooks, its CSVs, and their columns in the
finished ones.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import psutil

from imagejobs.result_sheet import RESULT_COLUMNS
from local.database import NAME as DATABASE_NAME
from local.deploy import CALLER, DATABASE_SECRET_NAME
from local.ministack import client_options, session
from reliability.customer import HOOKS
from reliability.waiting import until
from security.bench import Bench
from security.customer import Customer, sheet_of
from security.origin import http_answer, redirect
from security.pictures import GOOD_NAME
from security.tally import Tally

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

SECONDS = 240.0
REFUSALS = 2
# So that ten deliveries take seconds.
SHORT_VISIBILITY = {"VisibilityTimeout": "1"}

_UNSETTLED = "SELECT 1 FROM job_request WHERE settled_at IS NULL"
_RESULT_OF_CALLER = "SELECT request_id::text FROM job_request WHERE result_key IS NOT NULL AND owner = %s LIMIT 1"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
# The customer's own, beside which nothing of theirs may stand.
_CUSTOMERS_COLUMNS = ["source_url", "webhook_url"]

Secrets = dict[str, str]


def run_secret_search(bench: Bench) -> Tally:
    """Do the run, and search."""
    customer = Customer(bench.info)
    secrets = {name: token_urlsafe(24) for name in ("a webhook's query", "an image's query", "a redirect's query")}
    said = _misuse(bench, customer, secrets)
    _poison(bench)
    secrets |= _own_secrets(bench) | {"a presigned link's signature": _signature(bench, customer)}
    searched = list(places(bench, said))
    findings = tuple(sorted(set(find(secrets, searched))))
    return Tally(cases=len(searched), secrets=len(findings), findings=findings) + customer.tally


def find(secrets: Mapping[str, str], places: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Which secrets stand where they may not; as they are, or percent-coded."""
    for place, text in places:
        for name, secret in secrets.items():
            if secret in text or quote(secret, safe="") in text:
                yield f"{name} is in {place}"


# ── The run ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _misuse(bench: Bench, customer: Customer, secrets: Secrets) -> list[str]:
    """Every way to fail that has a URL in it; the API's refusals."""
    token, hook = secrets["a webhook's query"], f"http://{bench.shop.origin}{HOOKS}"
    for tag in ("uploaded", "dropped"):
        bench.shop.refusals[f"{tag}?token={token}"] = REFUSALS
    sheet = sheet_of(_image_urls(bench, secrets))
    job = customer.place(sheet, webhook_url=f"{hook}uploaded?token={token}")
    cancelled = customer.place(sheet, webhook_url=f"http://{bench.closed_origin}/hook?token={token}")
    customer.request("POST", f"/job/{cancelled}/cancel")
    _drop(bench, "secrets/good.csv", sheet, f"{hook}dropped?token={token}")
    _drop(bench, "secrets/refused-hook.csv", sheet, f"http://169.254.169.254/hook?token={token}")
    _drop(bench, "secrets/unreadable.csv", sheet.replace(b"Input Image Urls", sheet[-200:]), f"{hook}d?token={token}")
    customer.until_ended(job, SECONDS)
    for action in ("retry", "redeliver"):
        until_settled(bench)
        customer.request("POST", f"/job/{job}/{action}")
    until_settled(bench)
    bad_hooks = (f"http://127.0.0.1/hook?token={token}", f"http://user:{token}@example.com/", f"http://[?{token}")
    return [customer.upload(sheet, webhook_url=url).text for url in bad_hooks]


def _image_urls(bench: Bench, secrets: Secrets) -> Iterator[str]:
    signature, moved = secrets["an image's query"], secrets["a redirect's query"]
    query = f"?X-Amz-Signature={signature}"
    shop = f"http://{bench.shop.origin}/secret/"
    for name in (GOOD_NAME, "gone-1.jpg", "broken-1.jpg"):
        yield f"{shop}{name}{query}"
    yield from (
        f"http://{host}/a.jpg{query}" for host in ("169.254.169.254", "localhost", "127.1", "[::1]", "[", "a b")
    )
    yield from (
        f"http://user:{signature}@example.com/a.jpg",
        f"ftp://example.com/{query}",
        f"http://{'a' * 9000}{query}",
    )
    yield f"http://{bench.shop.origin}/secret/gone-2.jpg#{signature}"
    for target in (
        f"http://10.0.0.1/b.jpg?token={moved}",
        f"{shop}gone-3.jpg?token={moved}",
        f"http://[?token={moved}",
    ):
        yield bench.origin.add(redirect(target), query)
    for answer in (http_answer(moved.encode()), b"HTTP/1.1 999999999999 " + moved.encode(), b"\0" + moved.encode()):
        yield bench.origin.add(answer, query)
    yield f"http://{bench.closed_origin}/a.jpg{query}"
    yield bench.origin.add(http_answer(b"", "503 Service Unavailable"), query)
    yield bench.origin.add(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\xff\xd8", query)


def _drop(bench: Bench, name: str, sheet: bytes, webhook_url: str) -> None:
    key = f"{bench.info.drop_prefix}{name}"
    s3 = session().client("s3", **client_options(bench.port))
    s3.put_object(Bucket=bench.info.bucket, Key=key, Body=sheet, Metadata={"webhook-url": webhook_url})
    until(lambda: bench.query("SELECT 1 FROM job_request WHERE source_key = %s", key), SECONDS, f"{key} becomes a job")


def until_settled(bench: Bench) -> None:
    """Wait until every job has ended, and its webhook with it."""
    until(lambda: not bench.query(_UNSETTLED), SECONDS, "every job is settled")


def _poison(bench: Bench) -> None:
    """Messages that nobody can read, until they are dead letters that nobody can bury."""
    sqs = session().client("sqs", **client_options(bench.port))
    queues = {
        bench.info.row_queue_url: bench.info.row_dead_letter_queue_url,
        bench.info.upload_queue_url: bench.info.upload_dead_letter_queue_url,
    }
    with _short_visibility(sqs, [*queues, *queues.values()]):
        for queue in queues:
            sqs.send_message(QueueUrl=queue, MessageBody="This is no message of the service's.")
        for letters in queues.values():
            until(partial(_messages, sqs, letters), SECONDS, "the message is a dead letter")


@contextmanager
def _short_visibility(sqs: "SQSClient", queues: Iterable[str]) -> Iterator[None]:
    before = {
        queue: sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
        for queue in queues
    }
    try:
        for queue in before:
            sqs.set_queue_attributes(QueueUrl=queue, Attributes=SHORT_VISIBILITY)  # type: ignore[arg-type]
        yield
    finally:
        for queue, attributes in before.items():
            sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)


# ── What is searched for ─────────────────────────────────────────────────────────────────────────────────────────


def _own_secrets(bench: Bench) -> Secrets:
    """The service's: of its caller, of its database, and of its functions."""
    client = session().client("secretsmanager", **client_options(bench.port))
    password = json.loads(client.get_secret_value(SecretId=DATABASE_SECRET_NAME)["SecretString"])["password"]
    bench.watch.look()
    return {
        "the caller's token": bench.info.token,
        "the webhook's secret": bench.info.webhook_secret.partition("_")[2],
        # The local one is an ordinary word: it counts where it stands as a password.
        "the database's password in a DSN": f"password={password}",
        "the database's password in a URL": f":{password}@",
        "the database's password in JSON": f'"password": "{password}"',
        "the database's password in dense JSON": f'"password":"{password}"',
        **dict(_keys(bench.watch.processes)),
    }


def _keys(processes: Iterable[int]) -> Iterator[tuple[str, str]]:
    for pid in processes:
        with suppress(psutil.Error):
            environment = psutil.Process(pid).environ()
            for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                if name in environment:
                    yield f"the {name} of process {pid}", environment[name]


def _signature(bench: Bench, customer: Customer) -> str:
    """Of a link to a finished CSV that was handed out."""
    ((request_id,),) = bench.query(_RESULT_OF_CALLER, CALLER)
    return parse_qs(urlsplit(customer.result(request_id)[0]).query)["X-Amz-Signature"][0]


# ── Where ────────────────────────────────────────────────────────────────────────────────────────────────────────


def places(bench: Bench, said: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Everything that was written, a text each."""
    yield from (("the API's answer to a bad webhook_url", text) for text in said)
    yield from _logs(bench)
    yield from _histories(bench)
    yield from _queued(bench)
    yield from _tables(bench)
    yield from _results(bench)
    for webhooks in list(bench.shop.webhooks.values()):
        yield from (("a webhook", webhook.body.decode() + str(webhook.headers)) for webhook in webhooks)
    for path in (bench.state_dir / "ministack.log", bench.state_dir / DATABASE_NAME / "log"):
        yield f"the log of {path.parent.name}, {path.name}", path.read_text(encoding="utf-8", errors="replace")


def _logs(bench: Bench) -> Iterator[tuple[str, str]]:
    client = session().client("logs", **client_options(bench.port))
    for group in client.describe_log_groups()["logGroups"]:
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        text = "\n".join(event["message"] for page in pages for event in page["events"])
        yield f"the log {group['logGroupName']}", text


def _histories(bench: Bench) -> Iterator[tuple[str, str]]:
    client = session().client("stepfunctions", **client_options(bench.port))
    executions = client.get_paginator("list_executions").paginate(stateMachineArn=bench.info.finalizer_arn)
    for execution in (found for page in executions for found in page["executions"]):
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
        for event in (event for page in pages for event in page["events"]):
            yield "an execution's history", json.dumps(event, default=str)


def _queued(bench: Bench) -> Iterator[tuple[str, str]]:
    client = session().client("sqs", **client_options(bench.port))
    for queue in client.list_queues()["QueueUrls"]:
        for message in _messages(client, queue):
            yield f"a message of {queue.rpartition('/')[2].rpartition('-')[0]}", json.dumps(message, default=str)


def _messages(client: "SQSClient", queue: str) -> list[Any]:
    """Some of its messages, which stay there."""
    return list(client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", []))


def _tables(bench: Bench) -> Iterator[tuple[str, str]]:
    for (table,) in bench.query(_TABLES):
        rows = bench.query(f"SELECT (to_jsonb(row) - %s::text[])::text FROM {table} AS row", _CUSTOMERS_COLUMNS)
        yield from ((f"the table {table}", text) for (text,) in rows)


def _results(bench: Bench) -> Iterator[tuple[str, str]]:
    """The service's own columns of finished CSVs, and why sheets could not be read."""
    s3 = session().client("s3", **client_options(bench.port))
    for key, version in bench.query("SELECT result_key, result_version FROM job_request WHERE result_key IS NOT NULL"):
        body = s3.get_object(Bucket=bench.info.bucket, Key=key, VersionId=version)["Body"].read()
        header, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
        own = len(header) - len(RESULT_COLUMNS)
        yield from (("a finished CSV's own columns", "\n".join(row[own:])) for row in rows)
    for found in s3.list_objects_v2(Bucket=bench.info.bucket, Prefix="results/").get("Contents", []):
        if found["Key"].endswith(".error.json"):
            body = s3.get_object(Bucket=bench.info.bucket, Key=found["Key"])["Body"].read()
            yield "a result's error.json", body.decode()
