"""Every queue hides, redrives and batches as AWS demands; the local engine accepts other values, or ignores them."""

import ast
from dataclasses import dataclass
from typing import Any

import pytest

from imagejobs.steps.compress import LEASE_IMAGES
from tests.template.expansion import Stack, logical_id
from tests.template.python_code import handler_path, parse

FOURTEEN_DAYS_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class EventSource:
    step: str
    function: dict[str, Any]
    queue_id: str
    queue: dict[str, Any]
    mapping: dict[str, Any]


def event_sources(stack: Stack) -> list[EventSource]:
    functions, queues = stack.of_type("AWS::Lambda::Function"), stack.of_type("AWS::SQS::Queue")
    found = []
    for mapping in stack.of_type("AWS::Lambda::EventSourceMapping").values():
        function_id, queue_id = stack.function_id(mapping["FunctionName"]), logical_id(mapping["EventSourceArn"])
        found.append(EventSource(stack.step(function_id), functions[function_id], queue_id, queues[queue_id], mapping))
    return found


def dead_letter_queue_ids(stack: Stack) -> set[str]:
    queues = stack.of_type("AWS::SQS::Queue").values()
    return {logical_id(q["RedrivePolicy"]["deadLetterTargetArn"]) for q in queues if "RedrivePolicy" in q}


def test_each_step_consumes_its_queues(expanded):
    consumed = {(source.step, source.queue_id) for source in event_sources(expanded)}

    assert consumed == {
        ("fan_out", "UploadQueue"),
        ("compress", "RowQueue"),
        ("bury", "RowDeadLetterQueue"),
        ("bury", "UploadDeadLetterQueue"),
        ("report", "ReportQueue"),
    }


def test_every_queue_is_consumed(expanded):
    """But the letters of scheduled runs and reports, which nobody waits for."""
    consumed = {source.queue_id for source in event_sources(expanded)}

    assert set(expanded.of_type("AWS::SQS::Queue")) - consumed == {"AsyncDeadLetterQueue"}


def test_batches_are_small_but_those_of_rows_which_are_all_leased_at_once(expanded):
    sizes = {s.step: s.mapping["BatchSize"] for s in event_sources(expanded)}

    assert sizes.pop("compress") == LEASE_IMAGES
    assert [step for step, size in sizes.items() if not 1 <= size <= 10] == []


def test_a_window_delays_no_batch_but_those_that_aws_wants_it_for(expanded):
    windows = {s.step: s.mapping.get("MaximumBatchingWindowInSeconds", 0) for s in event_sources(expanded)}

    assert windows == {s.step: int(s.mapping["BatchSize"] > 10) for s in event_sources(expanded)}


def test_messages_of_a_batch_fail_one_by_one(expanded):
    kinds = {s.step: s.mapping["FunctionResponseTypes"] for s in event_sources(expanded)}

    assert all(kind == ["ReportBatchItemFailures"] for kind in kinds.values()), kinds


@pytest.mark.parametrize("step", ["fan_out", "compress", "bury", "report"])
def test_consumer_answers_in_the_form_that_lambda_understands(step):
    """A malformed answer fails the whole batch on AWS; the local engine takes it for a success."""
    tree = parse(handler_path(step))
    (handler,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "handler"]
    answers = [node.value for node in ast.walk(handler) if isinstance(node, ast.Return)]
    items = [d for d in ast.walk(handler) if isinstance(d, ast.Dict) and keys(d) != ["batchItemFailures"]]

    assert answers
    assert all(isinstance(answer, ast.Dict) and keys(answer) == ["batchItemFailures"] for answer in answers)
    assert items
    assert all(keys(item) == ["itemIdentifier"] for item in items)


def keys(dictionary: ast.Dict) -> list[Any]:
    return [key.value if isinstance(key, ast.Constant) else None for key in dictionary.keys]


def test_concurrency_of_every_consumer_is_bounded(expanded):
    bounds = {s.step: s.mapping["ScalingConfig"]["MaximumConcurrency"] for s in event_sources(expanded)}

    assert all(2 <= bound <= 1000 for bound in bounds.values()), bounds


def test_received_messages_stay_hidden_for_six_timeouts(expanded):
    too_short = {
        s.queue_id: (s.queue["VisibilityTimeout"], s.function["Timeout"])
        for s in event_sources(expanded)
        if s.queue["VisibilityTimeout"] < 6 * s.function["Timeout"] + s.mapping.get("MaximumBatchingWindowInSeconds", 0)
    }

    assert too_short == {}


def test_no_visibility_exceeds_twelve_hours(expanded):
    hidden = {name: q.get("VisibilityTimeout", 30) for name, q in expanded.of_type("AWS::SQS::Queue").items()}

    assert all(seconds <= 12 * 3600 for seconds in hidden.values()), hidden


def test_every_queue_redrives_to_a_dead_letter_queue(expanded):
    queues = expanded.of_type("AWS::SQS::Queue")
    ordinary = {name: queue for name, queue in queues.items() if name not in dead_letter_queue_ids(expanded)}

    assert set(ordinary) == {"UploadQueue", "RowQueue", "ReportQueue"}
    assert all(queue["RedrivePolicy"]["maxReceiveCount"] >= 5 for queue in ordinary.values())
    letters = {"UploadDeadLetterQueue", "RowDeadLetterQueue", "AsyncDeadLetterQueue"}
    assert dead_letter_queue_ids(expanded) == letters


def test_no_two_queues_share_a_dead_letter_queue(expanded):
    targets = [
        queue["RedrivePolicy"]["deadLetterTargetArn"]
        for queue in expanded.of_type("AWS::SQS::Queue").values()
        if "RedrivePolicy" in queue
    ]

    assert len(targets) == len(set(targets))


def test_dead_letters_are_kept_for_fourteen_days(expanded):
    queues = expanded.of_type("AWS::SQS::Queue")
    kept = {name: queues[name]["MessageRetentionPeriod"] for name in dead_letter_queue_ids(expanded)}

    assert set(kept.values()) == {FOURTEEN_DAYS_SECONDS}, kept


def test_every_queue_is_encrypted(expanded):
    queues = expanded.of_type("AWS::SQS::Queue")
    plain = [
        name
        for name, queue in queues.items()
        if queue.get("SqsManagedSseEnabled") is not True and not queue.get("KmsMasterKeyId")
    ]

    assert plain == []


def test_unencrypted_connections_are_refused(expanded):
    refusing = [
        queue
        for policy in expanded.of_type("AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
        if {"Bool": {"aws:SecureTransport": "false"}}
        in [statement.get("Condition") for statement in policy["PolicyDocument"]["Statement"]]
    ]

    assert sorted(map(logical_id, refusing)) == sorted(expanded.of_type("AWS::SQS::Queue"))


def test_only_the_bucket_of_this_account_sends_to_the_upload_queue(expanded):
    allowing = [
        (policy["Queues"], statement)
        for policy in expanded.of_type("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]

    ((queues, statement),) = allowing
    assert queues == ["${UploadQueue}"]
    assert statement == {
        "Sid": "BucketSendsEvents",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "${UploadQueue.Arn}",
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{expanded.the('AWS::S3::Bucket')['BucketName']}"},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        },
    }
