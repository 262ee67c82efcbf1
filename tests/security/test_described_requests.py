"""Answers are as described, and a run fails when they are not."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from local.cdn import http_server
from local.ports import LOOPBACK
from security.described_requests import compare, run_described_requests

SETTINGS = {
    "seed": 1,
    "generation": {"max-examples": 1, "database": "none"},
    "phases": {"coverage": {"enabled": False}},
}
DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "Lamps", "version": "1"},
    "paths": {
        "/lamp": {
            "get": {
                "responses": {
                    "200": {
                        "description": "A lamp.",
                        "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"type": "object", "required": ["lit"]}}},
                    }
                }
            }
        }
    },
}


@pytest.fixture
def lamp() -> Iterator[tuple[str, dict]]:
    """The URL of an API with one operation, and what it answers: status, headers and body."""
    answer = {"status": 200, "headers": {"Content-Type": "application/json", "ETag": '"1"'}, "body": b'{"lit": true}'}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer["body"])

        def log_message(self, *args):
            pass

    with http_server(0, Handler) as port:
        yield f"http://{LOOPBACK}:{port}", answer


def test_an_answer_as_described_is_no_finding(lamp):
    url, _ = lamp

    tally = compare(url, DESCRIPTION, SETTINGS)

    assert tally.findings == ()
    assert tally.cases > 0


@pytest.mark.parametrize(
    "change",
    [
        {"status": 204},
        {"headers": {"Content-Type": "text/html", "ETag": '"1"'}},
        {"headers": {"Content-Type": "application/json"}},
        {"body": b"{}"},
        {"body": b"lamp"},
    ],
)
def test_another_answer_is_a_finding(lamp, change):
    url, answer = lamp
    answer.update(change)

    tally = compare(url, DESCRIPTION, SETTINGS)

    assert (tally.server_errors, tally.wrong) == (0, 1)
    assert "GET /lamp" in tally.findings[0]


def test_a_server_error_is_counted_by_itself(lamp):
    url, answer = lamp
    answer["status"] = 502

    assert compare(url, DESCRIPTION, SETTINGS).server_errors > 0


def test_an_api_that_does_not_answer_is_a_finding():
    assert compare(f"http://{LOOPBACK}:1", DESCRIPTION, SETTINGS).wrong > 0


@pytest.mark.xdist_group("security")
def test_every_answer_of_the_service_is_as_described(bench):
    tally = bench.run(lambda bench: run_described_requests(bench, max_examples=2))

    assert tally.findings == ()
    assert tally.server_errors == 0
    assert tally.cases > 300


@pytest.mark.long
@pytest.mark.xdist_group("security")
def test_every_answer_is_as_described_in_many_more_requests(bench):
    tally = bench.run(lambda bench: run_described_requests(bench, max_examples=100))

    assert tally.findings == ()
    assert tally.server_errors == 0
