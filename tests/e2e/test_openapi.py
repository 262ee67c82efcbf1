"""The description says what the API answers: real answers against docs/openapi.yaml."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.e2e.customer import HEADER

DESCRIPTION = yaml.safe_load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def resolved(node):
    """The node that a local $ref names."""
    while "$ref" in node:
        target = DESCRIPTION
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def check(answer, path, method="get"):
    """An answer has a described status, and a body of the described shape."""
    responses = DESCRIPTION["paths"][path][method]["responses"]
    described = resolved(responses[str(answer.status_code)])
    schema = described["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(
        {**schema, "components": DESCRIPTION["components"]}, format_checker=jsonschema.FormatChecker()
    )
    validator.validate(answer.json())
    for name in described.get("headers", {}):
        assert name in answer.headers


@pytest.fixture(scope="module")
def job(client, shop):
    """An upload's answer, and its id once it has ended."""
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n2,Lamp,{shop.url('/gone.jpg')}\n"
    answer = client.request("POST", "/upload", files={"file": ("products.csv", sheet)})
    client.ended(answer.json()["request_id"])
    return answer, answer.json()["request_id"]


def test_answers_are_as_described(client, job):
    accepted, request_id = job

    check(accepted, "/upload", "post")
    check(client.request("GET", f"/job/status/{request_id}"), "/job/status/{request_id}")
    check(client.request("GET", f"/job/{request_id}/images?limit=1"), "/job/{request_id}/images")
    check(client.request("GET", f"/job/{request_id}/result"), "/job/{request_id}/result")
    check(client.request("GET", f"/job/{request_id}/events?limit=1"), "/job/{request_id}/events")
    check(client.request("GET", f"/job/{request_id}/deliveries"), "/job/{request_id}/deliveries")
    check(client.request("GET", "/jobs?limit=1"), "/jobs")
    check(client.request("POST", "/uploads", json={"quality": 80}), "/uploads", "post")
    check(client.request("POST", "/uploads", json={"quality": 0}), "/uploads", "post")
    assert accepted.headers["Location"] == f"{client.api_url}/job/status/{request_id}"


def test_refusals_are_as_described(client):
    check(client.request("POST", "/upload", data={"file": ""}), "/upload", "post")
    check(client.request("POST", "/upload", files={"file": ("x.csv", b"1" * 4_400_001)}), "/upload", "post")
    check(client.request("GET", f"/job/status/{UNKNOWN}"), "/job/status/{request_id}")
    check(client.request("GET", "/job/status/x"), "/job/status/{request_id}")
    check(client.request("GET", f"/job/{UNKNOWN}/images?limit=0"), "/job/{request_id}/images")
    check(client.request("GET", f"/job/{UNKNOWN}/result", headers={}), "/job/{request_id}/result")


def test_what_is_asked_of_an_ended_job_is_answered_as_described(client, job):
    _, request_id = job

    for what in ("cancel", "redeliver", "retry"):
        check(client.request("POST", f"/job/{request_id}/{what}"), f"/job/{{request_id}}/{what}", "post")
    client.ended(request_id)


@pytest.mark.local
def test_a_job_that_has_not_ended_has_no_result_yet(client, shop):
    shop.answers["/slow.jpg"] = [lambda _request, wire: wire.settimeout(10) or wire.recv(1)]
    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/slow.jpg')}\n")

    answer = client.request("GET", f"/job/{request_id}/result")

    assert answer.status_code == 409
    check(answer, "/job/{request_id}/result")
