"""The fault layer strikes where it was told to, as often as it was told to, and goes without a trace."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import psycopg2
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.client import BaseClient
from botocore.exceptions import ConnectionClosedError

from local.artifacts import bootstrap
from reliability.faults.control import FAILED, HANG, KILL, RAISE, REACHED, Control, Delivery, Noise, Poison
from reliability.faults.layer import ENTRIES_FAILED, REPLY_LOST, THROTTLED, UNAVAILABLE, Layer, Struck, installed
from reliability.faults.preload import write_preload

QUEUE = "arn:aws:sqs:us-east-1:000000000000:rows"
REQUEST = AWSPreparedRequest("POST", "http://127.0.0.1/", {}, b"", stream_output=False)


@pytest.fixture
def control(tmp_path):
    return Control(tmp_path / "control")


@pytest.fixture
def layer(control):
    return Layer(control, "compress")


def client(service):
    return SimpleNamespace(meta=SimpleNamespace(service_model=SimpleNamespace(service_name=service)))


def call(layer, service="s3", operation="PutObject", answer="done", **parameters):
    return layer.call(lambda *_: answer, client(service), operation, parameters)


def actions(control):
    return [(arrival.point, arrival.action) for arrival in control.arrivals()]


def test_points_are_numbered_within_an_invocation(layer, control):
    def handler(_event, _context):
        call(layer)
        call(layer)

    layer.invoke(handler, {}, None)
    layer.invoke(lambda *_: layer.commit(lambda: None), {"step": "close_job"}, None)

    assert [point for point, _ in actions(control)] == [
        "compress:before:invocation",
        "compress:before:s3.PutObject#1",
        "compress:after:s3.PutObject#1",
        "compress:before:s3.PutObject#2",
        "compress:after:s3.PutObject#2",
        "compress:after:invocation",
        "compress.close_job:before:invocation",
        "compress.close_job:before:commit#1",
        "compress.close_job:after:commit#1",
        "compress.close_job:after:invocation",
    ]


def test_what_is_armed_strikes_once_and_after_the_effect_where_it_says_so(layer, control):
    effects = []
    control.arm("compress:after:commit#1", RAISE)

    with pytest.raises(Struck):
        layer.invoke(lambda *_: layer.commit(lambda: effects.append("committed")), {}, None)
    layer.invoke(lambda *_: layer.commit(lambda: effects.append("committed")), {}, None)

    assert effects == ["committed", "committed"]
    assert ("compress:after:invocation", FAILED) in actions(control)


def test_of_two_that_meet_one_plan_one_is_struck(control, tmp_path):
    control.arm("compress:before:invocation")
    control.arm("compress:before:invocation", HANG)
    other = Control(tmp_path / "control")

    assert [control.take("compress:before:invocation"), other.take("compress:before:invocation")] == [KILL, HANG]
    assert other.take("compress:before:invocation") is None


def test_what_is_disarmed_strikes_nobody(layer, control):
    control.arm("compress:before:s3.PutObject#1", RAISE)
    control.poison([Poison(".*", "", RAISE)])
    control.disturb(Noise(1.0, 1))
    control.disarm()

    assert call(layer) == "done"
    assert layer.exchange(lambda *_: "answer", None, REQUEST) == "answer"


def test_poison_strikes_each_call_whose_parameters_match(layer, control):
    control.poison([Poison(r"compress:before:s3\.PutObject#\d+", r"images/[^/]+/7-", RAISE)])

    for _ in range(2):
        with pytest.raises(Struck):
            call(layer, Key="images/x/7-1.jpg")
        call(layer, Key="images/x/6-7-1.jpg", Body=b"images/x/7-1.jpg")


def test_a_message_is_known_by_its_body(layer, control):
    body = json.dumps({"request_id": "x", "row_number": 21})
    event = {"Records": [{"eventSourceARN": QUEUE, "body": body}]}
    control.poison([Poison("compress:before:invocation", r'row_number\\": 21\b', RAISE)])

    with pytest.raises(Struck):
        layer.invoke(lambda *_: None, event, None)

    assert control.deliveries() == [Delivery(QUEUE, body)]


def test_random_faults_refuse_or_perform_and_lose_the_reply(layer, control):
    control.disturb(Noise(1.0, 1))
    performed = []

    def exchange():
        try:
            return layer.exchange(lambda *_: performed.append(1), None, REQUEST).status_code
        except ConnectionClosedError:
            return REPLY_LOST

    statuses = []
    layer.call(lambda *_: statuses.extend(exchange() for _ in range(60)), client("sqs"), "SendMessage", {})

    assert set(statuses) == {500, 400, REPLY_LOST}
    assert len(performed) == statuses.count(REPLY_LOST)
    assert {action for _, action in actions(control)} == {REACHED, UNAVAILABLE, THROTTLED, REPLY_LOST}


def test_of_a_batch_some_messages_are_not_sent_and_are_named(layer, control):
    control.disturb(Noise(1.0, 1))
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(5)]

    def send(_client, _operation, parameters):
        return {"Successful": parameters["Entries"]}

    answer = layer.call(send, client("sqs"), "SendMessageBatch", {"QueueUrl": "x", "Entries": entries})

    assert [entry["Id"] for entry in answer["Successful"]] == ["1", "3"]
    assert [entry["Id"] for entry in answer["Failed"]] == ["0", "2", "4"]
    assert ENTRIES_FAILED in [action for _, action in actions(control)]


def test_a_commit_happens_and_its_reply_is_lost(control, connect):
    with installed(control, "compress"):
        connection = psycopg2.connect(connect().dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (number int)")
    control.disturb(Noise(1.0, 1))

    with pytest.raises(psycopg2.OperationalError), connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")

    connection.close()
    reader = connect()
    with reader.cursor() as cursor:
        cursor.execute("SELECT * FROM kept")
        assert cursor.fetchall() == [(1,)]
    reader.close()


def test_the_layer_leaves_no_trace(control):
    before = psycopg2.connect, BaseClient._make_api_call

    with installed(control, "compress"):
        assert (psycopg2.connect, BaseClient._make_api_call) != before

    assert (psycopg2.connect, BaseClient._make_api_call) == before


KILLED = """
from awslambdaric import bootstrap
bootstrap.importlib.import_module = lambda name: __import__("types").SimpleNamespace(handler=lambda *_: None)
bootstrap._get_handler("app.handler")({}, None)
print("survived")
"""


def test_a_function_process_that_preloads_the_layer_kills_itself_at_a_point(control, tmp_path):
    write_preload(tmp_path / "preload", "reliability.faults.layer", tmp_path / "control")
    exports = [line for line in bootstrap([], tmp_path / "preload").splitlines() if line.startswith("export ")]
    control.arm("compress:after:invocation")

    process = subprocess.run(
        ["sh", "-c", f"{exports[0]}\nexec '{sys.executable}' -c '{KILLED}'"],
        env={**os.environ, "POWERTOOLS_SERVICE_NAME": "compress"},
        capture_output=True,
        check=False,
        text=True,
    )

    assert (process.returncode, process.stdout) == (-signal.SIGKILL, ""), process.stderr
    assert actions(control) == [
        ("compress:started", REACHED),
        ("compress:before:invocation", REACHED),
        ("compress:after:invocation", KILL),
    ]
