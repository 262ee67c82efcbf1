"""The functions as Lambda runs them: a cold start, the template's environment, an event of events/, a context.

And what stands for the function that a test leaves out, or for another one at the same time.
"""

import base64
import importlib.util
import json
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from hashlib import md5
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID, uuid4

import boto3
import pytest
import requests

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.queues import Queue, Row
from local.template import load_template
from tests.description import check_answer
from tests.integration.jobs import images_of, query, received, upload

PROJECT = Path(__file__).parents[2]
TOKEN = "example-token"
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers may use of Lambda's context object."""

    function_name: str
    remaining_seconds: float
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 1024
    aws_request_id: str = "1a2b3c4d-0000-4000-8000-123456789012"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:imagejobs"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.remaining_seconds * 1000)


@dataclass
class Functions:
    """All functions of the template, each started once a test.

    Attributes:
        values: What the template's parameters and references come to, by the name of the environment variable. A
            function sees only the variables that the template gives it.
    """

    values: dict[str, str]
    _modules: dict[str, ModuleType] = field(default_factory=dict)

    def invoke(self, function: str, event: Any, *, remaining_seconds: float = 300.0) -> Any:
        """The handler's answer, through JSON both ways as Lambda does it; the API's is as it is described."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment(function).items():
                patch.setenv(name, value)
            handler = self._handler(function)
            answer = json.loads(json.dumps(handler(deepcopy(event), Context(function, remaining_seconds))))
        if function == "api":
            headers = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
            check_answer(event["httpMethod"], event["path"], answer["statusCode"], headers, answer["body"])
        return answer

    def restarted(self) -> "Functions":
        """The same functions after a cold start, which reads changed `values`."""
        return Functions(self.values)

    def _environment(self, function: str) -> dict[str, str]:
        memory_size = functions_of_template()[function].get("MemorySize", 128)
        return {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_size),
            **{
                name: self.values[name] if isinstance(value, dict) else str(value)
                for name, value in variables(function).items()
            },
        }

    def _handler(self, function: str) -> Callable[[Any, Context], Any]:
        if function not in self._modules:
            self._modules[function] = _load(function)
        return self._modules[function].handler


@cache
def template() -> dict[str, Any]:
    """The template in CloudFormation's long form."""
    return load_template(PROJECT / "template.yaml")


def functions_of_template() -> dict[str, dict[str, Any]]:
    """The properties of every function, by the folder of its code."""
    found = [r["Properties"] for r in template()["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    return {properties["CodeUri"].removeprefix("functions/"): properties for properties in found}


def variables(function: str) -> dict[str, Any]:
    """The environment that the template gives a function, references unresolved."""
    everywhere = template()["Globals"]["Function"]["Environment"]["Variables"]
    return {**everywhere, **functions_of_template()[function]["Environment"]["Variables"]}


def load_event(name: str) -> Event:
    """One of events/*.json."""
    event: Event = json.loads((PROJECT / "events" / f"{name}.json").read_text(encoding="utf-8"))
    return event


def api_event(
    name: str, request_id: object = None, *, owner: str = "shop", query: Mapping[str, str] | None = None
) -> Event:
    """The request of events/api-<name>.json for a job, as its owner's token is let through by the authorizer."""
    event = load_event(f"api-{name}")
    if request_id is not None:
        event["path"] = event["resource"].replace("{request_id}", str(request_id))
        event["pathParameters"] = {"request_id": str(request_id)}
    event["queryStringParameters"] = dict(query) if query else None
    event["multiValueQueryStringParameters"] = {key: [value] for key, value in query.items()} if query else None
    event["requestContext"]["authorizer"].update(owner=owner, principalId=owner)
    return event


def upload_event(
    file: bytes, fields: Mapping[str, str] | None = None, *, file_field: str = "file", name: str = "upload"
) -> Event:
    """The POST of a real HTTP client's form; its multipart boundary is another one each time."""
    form = requests.Request(
        "POST", "http://localhost/upload", data=fields, files={file_field: ("products.csv", file, "text/csv")}
    ).prepare()
    assert isinstance(form.body, bytes)
    return raw_upload_event(form.body, form.headers["Content-Type"], name)


def raw_upload_event(body: bytes, content_type: str | None, name: str = "upload") -> Event:
    """The POST of any bytes; API Gateway encodes what the template names as binary, and only that."""
    event = load_event(f"api-{name}")
    binary = template()["Resources"]["Api"]["Properties"]["BinaryMediaTypes"]
    event["isBase64Encoded"] = (content_type or "").split(";")[0] in binary
    event["body"] = _base64(body) if event["isBase64Encoded"] else body.decode()
    for headers, value in ((event["headers"], content_type), (event["multiValueHeaders"], [content_type])):
        headers.pop("Content-Type")
        if content_type is not None:
            headers["Content-Type"] = value
    return event


def sqs_event(name: str, *bodies: object) -> Event:
    """An event of a queue with these message bodies; ids are "message-1" and on. A body that is text goes as it is."""
    model = load_event(name)["Records"][0]
    return {"Records": [_record(model, number, body) for number, body in enumerate(bodies, start=1)]}


def deliver(functions: Functions, function: str, queue: Queue) -> Any:
    """The function's answer to all messages in a queue, as its event source mapping hands them over."""
    messages = received(queue)
    event = sqs_event(function, *[message.body for message in messages])
    for record, message in zip(event["Records"], messages, strict=True):
        record.update(messageId=message.message_id, receiptHandle=message.receipt)
    return functions.invoke(function, event)


def file_event(source: ObjectVersion, name: str = "fan_out") -> Event:
    """An event of the upload queue with S3's own event for one version of one file."""
    return sqs_event(name, s3_event(source))


def s3_event(source: ObjectVersion) -> Event:
    """What S3 says of one version of one file."""
    event: Event = json.loads(load_event("fan_out")["Records"][0]["body"])
    event["Records"][0]["s3"]["object"].update(key=quote_plus(source.key, safe="/"), versionId=source.version)
    return event


def fanned_out(functions: Functions, database: Database, bucket: Bucket, body: bytes, **columns: Any) -> UUID:
    """A job whose CSV was uploaded and whose rows were rung for."""
    request_id, source = upload(database, bucket, body, **columns)
    functions.invoke("fan_out", file_event(source))
    return request_id


def row_body(request_id: UUID, row_number: int, generation: int = 1) -> dict[str, Any]:
    """The body of a row queue's message."""
    return Row(UUID(str(request_id)), row_number, generation, "shop").as_body()


def content_of(answer: Event) -> Any:
    """The JSON that the API answered."""
    assert content_type_of(answer) == "application/json"
    return json.loads(answer["body"])


def content_type_of(answer: Event) -> str:
    """The media type that the API answered."""
    (value,) = answer["multiValueHeaders"]["Content-Type"]
    return str(value)


def keys_in(bucket: Bucket) -> list[str]:
    """The keys of all objects in the bucket."""
    listing = boto3.client("s3").list_objects_v2(Bucket=bucket.name)
    return [described["Key"] for described in listing.get("Contents", [])]


def body_of(bucket: Bucket, key: str) -> bytes:
    """The newest version of an object."""
    body: bytes = boto3.client("s3").get_object(Bucket=bucket.name, Key=key)["Body"].read()
    return body


def lease_row(
    database: Database, request_id: UUID, row_number: int, *, seconds: float = 60, limit: int = 1000
) -> tuple[UUID, list[dict[str, Any]]]:
    """A worker's lease on the pending images of a row, `seconds` long: its token, and the images."""
    token = uuid4()
    keys = {"request_ids": [request_id], "row_numbers": [row_number], "crashed": False, "limit": limit}
    return token, database.fetch_all("lease_images", {**keys, "token": token, "lease_seconds": seconds})


def end_images(database: Database, token: UUID, *columns: Mapping[str, Any]) -> None:
    """Terminal columns of leased images, written as a worker does."""
    leased = [{**each, "lease_token": str(token)} for each in columns]
    database.execute("finish_images", {"finished": json.dumps(leased)})


def finish(database: Database, request_id: UUID, *, failing: Collection[tuple[int, int]] = ()) -> None:
    """End every pending image of a staged job as a compression would; FAILED at each (row, position) in `failing`.

    A completed image had 1000 bytes and has 400.
    """
    for row_number in sorted({image["row_number"] for image in images_of(database, request_id)}):
        token, leased = lease_row(database, request_id, row_number)
        outcomes = [
            failed(image) if (row_number, image["position"]) in failing else completed(image) for image in leased
        ]
        end_images(database, token, *outcomes)


def close(functions: Functions, request_id: object, *, generation: int = 1, run: int = 1) -> dict[str, Any]:
    """What the state machine does up to the first attempt at the webhook; its state then."""
    state: dict[str, Any] = {"request_id": str(request_id), "generation": generation, "run": run}
    for step, name in (("write_result", "result"), ("remove_strays", None), ("close_job", "closed")):
        outcome = functions.invoke("finalize", {"step": step, "state": state})
        if name:
            state[name] = outcome
    return state


def event_to_send(functions: Functions, closed: Mapping[str, Any]) -> dict[str, Any]:
    """The event that the sender finds where a `close_job` result says."""
    stored = closed["webhook"]
    source = {"Bucket": functions.values["BUCKET_NAME"], "Key": stored["key"], "VersionId": stored["version"]}
    event: dict[str, Any] = json.loads(boto3.client("s3").get_object(**source)["Body"].read())
    assert event["event_id"] == stored["event_id"]
    return event


def answer_webhook(functions: Functions, state: Mapping[str, Any], status_code: int | None) -> dict[str, Any]:
    """What the state machine records once a receiver has answered so: what comes next."""
    answer = {"status_code": status_code, "retry_after_seconds": None, "error_message": None}
    recorded: dict[str, Any] = functions.invoke(
        "finalize", {"step": "record_attempt", "state": {**state, "answer": answer}}
    )
    return recorded


def failed(image: Mapping[str, Any]) -> dict[str, Any]:
    """The terminal columns of an image whose origin does not have it."""
    failure = {"error_code": "origin_refused", "error_message": "The origin answered 404."}
    return {"image_id": str(image["image_id"]), "status": "FAILED", **failure}


def completed(image: Mapping[str, Any]) -> dict[str, Any]:
    """The terminal columns of an image of 1000 bytes that has 400 now."""
    key = f"images/{image['request_id']}/{image['row_number']}-{image['position']}.jpg"
    result = {"image_url": f"https://images.example/{key}", "object_key": key, "format": "jpeg", "outcome": "smaller"}
    sizes = {"width": 40, "height": 30, "bytes_before": 1000, "bytes_after": 400}
    coding = {"encoder": "jpeg", "encoder_quality": 74, "cpu_ms": 12, "score": 81.53, "content": "photograph"}
    coding |= {"perceptual_hash": 1 << image["row_number"]}
    return {"image_id": str(image["image_id"]), "status": "COMPLETED", **result, **sizes, **coding}


def wait_until_blocked(connect: Callable[[], Any], connections: int = 1) -> None:
    """Until so many connections to this database wait for another one's lock; fails after some ten seconds."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    wait_until(connect, f"SELECT ({sql}) >= %s", connections)


def wait_until(connect: Callable[[], Any], sql: str, *parameters: Any) -> None:
    """Until the query says true; fails after some ten seconds."""
    for _ in range(2000):
        if query(connect, f"SELECT pg_sleep(0.005); {sql}", *parameters) == [(True,)]:
            return
    raise AssertionError(f"This did not become true: {sql}")


def beside(connect: Callable[[], Any], first: Callable[[Transaction], Any], second: Callable[[], Any]) -> Any:
    """Run `second` while `first` is in a transaction; it is made to wait for that. What it returned or raised."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(second())
        except Exception as failure:  # noqa: BLE001 - compared by the test
            outcomes.append(failure)

    thread, database = Thread(target=run), Database(connect)

    def transaction_that_is_waited_for(transaction: Transaction) -> None:
        first(transaction)
        thread.start()
        wait_until_blocked(connect)

    database.transact(transaction_that_is_waited_for)
    thread.join(30)
    database.close()
    return outcomes[0]


def _record(model: Event, number: int, body: object) -> Event:
    text = body if isinstance(body, str) else json.dumps(body)
    digest = md5(text.encode(), usedforsecurity=False).hexdigest()
    ids = {"messageId": f"message-{number}", "receiptHandle": f"receipt-{number}"}
    return {**model, **ids, "body": text, "md5OfBody": digest}


def _load(function: str) -> ModuleType:
    """The module anew, so that what it caches lives for one test."""
    spec = importlib.util.spec_from_file_location(f"function_{function}", PROJECT / "functions" / function / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()
