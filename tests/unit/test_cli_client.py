"""The command line's client: what it asks again, what it does not, and who gets to see the token."""

import json

import pytest

from imagejobs.upload_form import parse_upload_form
from imagejobs_cli.client import MAX_RETRY_AFTER_SECONDS, PAUSES_SECONDS, Api
from imagejobs_cli.errors import Refused, Unreachable, Unusable
from imagejobs_cli.settings import Connection
from tests.unit.fetch_helpers import http_answer, origin, says, scripted_origin

TOKEN = "t0ken-of-the-shop"
JOB = "3f0c1f3e-0000-4000-8000-000000000000"


def document(value, status="200 OK", **headers):
    return says(http_answer(json.dumps(value).encode(), status=status, Content_Type="application/json", **headers))


def refusal(code, status, **headers):
    return document({"code": code, "message": f"This is {code}."}, status, **headers)


NO_ANSWER = says(b"", then_close=True)
BROKEN_OFF = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then_close=True)


@pytest.fixture
def server():
    with scripted_origin(refusal("route_not_found", "404 Not Found")) as server:
        yield server


@pytest.fixture
def slept(monkeypatch):
    """The pauses, which take no time."""
    pauses = []
    monkeypatch.setattr("imagejobs_cli.client.time.sleep", pauses.append)
    return pauses


@pytest.fixture
def api(server, slept):
    return Api(Connection(server.url("/stage/"), TOKEN, "the test"), lambda _text: None)


@pytest.fixture
def sheet(tmp_path):
    path = tmp_path / "products.csv"
    path.write_bytes(b"S. No.,Product Name,Input Image Urls\r\n1,Vase,https://shop.example/vase.jpg\r\n")
    return path


def answered(request):
    """The form that a request carried, as the API reads it."""
    return parse_upload_form(request.headers["content-type"], request.body)


def test_an_upload_is_repeated_whole_and_with_the_same_key_until_it_is_answered(server, api, slept, sheet):
    server.answers["/stage/upload"] = [
        NO_ANSWER,
        refusal("internal_error", "500 Internal Server Error"),
        refusal("throttled", "429 Too Many Requests", Retry_After="7"),
        document({"request_id": JOB}, "202 Accepted"),
    ]

    assert api.submit(sheet, {"quality": "70"}, "a-key") == JOB

    assert [request.headers["idempotency-key"] for request in server.requests] == ["a-key"] * 4
    assert [answered(request).file for request in server.requests] == [sheet.read_bytes()] * 4
    assert answered(server.requests[0]).fields == {"quality": "70"}
    assert [pause <= most for pause, most in zip(slept[:2], PAUSES_SECONDS, strict=False)] == [True, True]
    assert slept[2:] == [7]


def test_a_quota_that_is_over_for_the_day_is_not_waited_for(server, api, slept):
    after = str(int(MAX_RETRY_AFTER_SECONDS) + 1)
    server.answers[f"/stage/job/{JOB}/retry"] = [refusal("quota_exceeded", "429 Too Many Requests", Retry_After=after)]

    with pytest.raises(Refused, match=r"This is quota_exceeded\.") as caught:
        api.retry(JOB)

    assert (caught.value.code, caught.value.exit_code, slept) == ("quota_exceeded", 4, [])


def test_a_report_that_is_not_there_yet_is_asked_for_again(server, api, slept):
    server.answers[f"/stage/job/{JOB}/report.html"] = [
        refusal("report_not_ready", "404 Not Found", Retry_After="2"),
        document({"url": "https://bucket.example/report"}),
    ]

    assert api.link(JOB, "report.html") == "https://bucket.example/report"
    assert slept == [2]


def test_a_server_that_stays_away_is_given_up_after_as_many_pauses(server, api, slept):
    server.answers[f"/stage/job/status/{JOB}"] = [says(http_answer(b"<html>", status="502 Bad Gateway"))]

    with pytest.raises(Unreachable, match=f"{server.origin} answered with 502") as caught:
        api.job(JOB)

    assert (caught.value.exit_code, len(slept), len(server.requests)) == (5, len(PAUSES_SECONDS), len(slept) + 1)


def test_the_token_goes_to_the_api_alone(server, api, slept, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with origin(says(http_answer(b"S. No.\r\n"))) as bucket:
        server.answers[f"/stage/job/{JOB}/result"] = [document({"url": bucket.url("/finished.csv?signature=1")})]

        assert api.download(api.link(JOB, "result"), tmp_path / "finished.csv") == 8

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in bucket.requests[0].headers
    assert (tmp_path / "finished.csv").read_bytes() == b"S. No.\r\n"


def test_a_redirect_of_the_api_is_not_followed(server, api):
    with origin(document({"status": "COMPLETED"})) as elsewhere:
        moved = http_answer(status="301 Moved Permanently", Location=elsewhere.url("/phishing"))
        server.answers[f"/stage/job/status/{JOB}"] = [says(moved)]

        with pytest.raises(Unusable, match="leads elsewhere"):
            api.job(JOB)

    assert elsewhere.requests == []


def test_what_is_not_this_api_is_said_to_be_so(server, api):
    server.answers["/stage/jobs?limit=20"] = [says(http_answer(b"<html>Welcome</html>"))]

    with pytest.raises(Unusable, match="is not this API"):
        list(api.jobs(20))


def test_a_sheet_too_large_for_the_api_goes_to_the_bucket_by_a_form_that_ends_with_it(
    server, api, slept, sheet, monkeypatch
):
    monkeypatch.setattr("imagejobs_cli.client.MAX_UPLOAD_BYTES", sheet.stat().st_size - 1)
    with origin(says(http_answer(status="204 No Content"))) as bucket:
        place = {
            "request_id": JOB,
            "url": bucket.url("/bucket"),
            "fields": {"key": f"uploads/{JOB}.csv", "policy": "p"},
        }
        server.answers["/stage/uploads"] = [document(place, "201 Created")]

        assert api.submit(sheet, {"quality": "70"}, "a-key") == JOB

    (asked,), (sent,) = server.requests, bucket.requests
    assert json.loads(asked.body) == {"quality": "70"}
    assert "authorization" not in sent.headers
    assert answered(sent).fields == place["fields"]
    assert answered(sent).file == sheet.read_bytes()
    assert sent.body.index(b'name="policy"') < sent.body.index(b'name="file"')


def test_pages_are_asked_for_until_there_are_enough(server, api):
    server.answers["/stage/jobs?limit=3"] = [document({"jobs": [{"n": 1}, {"n": 2}], "next": "c"})]
    server.answers["/stage/jobs?limit=3&after=c"] = [document({"jobs": [{"n": 3}, {"n": 4}], "next": "d"})]

    assert [job["n"] for job in api.jobs(3)] == [1, 2, 3]
    assert len(server.requests) == 2


def test_a_download_that_breaks_off_leaves_the_file_as_it_was_or_whole(server, api, slept, tmp_path):
    file = tmp_path / "finished.csv"
    file.write_bytes(b"of before")
    server.answers["/finished"] = [BROKEN_OFF]

    with pytest.raises(Unreachable, match="the answer breaks off"):
        api.download(server.url("/finished"), file)

    assert [path.name for path in tmp_path.iterdir()] == ["finished.csv"]
    assert file.read_bytes() == b"of before"

    server.answers["/finished"] = [BROKEN_OFF, says(http_answer(b"whole"))]
    assert api.download(server.url("/finished"), file) == 5
    assert file.read_bytes() == b"whole"


def test_an_address_where_nothing_answers_is_told_without_its_query(api, slept, tmp_path):
    with origin(says(b"")) as gone:
        pass

    with pytest.raises(Unreachable) as caught:
        api.download(gone.url("/finished?X-Amz-Signature=secret"), tmp_path / "x")

    assert caught.value.message == f"{gone.origin} does not answer: no connection."
