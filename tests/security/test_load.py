"""Under load, what is taken on ends, what is refused leaves nothing, and a run fails when that is not so."""

from http import HTTPStatus

import pytest

from security.load import Answer, expect, run_load

REFUSED = HTTPStatus.TOO_MANY_REQUESTS


@pytest.mark.parametrize(
    ("answer", "server_errors", "wrong"),
    [
        (Answer("POST /upload", 429, "throttled", retry_after="7"), 0, 0),
        (Answer("POST /upload", 429, "quota_exceeded", retry_after="7"), 0, 1),
        (Answer("POST /upload", 429, "throttled"), 0, 1),
        (Answer("POST /upload", 202, request_id="1"), 0, 1),
        (Answer("POST /upload", 0, "ReadTimeout"), 0, 1),
        (Answer("POST /upload", 502), 1, 1),
    ],
)
def test_an_answer_that_is_not_as_promised_is_counted_with_a_finding(answer, server_errors, wrong):
    tally = expect([answer], REFUSED, "throttled")

    assert (tally.cases, tally.server_errors, tally.wrong) == (1, server_errors, wrong)
    assert len(tally.findings) == wrong


@pytest.mark.xdist_group("security")
def test_a_few_uploads_at_once_end_beside_slow_clients_and_callers_over_their_limits(bench):
    tally = bench.run(lambda bench: run_load(bench, connections=6, slow_connections=6))

    assert tally.findings == ()
    assert tally.is_clean


@pytest.mark.long
@pytest.mark.xdist_group("security")
def test_two_hundred_uploads_at_once_end(bench):
    tally = run_load(bench)

    assert tally.findings == ()
    assert tally.is_clean
