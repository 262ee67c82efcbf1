"""The events in events/: one for each way in which a function is called, complete and of no real account."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from local.template import load_template

PROJECT = Path(__file__).parents[2]
PATHS = {path.stem: path for path in (PROJECT / "events").glob("*.json")}
EVENTS = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
QUEUE_EVENTS = {name: event for name, event in EVENTS.items() if "Records" in event}
API_EVENTS = {name: event for name, event in EVENTS.items() if "httpMethod" in event}
README = (PROJECT / "events" / "README.md").read_text(encoding="utf-8")
RESOURCES = load_template(PROJECT / "template.yaml")["Resources"]
LOGICAL_IDS = {
    resource["Properties"]["CodeUri"].removeprefix("functions/"): logical_id
    for logical_id, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
FUNCTIONS = {step: RESOURCES[logical_id]["Properties"] for step, logical_id in LOGICAL_IDS.items()}


def function_of(name: str) -> str:
    """`finalize-close_job` is for the function in functions/finalize."""
    return name.split("-", maxsplit=1)[0]


def test_every_event_names_a_function_of_the_template_and_every_function_has_one():
    assert {function_of(name) for name in EVENTS} == set(FUNCTIONS)


def test_every_event_has_its_line_in_the_readme():
    """`sam local invoke` wants the function's logical id."""
    listed = re.findall(r"^sam local invoke (\w+) +--event events/(\S+)\.json$", README, re.MULTILINE)

    assert {name: function for function, name in listed} == {name: LOGICAL_IDS[function_of(name)] for name in EVENTS}
    assert len(listed) == len(EVENTS)


def test_every_route_of_the_api_has_its_event():
    routes = {
        (event["Properties"]["Method"], event["Properties"]["Path"]) for event in FUNCTIONS["api"]["Events"].values()
    }

    assert {(event["httpMethod"], event["resource"]) for event in API_EVENTS.values()} == routes


@pytest.mark.parametrize("name", sorted(API_EVENTS))
def test_an_event_of_the_api_agrees_with_itself(name):
    event = API_EVENTS[name]

    parameters = event["pathParameters"] or {}
    assert event["path"] == event["resource"].format(**parameters)
    assert event["requestContext"]["resourcePath"] == event["resource"]
    assert event["requestContext"]["path"] == f"/{event['requestContext']['stage']}{event['path']}"
    assert event["multiValueHeaders"] == {header: [value] for header, value in event["headers"].items()}
    if event["isBase64Encoded"]:
        assert len(base64.b64decode(event["body"], validate=True)) == int(event["headers"]["Content-Length"])


@pytest.mark.parametrize("name", sorted(QUEUE_EVENTS))
def test_a_message_is_complete_as_sqs_sends_it(name):
    for record in QUEUE_EVENTS[name]["Records"]:
        assert record["eventSource"] == "aws:sqs"
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
        assert json.loads(record["body"])
        assert int(record["attributes"]["ApproximateReceiveCount"]) >= 1
        assert ("DeadLetterQueueSourceArn" in record["attributes"]) == name.startswith("bury")


@pytest.mark.parametrize("name", sorted(PATHS))
def test_an_event_belongs_to_no_real_account_and_reads_well(name):
    text = PATHS[name].read_text(encoding="utf-8")

    assert set(re.findall(r"(?<!\d)\d{12}(?!\d)", text)) <= {"123456789012"}
    assert not re.search(r"AKIA|ASIA|whsec_|BEGIN .*PRIVATE", text)
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
