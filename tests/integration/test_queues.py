"""SQS: what is sent, sent again, and shown again."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from imagejobs import queues
from imagejobs.bucket import ObjectVersion
from imagejobs.queues import MAX_VISIBILITY_SECONDS, SEND_ATTEMPTS, SENDERS, Message, MessagesNotSent, Queue, Row
from tests.integration.handlers import load_event
from tests.integration.jobs import received, rows_in

JOB = uuid4()
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/rows"


def rows(count):
    return [Row(JOB, number, 1, "shop") for number in range(1, count + 1)]


@pytest.fixture
def stubbed(aws):
    """A queue whose answers a test writes, and its stub; every answer must be asked for."""
    client = boto3.client("sqs")
    with Stubber(client) as stub:
        yield Queue(client, URL), stub
        stub.assert_no_pending_responses()


def entries(*numbers):
    """What a batch of rows looks like on the wire; each keeps the id that it was first sent with."""
    return [entry(index, index + 1) for index in numbers]


def entry(index, row_number):
    return {"Id": str(index), "MessageBody": body(row_number), "MessageGroupId": "shop"}


def body(row_number):
    return f'{{"request_id": "{JOB}", "row_number": {row_number}, "generation": 1, "owner": "shop"}}'


def answer(stub, sent, failed=()):
    """Expect these entries, and refuse some of them."""
    stub.add_response(
        "send_message_batch",
        {
            "Successful": [
                {"Id": str(index), "MessageId": f"m{index}", "MD5OfMessageBody": "0" * 32}
                for index in sent
                if index not in failed
            ],
            "Failed": [{"Id": str(index), "SenderFault": False, "Code": "InternalError"} for index in failed],
        },
        {"QueueUrl": URL, "Entries": entries(*sent)},
    )


# ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [0, 1, 10, 11, 25])
def test_every_row_is_rung_for_once(row_queue, count):
    row_queue.ring_rows(rows(count))

    messages = received(row_queue)
    assert sorted(rows_in(messages)) == list(range(1, count + 1))  # batches overtake each other
    assert {message.row.request_id for message in messages} <= {JOB}


def test_rows_are_in_the_message_group_of_their_caller(row_queue):
    row_queue.ring_rows([Row(JOB, 1, 1, "shop"), Row(JOB, 1, 1, "other-shop")])

    answer = boto3.client("sqs").receive_message(
        QueueUrl=row_queue._url, MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"]
    )
    assert [message["Attributes"]["MessageGroupId"] for message in answer["Messages"]] == ["shop", "other-shop"]


def test_rows_go_in_batches_of_ten_and_several_at_a_time(monkeypatch, row_queue):
    """No batch is answered before as many as there are senders wait for it."""
    together, batches = Barrier(SENDERS, timeout=10), []

    def send(**parameters):
        batches.append(parameters["Entries"])
        together.wait()
        return {}

    monkeypatch.setattr(row_queue._client, "send_message_batch", send)
    row_queue.ring_rows(rows(10 * SENDERS - 3))

    assert sorted(map(len, batches)) == [7] + [10] * (SENDERS - 1)
    bodies = [json.loads(entry["MessageBody"])["row_number"] for batch in batches for entry in batch]
    assert sorted(bodies) == list(range(1, 10 * SENDERS - 2))


def test_only_the_entries_that_were_refused_are_sent_again(stubbed):
    queue, stub = stubbed
    answer(stub, sent=range(5), failed=[1, 3])
    answer(stub, sent=[1, 3], failed=[3])
    answer(stub, sent=[3])

    queue.ring_rows(rows(5))


def test_entries_that_are_refused_again_and_again_are_reported(stubbed):
    queue, stub = stubbed
    answer(stub, sent=range(3), failed=[0, 2])
    for _ in range(SEND_ATTEMPTS - 1):
        answer(stub, sent=[0, 2], failed=[0, 2])

    with pytest.raises(MessagesNotSent, match="2 of 3"):
        queue.ring_rows(rows(3))


def test_after_a_batch_that_was_not_sent_no_other_is_begun(monkeypatch, row_queue):
    """The sender's cursor stays before all of them, and all are sent again."""
    begun, given_up = set(), Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *args, **options):
            given_up.set()
            super().shutdown(*args, **options)

    def refuse_the_first(**parameters):
        first = json.loads(parameters["Entries"][0]["MessageBody"])["row_number"]
        begun.add(first)
        if first > 1:
            given_up.wait(10)
            return {}
        return {"Failed": [{"Id": entry["Id"]} for entry in parameters["Entries"]]}

    monkeypatch.setattr(queues, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(row_queue._client, "send_message_batch", refuse_the_first)
    with pytest.raises(MessagesNotSent, match="10 of 10"):
        row_queue.ring_rows(rows(1_000))

    assert len(begun) <= SENDERS + 1


@pytest.mark.parametrize(
    "key", ["uploads/3f0c9e5e.csv", "drop/Küche + Bäder/März 2026.csv", "drop/100%25 & a=b?.csv", "drop/日本語 %2B.csv"]
)
def test_a_file_is_rung_for_with_an_event_that_reads_as_s3s_own(upload_queue, key):
    source = ObjectVersion(key, "096fKKXTRTtl3on89fVO.nfljtsv6qko")

    upload_queue.ring_file(source)

    (message,) = received(upload_queue)
    (record,) = message.body["Records"]
    assert ObjectVersion.from_event_record(record) == source


# ── Receiving ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_of_the_row_queue_names_its_row():
    first, second = map(Message.from_event_record, load_event("compress")["Records"])

    assert str(first.row.request_id) == load_event("bury-row")["Records"][0]["body"][16:52]
    assert (first.row.row_number, second.row.row_number) == (1, 2)
    assert (first.row.generation, second.row.generation) == (1, 1)
    assert (first.message_id, first.receipt) == (
        "059f36b4-87a3-44ab-83d2-66197582f001",
        "AQEBexample-receipt-handle-1==",
    )


def test_a_message_that_is_shown_again_at_once_is_there(row_queue):
    row_queue.ring_rows(rows(1))
    (message,) = received(row_queue)
    assert received(row_queue) == []

    row_queue.show_again(message, 0)

    assert rows_in(received(row_queue)) == [1]


@pytest.mark.parametrize(("seconds", "asked"), [(0, 0), (0.01, 1), (14.1, 15), (14.9, 15), (60, 60)], ids=str)
def test_a_message_is_shown_again_after_whole_seconds_and_never_early(stubbed, seconds, asked):
    queue, stub = stubbed
    stub.add_response(
        "change_message_visibility", {}, {"QueueUrl": URL, "ReceiptHandle": "receipt", "VisibilityTimeout": asked}
    )

    queue.show_again(Message("id", "receipt", 1, {}), seconds)


def test_a_message_is_hidden_for_no_longer_than_sqs_allows_in_all(row_queue):
    """An origin may wish for a day. SQS counts its twelve hours from the receipt on, which was a moment ago."""
    row_queue.ring_rows(rows(1))
    (message,) = received(row_queue)

    row_queue.show_again(message, 86_400)

    assert received(row_queue) == []


def test_a_message_whose_work_failed_comes_back_later_each_time(stubbed):
    queue, stub = stubbed
    for asked in (10, 30, 90, 270, 810):
        stub.add_response(
            "change_message_visibility", {}, {"QueueUrl": URL, "ReceiptHandle": "receipt", "VisibilityTimeout": asked}
        )

    for receive_count in range(1, 6):
        queue.back_off(Message("id", "receipt", receive_count, {}))


def test_a_message_that_fails_for_ever_waits_no_longer_than_sqs_allows(stubbed):
    queue, stub = stubbed
    asked = {"QueueUrl": URL, "ReceiptHandle": "receipt", "VisibilityTimeout": MAX_VISIBILITY_SECONDS}
    stub.add_response("change_message_visibility", {}, asked)

    queue.back_off(Message("id", "receipt", 100, {}))


@pytest.mark.parametrize(
    "refusal",
    [
        ClientError({"Error": {"Code": "ReceiptHandleIsInvalid", "Message": "Expired."}}, "ChangeMessageVisibility"),
        EndpointConnectionError(endpoint_url=URL),
    ],
    ids=["SQS refuses", "SQS is away"],
)
def test_a_message_that_cannot_even_be_hidden_is_left_to_the_queues_time_out(stubbed, monkeypatch, refusal):
    """The failure that made it back off is the one to report, not this one."""
    queue, _ = stubbed
    asked = []

    def refuse(**parameters):
        asked.append(parameters["VisibilityTimeout"])
        raise refusal

    monkeypatch.setattr(queue._client, "change_message_visibility", refuse)
    queue.back_off(Message("id", "receipt", 1, {}))
    with pytest.raises(type(refusal)):
        queue.show_again(Message("id", "receipt", 1, {}), 5)

    assert asked == [10, 5]


def test_the_deliveries_of_a_message_are_counted():
    (record,) = load_event("bury-row")["Records"]

    assert Message.from_event_record(record).receive_count == 6
