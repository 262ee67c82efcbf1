"""redrive: letters go back to their queue, jobs with images that were given up are retried; a dry run only says so."""

import json
from collections import Counter
from types import SimpleNamespace
from unittest.mock import Mock
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from imagejobs.bucket import ObjectVersion
from imagejobs.errors import ImageAbandoned
from imagejobs.queues import Queue
from imagejobs.steps.control import Control
from operations import letters
from operations.letters import DeadLetterQueue
from operations.redrive import main, redrive, redrive_letters
from operations.target import OUTPUTS, Target, TargetUnknown
from tests.integration.handlers import end_images, failed, fanned_out, lease_row, load_event, row_body
from tests.integration.jobs import images_of, job_of, received, sheet
from tests.operations.jobs import A, B, close, finished, worked_off

JOB = uuid4()
FILE = json.loads(load_event("fan_out")["Records"][0]["body"])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Nobody sends a letter while a test looks."""
    monkeypatch.setattr(letters, "WAIT_SECONDS", 0)


@pytest.fixture
def row_letters(target) -> DeadLetterQueue:
    return DeadLetterQueue(target.sqs(), target.names["row_dead_letter_queue_url"], target.names["row_queue_url"])


@pytest.fixture
def upload_letters(target) -> DeadLetterQueue:
    names = target.names
    return DeadLetterQueue(target.sqs(), names["upload_dead_letter_queue_url"], names["upload_queue_url"])


@pytest.fixture
def given_up(functions, database, bucket):
    """An ended job with one image compressed, one refused by its origin, and one given up."""
    return with_abandoned_image(functions, database, bucket)


def with_abandoned_image(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A, f"{A}?again, {B}"))
    token, (first, second) = lease_row(database, request_id, 2)
    end_images(database, token, {**failed(first), "error_code": ImageAbandoned.code}, failed(second))
    return finished(functions, database, bucket, request_id)


def put(queue, *bodies):
    for body in bodies:
        queue.client.send_message(QueueUrl=queue.url, MessageBody=body if isinstance(body, str) else json.dumps(body))


def rows(*row_numbers):
    return [row_body(JOB, row_number) for row_number in row_numbers]


def visible(client, url):
    """The bodies that can be seen in a queue, sorted; they stay."""
    found = received(Queue(client, url))
    for message in found:
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=0)
    return sorted((dict(message.body) for message in found), key=json.dumps)


def waiting(queue):
    return visible(queue.client, queue.url)


def sent_back(queue):
    return visible(queue.client, queue.source_url)


# ── A dry run ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_names_everything_and_changes_nothing(
    target, database, row_letters, upload_letters, given_up, upload_queue, capsys
):
    received(upload_queue)
    put(row_letters, *rows(7))
    put(upload_letters, FILE)
    before = job_of(database, given_up), images_of(database, given_up)
    row_queue_before = sent_back(row_letters)

    assert redrive(target, dry_run=True) == 0

    assert waiting(row_letters) == rows(7)
    assert waiting(upload_letters) == [FILE]
    assert sent_back(row_letters) == row_queue_before
    assert sent_back(upload_letters) == []
    assert (job_of(database, given_up), images_of(database, given_up)) == before
    shown = capsys.readouterr().out
    file = ObjectVersion.from_event_record(FILE["Records"][0])
    for part in (
        f"row 7 of job {JOB}, deliveries: 1, 0:00:0",
        f"version {file.version} of {file.key}, deliveries: 1",
        "rows-dead: letters seen: 1\n",
        "uploads-dead: letters seen: 1\n",
        f"Job {given_up}, images given up: 1: would be retried",
        "nothing was changed",
    ):
        assert part in shown


def test_a_dry_run_that_breaks_off_hides_nothing(row_letters, monkeypatch):
    put(row_letters, *rows(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr("builtins.print", Mock(side_effect=BrokenPipeError))

        with pytest.raises(BrokenPipeError):
            redrive_letters(row_letters, dry_run=True)

    assert waiting(row_letters) == rows(1, 2)


def test_letters_that_show_again_meanwhile_are_not_taken_for_others(row_letters, monkeypatch, capsys):
    monkeypatch.setattr(letters, "HIDDEN_SECONDS", 0)
    put(row_letters, *rows(1, 2))

    redrive_letters(row_letters, dry_run=True)

    assert "rows-dead: letters seen: 2\n" in capsys.readouterr().out


# ── Letters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 10, 25])
def test_letters_go_back_to_the_queue_that_they_came_from(row_letters, count):
    bodies = sorted(rows(*range(1, count + 1)), key=json.dumps)
    put(row_letters, *bodies)

    assert redrive_letters(row_letters, dry_run=False) == 0

    assert sent_back(row_letters) == bodies
    assert waiting(row_letters) == []


def test_a_letter_goes_back_in_its_callers_message_group(target, row_letters):
    client = row_letters.client
    client.send_message(QueueUrl=row_letters.url, MessageBody=json.dumps(rows(1)[0]), MessageGroupId="shop")

    assert redrive_letters(row_letters, dry_run=False) == 0

    answer = client.receive_message(QueueUrl=row_letters.source_url, AttributeNames=["MessageGroupId"])
    assert [message["Attributes"]["MessageGroupId"] for message in answer["Messages"]] == ["shop"]


def test_files_go_to_the_upload_queue_and_rows_to_the_row_queue(target, row_letters, upload_letters):
    put(row_letters, *rows(1))
    put(upload_letters, FILE)

    assert redrive(target, dry_run=False) == 0

    assert sent_back(row_letters) == rows(1)
    assert sent_back(upload_letters) == [FILE]
    assert waiting(row_letters) == waiting(upload_letters) == []


@pytest.mark.parametrize("body", ["not JSON", "[]", "7", "null", '{"request_id": "1"}', '{"Records": [{}]}', "{}"])
def test_a_letter_that_names_nothing_goes_back_as_it_is(row_letters, capsys, body):
    put(row_letters, body)

    assert redrive_letters(row_letters, dry_run=False) == 0

    (message,) = row_letters.client.receive_message(QueueUrl=row_letters.source_url)["Messages"]
    assert message["Body"] == body
    assert f"no row or file: {body!r}" in capsys.readouterr().out


def test_letters_in_anothers_hands_are_counted_and_left(row_letters, capsys):
    put(row_letters, *rows(1))
    row_letters.client.receive_message(QueueUrl=row_letters.url, VisibilityTimeout=600)
    put(row_letters, *rows(2))

    redrive_letters(row_letters, dry_run=False)

    assert sent_back(row_letters) == rows(2)
    assert "rows-dead: letters seen: 1; hidden: 1, " in capsys.readouterr().out


def test_a_letter_that_the_queue_refuses_stays(row_letters, capsys):
    put(row_letters, *rows(1, 2, 3))
    client = Mock(wraps=row_letters.client)
    client.send_message_batch.side_effect = lambda **call: refuse(row_letters.client.send_message_batch, call, rows(2))

    assert redrive_letters(DeadLetterQueue(client, row_letters.url, row_letters.source_url), dry_run=False) == 1

    assert sent_back(row_letters) == rows(1, 3)
    assert waiting(row_letters) == rows(2)
    outcomes = Counter(line.rsplit(": ")[-1] for line in capsys.readouterr().out.splitlines()[:-1])
    assert outcomes == {"sent back": 2, "not sent back, stays here": 1}


def refuse(send, call, bodies):
    """What SQS answers when it takes all entries of a batch but these."""
    taken = [entry for entry in call["Entries"] if json.loads(entry["MessageBody"]) not in bodies]
    refused = [entry for entry in call["Entries"] if entry not in taken]
    failed_entries = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in refused]
    return {**send(**{**call, "Entries": taken}), "Failed": failed_entries}


def test_a_send_that_fails_deletes_nothing(row_letters):
    put(row_letters, *rows(*range(1, 13)))
    client = Mock(wraps=row_letters.client)
    client.send_message_batch.side_effect = EndpointConnectionError(endpoint_url="https://sqs.example")

    with pytest.raises(EndpointConnectionError):
        redrive_letters(DeadLetterQueue(client, row_letters.url, row_letters.source_url), dry_run=False)

    assert len(waiting(row_letters)) == 12
    assert sent_back(row_letters) == []
    client.delete_message_batch.assert_not_called()


def test_a_letter_that_cannot_be_deleted_is_in_both_queues_and_can_be_sent_again(row_letters):
    put(row_letters, *rows(1))
    client = Mock(wraps=row_letters.client)
    client.delete_message_batch.side_effect = ClientError({"Error": {"Code": "Throttled"}}, "DeleteMessageBatch")

    with pytest.raises(ClientError):
        redrive_letters(DeadLetterQueue(client, row_letters.url, row_letters.source_url), dry_run=False)
    assert waiting(row_letters) == sent_back(row_letters) == rows(1)

    assert redrive_letters(row_letters, dry_run=False) == 0
    assert waiting(row_letters) == []
    assert sent_back(row_letters) == rows(1, 1)


# ── Jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_with_images_that_were_given_up_is_retried(target, database, upload_queue, given_up, capsys):
    received(upload_queue)

    assert redrive(target, dry_run=False) == 0

    job = job_of(database, given_up)
    assert (job["generation"], job["status"]) == (2, "PROCESSING")
    assert [image["status"] for image in images_of(database, given_up)] == ["COMPLETED", "PENDING", "PENDING"]
    assert len(received(upload_queue)) == 1
    assert f"Job {given_up}, images given up: 1: retried as generation 2" in capsys.readouterr().out


def test_a_redrive_may_be_repeated(target, functions, database, bucket, given_up, row_letters, capsys):
    put(row_letters, *rows(1))
    redrive(target, dry_run=False)
    after = job_of(database, given_up)
    capsys.readouterr()

    assert redrive(target, dry_run=False) == 0

    assert job_of(database, given_up) == after
    assert "Ended jobs with images given up: 0" in capsys.readouterr().out
    worked_off(database, bucket, given_up)
    close(functions, database, given_up)
    assert redrive(target, dry_run=False) == 0
    assert job_of(database, given_up)["generation"] == 2


def test_other_jobs_are_left_as_they_are(target, functions, database, bucket):
    """One that failed for reasons of its own, one in work, one that its owner has cancelled."""
    own_reasons = fanned_out(functions, database, bucket, sheet(A))
    finished(functions, database, bucket, own_reasons, failing={(1, 1)})
    in_work = fanned_out(functions, database, bucket, sheet(A, B))
    token, (image,) = lease_row(database, in_work, 1)
    end_images(database, token, {**failed(image), "error_code": ImageAbandoned.code})
    cancelled = fanned_out(functions, database, bucket, sheet(A, B))
    token, (image,) = lease_row(database, cancelled, 1)
    end_images(database, token, {**failed(image), "error_code": ImageAbandoned.code})
    Control(database, Mock(), Mock()).cancel("shop", cancelled)
    close(functions, database, cancelled)
    jobs = [own_reasons, in_work, cancelled]
    before = [job_of(database, request_id) for request_id in jobs]

    assert redrive(target, dry_run=False) == 0

    assert [job_of(database, request_id) for request_id in jobs] == before


def test_a_job_that_somebody_else_retried_meanwhile_keeps_no_other_waiting(
    target, functions, database, bucket, given_up, monkeypatch, capsys
):
    other = with_abandoned_image(functions, database, bucket)
    monkeypatch.setattr("operations.redrive._abandoned", lambda _target: [(uuid4(), "shop", 1), (other, "shop", 1)])

    assert redrive(target, dry_run=False) == 1

    assert job_of(database, other)["generation"] == 2
    assert job_of(database, given_up)["generation"] == 1
    assert "not retried: There is no job" in capsys.readouterr().out


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def cloudformation(target, monkeypatch):
    """CloudFormation with answers that a test writes: moto's own needs further packages."""
    client = boto3.client("cloudformation")
    with Stubber(client) as stub:
        session = SimpleNamespace(client=lambda name, **_: client if name == "cloudformation" else boto3.client(name))
        monkeypatch.setattr(boto3, "Session", lambda: session)
        yield stub


def described(outputs):
    stack = {"StackName": "imagejobs", "CreationTime": "2026-01-01T00:00:00Z", "StackStatus": "CREATE_COMPLETE"}
    return {"Stacks": [{**stack, "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]}]}


def test_the_command_redrives_a_deployed_stack(target, database, cloudformation, row_letters, given_up):
    outputs = {OUTPUTS[name]: value for name, value in target.names.items()}
    for _ in range(2):
        cloudformation.add_response("describe_stacks", described({**outputs, "ApiUrl": "https://…"}))
    put(row_letters, *rows(1))
    arguments = ["--stack-name", "imagejobs", "--database-url", target.database_url]

    assert main([*arguments, "--dry-run"]) == 0
    assert waiting(row_letters) == rows(1)

    assert main(arguments) == 0
    assert waiting(row_letters) == []
    assert job_of(database, given_up)["generation"] == 2


def test_a_stack_of_another_template_is_refused(cloudformation):
    cloudformation.add_response("describe_stacks", described({"BucketName": "imagejobs"}))

    with pytest.raises(TargetUnknown, match="UploadQueueUrl"):
        Target.deployed("imagejobs", "postgresql://")


def test_the_command_says_when_no_stack_runs(tmp_path, capsys):
    assert main(["--stack", str(tmp_path / "stack.json")]) == 2

    assert "make run" in capsys.readouterr().err
