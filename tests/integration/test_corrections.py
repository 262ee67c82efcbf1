"""Fix and retry: the rows that failed as a CSV, and that CSV corrected and merged into the same job."""

import csv
import gzip
import io

import pytest
from psycopg2.extras import Json

from imagejobs.database import Database
from imagejobs.limits import MAX_UPLOAD_BYTES
from imagejobs.steps import correct as correct_step
from imagejobs.steps.control import Control
from imagejobs.steps.correct import CORRECTED_LIMITS, Corrector
from operations.verify import statements
from tests.integration.handlers import (
    api_event,
    body_of,
    close,
    content_of,
    file_event,
    finish,
    keys_in,
    upload_event,
)
from tests.integration.jobs import HEADER, images_of, job_of, query, sheet, upload

A, B, C, D, E = (f"https://shop.example/{name}.jpg" for name in "abcde")


def ended(functions, database, bucket, body, *, failing=(), **columns):
    """A job that was uploaded, fanned out and closed."""
    request_id, source = upload(database, bucket, body, **columns)
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing=set(failing))
    close(functions, request_id)
    return request_id


def failures_of(bucket, request_id):
    return body_of(bucket, f"results/{request_id}.csv.failures.csv").decode()


def table(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def written(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def retry(functions, request_id, file, owner="shop"):
    """The answer to a corrected file."""
    sent, event = upload_event(file), api_event("retry", request_id, owner=owner)
    for name in ("body", "isBase64Encoded"):
        event[name] = sent[name]
    for headers in ("headers", "multiValueHeaders"):
        event[headers]["Content-Type"] = sent[headers]["Content-Type"]
    return functions.invoke("api", event)


def corrected(functions, bucket, request_id, *changes):
    """The answer to the job's failures with cells replaced."""
    text = failures_of(bucket, request_id)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return retry(functions, request_id, text.encode())


def state_of(database, request_id):
    return {(image["row_number"], image["position"]): image for image in images_of(database, request_id)}


def counters_of(database, request_id):
    names = ("rows_total", "rows_failed", "images_total", "images_completed", "images_failed", "bytes_before")
    job = job_of(database, request_id)
    return tuple(job[name] for name in names)


@pytest.fixture(autouse=True)
def every_invariant_holds(connect):
    yield
    for name, _, sql in statements():
        if name != "stuck":
            assert query(connect, sql.replace("%", "%%")) == [], name


@pytest.fixture
def corrector(database, bucket, upload_queue, finalizer):
    return Corrector(database, bucket, Control(database, upload_queue, finalizer).ring)


# ── failures.csv ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_rows_that_failed_are_handed_out_with_the_reason(functions, database, bucket):
    body = f'{HEADER}1,Vase,"{A}, {B}"\n2,=Lamp,\n3,Jug,{C}\n4,Bowl\n5,Mug,{D},more\n'.encode()
    request_id = ended(functions, database, bucket, body, failing=[(1, 2)])

    answer = functions.invoke("api", api_event("failures", request_id))
    status = content_of(functions.invoke("api", api_event("status", request_id)))

    assert answer["statusCode"] == 303
    assert f"failures-{request_id}.csv" in answer["multiValueHeaders"]["Location"][0]
    assert status["failures_url"].endswith(f"/job/{request_id}/failures.csv")
    header, vase, lamp, bowl, mug = table(failures_of(bucket, request_id))
    assert header == ["S. No.", "Product Name", "Input Image Urls", "Row", "Error"]
    assert vase == ["1", "Vase", f"{A}, {B}", "1", "image 2: The origin answered 404."]
    assert lamp[:4] == ["2", "'=Lamp", "", "2"]
    assert "names no image" in lamp[4]
    assert bowl[:4] == ["4", "Bowl", "", "4"]
    assert (mug[:4], mug[5:]) == (["5", "Mug", D, "5"], ["more"])


def test_a_job_without_failures_has_none(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A))

    answer = functions.invoke("api", api_event("failures", request_id))

    assert (answer["statusCode"], content_of(answer)["code"]) == (404, "no_failures")
    assert content_of(functions.invoke("api", api_event("status", request_id)))["failures_url"] is None
    assert [key for key in keys_in(bucket) if "failures" in key] == []


# ── Merging ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_corrected_rows_are_merged_into_the_job_and_its_finished_csv(functions, database, bucket):
    body = f'{HEADER}1,Vase,"{A}, {B}"\n2,=Lamp,\n3,Jug,{C}\n'.encode()
    request_id = ended(functions, database, bucket, body, failing=[(1, 2)])
    before = state_of(database, request_id)

    answer = corrected(functions, bucket, request_id, (B, D), ("Lamp,", f"Lamp,{E}"))

    assert (answer["statusCode"], content_of(answer)["generation"]) == (202, 2)
    after = state_of(database, request_id)
    assert {place: image["source_url"] for place, image in after.items()} == {
        (1, 1): A,
        (1, 2): D,
        (2, 1): E,
        (3, 1): C,
    }
    assert {place for place, image in after.items() if image["status"] == "PENDING"} == {(1, 2), (2, 1)}
    assert all(after[place]["image_id"] == before[place]["image_id"] for place in ((1, 1), (3, 1)))
    assert counters_of(database, request_id) == (3, 0, 4, 2, 0, 2000)
    finish(database, request_id)
    close(functions, request_id, generation=2)
    assert counters_of(database, request_id) == (3, 0, 4, 4, 0, 4000)
    _, vase, lamp, jug = table(body_of(bucket, f"results/{request_id}.csv").decode())
    assert vase[2:5] == [
        f"{A}, {D}",
        f"{after[1, 1]['image_url']},{state_of(database, request_id)[1, 2]['image_url']}",
        "COMPLETED",
    ]
    assert (lamp[1:3], lamp[4], jug[4]) == (["'=Lamp", E], "COMPLETED", "COMPLETED")
    assert content_of(functions.invoke("api", api_event("status", request_id)))["failures_url"] is None
    assert [key for key in keys_in(bucket) if "failures" in key] == []


def test_corrections_add_up_over_generations(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1), (2, 1)])
    corrected(functions, bucket, request_id, (A, C))
    finish(database, request_id, failing={(2, 1)})
    close(functions, request_id, generation=2)

    corrected(functions, bucket, request_id, (B, D))
    finish(database, request_id)
    close(functions, request_id, generation=3)

    _, first, second = table(body_of(bucket, f"results/{request_id}.csv").decode())
    assert (first[2], second[2]) == (C, D)
    assert counters_of(database, request_id) == (2, 0, 2, 2, 0, 2000)


def test_a_url_that_is_taken_out_takes_its_image_along(functions, database, bucket):
    """The images behind it have another place, and are done again; without any to do the job only ends anew."""
    request_id = ended(functions, database, bucket, sheet(f"{A}, {B}, {C}", f"{D}, {E}"), failing=[(1, 2), (2, 2)])

    corrected(functions, bucket, request_id, (f"{A}, {B}, {C}", f"{A}, {C}"), (f"{D}, {E}", D))

    state = state_of(database, request_id)
    assert {place: (image["source_url"], image["status"]) for place, image in state.items()} == {
        (1, 1): (A, "COMPLETED"),
        (1, 2): (C, "PENDING"),
        (2, 1): (D, "COMPLETED"),
    }
    assert counters_of(database, request_id) == (2, 0, 3, 2, 0, 2000)


def test_a_correction_that_leaves_nothing_to_do_ends_the_job_at_once(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(f"{A}, {B}"), failing=[(1, 2)])

    corrected(functions, bucket, request_id, (f"{A}, {B}", A))

    assert job_of(database, request_id)["finalizable_at"]
    close(functions, request_id, generation=2)
    assert job_of(database, request_id)["status"] == "COMPLETED"


def test_a_row_that_is_still_wrong_stays_a_failure(functions, database, bucket, connect):
    request_id = ended(functions, database, bucket, sheet(A, "", ""))

    answer = corrected(functions, bucket, request_id, ("Product 2,", f"Product 2,{B}"))

    assert answer["statusCode"] == 202
    assert counters_of(database, request_id)[:3] == (3, 1, 2)
    assert query(connect, "SELECT row_number FROM row_error") == [(3,)]


def test_a_gzip_a_spreadsheets_padding_and_a_missing_error_column_are_taken(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    (header, _) = table(failures_of(bucket, request_id))

    answer = retry(
        functions, request_id, gzip.compress(written([[*header[:4], ""], ["1", "New name", C, "1", "", ""]]))
    )

    assert answer["statusCode"] == 202
    assert state_of(database, request_id)[1, 1]["product_name"] == "New name"


def test_an_export_of_a_shop_is_corrected_in_its_own_form(functions, database, bucket):
    body = f"Handle,Title,Image Src,Variant Image\nvase,=Vase,{A},{B}\nvase,,{C},\n".encode()
    request_id = ended(functions, database, bucket, body, failing=[(1, 2), (2, 1)], layout=Json({"preset": "shopify"}))

    corrected(functions, bucket, request_id, (f"{A},{B}", f"{A},{D}"), (C, E))
    finish(database, request_id)
    close(functions, request_id, generation=2)

    lines = table(body_of(bucket, f"results/{request_id}.csv").decode())
    state = state_of(database, request_id)
    assert lines[1:] == [
        ["vase", "=Vase", state[1, 1]["image_url"], state[1, 2]["image_url"]],
        ["vase", "", state[2, 1]["image_url"], ""],
    ]
    assert state[2, 1]["product_name"] == "=Vase"


# ── Repeated URLs and shared objects ────────────────────────────────────────────────────────────────────────────────


def finish_repeated(database, request_id):
    rows = sorted({image["row_number"] for image in images_of(database, request_id)})
    database.fetch_all("finish_repeated_urls", {"request_ids": [request_id] * len(rows), "row_numbers": rows})


def test_an_image_waits_for_no_other_that_has_another_url_now(functions, database, bucket, connect):
    request_id, source = upload(database, bucket, sheet(A, A, A))
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing={(1, 1)})
    finish_repeated(database, request_id)
    close(functions, request_id)
    lines = table(failures_of(bucket, request_id))

    retry(functions, request_id, written([lines[0], ["1", "Product 1", B, "1", ""]]))

    marks = query(connect, "SELECT row_number, same_as_row_number FROM compressed_images ORDER BY row_number")
    assert marks == [(1, None), (2, None), (3, 2)]


def test_an_object_that_others_share_outlives_the_image_that_it_was_made_for(functions, database, bucket, connect):
    request_id, source = upload(database, bucket, sheet(f"{A}, {B}", A, C))
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing={(1, 2)})
    finish_repeated(database, request_id)
    names = {place: f"images/{request_id}/{place}-0123456789abcdef.jpg" for place in ("1-1", "3-1")}
    for place, key in names.items():
        query(
            connect,
            "UPDATE compressed_images SET object_key = %s WHERE object_key = %s",
            key,
            f"images/{request_id}/{place}.jpg",
        )
        bucket.put(key, b"x" * 400, "image/jpeg")
    close(functions, request_id)
    gone = f"images/{request_id}/1-2-0123456789abcdef.jpg"
    bucket.put(gone, b"x", "image/jpeg")  # nobody names it

    corrected(functions, bucket, request_id, (f"{A}, {B}", f"{D}, {E}"))
    finish(database, request_id)
    close(functions, request_id, generation=2)

    stored = {key for key in keys_in(bucket) if key.startswith("images/")}
    assert stored == set(names.values())
    assert state_of(database, request_id)[2, 1]["status"] == "COMPLETED"


# ── Repeats ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_file_again_begins_nothing_while_it_is_worked_on_and_harms_nothing_after(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    file = failures_of(bucket, request_id).replace(A, C).encode()

    answers = [retry(functions, request_id, file) for _ in range(2)]
    finish(database, request_id)
    close(functions, request_id, generation=2)
    answers.append(retry(functions, request_id, file))

    assert [(answer["statusCode"], content_of(answer)["generation"]) for answer in answers] == [(202, 2)] * 3
    assert job_of(database, request_id)["status"] == "COMPLETED"


def test_the_same_file_again_tries_what_has_failed_again(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    file = failures_of(bucket, request_id).encode()
    retry(functions, request_id, file)
    finish(database, request_id, failing={(1, 1)})
    close(functions, request_id, generation=2)

    assert content_of(retry(functions, request_id, file))["generation"] == 3
    finish(database, request_id)


def test_a_lost_reply_to_the_commit_merges_once(functions, database, bucket, connect, corrector, monkeypatch):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    file = failures_of(bucket, request_id).replace(A, f"{C}, {D}").replace(f",{C}, {D},", f',"{C}, {D}",').encode()
    transact = Database.transact

    def twice(self, work):
        if getattr(work, "func", None) is correct_step._merge:
            transact(self, work)
        return transact(self, work)

    monkeypatch.setattr(Database, "transact", twice)

    assert corrector.correct("shop", request_id, 100, file) == 2
    assert counters_of(database, request_id)[2:5] == (3, 1, 0)


def test_the_same_file_twice_at_once_is_merged_once(functions, database, bucket, corrector, monkeypatch):
    """The second one has read the job before the first one's commit, and its failed rows after that."""
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    file = failures_of(bucket, request_id).replace(A, C).encode()
    failed = Corrector._failed
    answers = []

    def after_the_other(self, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(Corrector, "_failed", failed)
            answers.append(corrector.correct("shop", request_id, 100, file))
        return failed(self, *arguments)

    monkeypatch.setattr(Corrector, "_failed", after_the_other)
    answers.append(corrector.correct("shop", request_id, 100, file))

    assert answers == [2, 2]


def test_of_two_corrections_at_once_one_comes_too_late(functions, database, bucket, corrector):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1), (2, 1)])
    text = failures_of(bucket, request_id)
    job = job_of(database, request_id)
    change = corrector._change(job, text.replace(A, C).encode(), "first")

    corrector.correct("shop", request_id, 100, text.replace(B, D).encode())

    assert database.transact(lambda transaction: correct_step._merge("shop", 100, change, transaction)) is None
    answer = retry(functions, request_id, text.replace(A, C).encode())
    assert (answer["statusCode"], content_of(answer)["code"]) == (409, "job_not_ended")
    assert state_of(database, request_id)[1, 1]["source_url"] == A


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "has a header but no rows"),
        ([["2", "P", C, "2", ""]], "Line 2: row 2 of the job has not failed."),
        ([["1", "P", C, "1", ""], ["9", "P", C, "9", ""]], "Line 3: row 9 of the job has not failed."),
        ([["1", "P", C, "1", ""], ["1", "P", D, "1", ""]], "Line 3: row 1 stands on line 2, too."),
        ([["1", "P", C, "one", ""]], 'Line 2: its cell under "Row" is not the number'),
        ([["1", "P", C]], "Line 2: it has 3 cells"),
        ([["1", "P", C, "1", "", "more"]], "Line 2: it has 6 cells"),
        ([["2", "P", C, "1", ""]], 'In the job\'s CSV as corrected: The serial number "2" stands on line 2 and again'),
    ],
)
def test_what_cannot_be_merged_is_refused_with_its_line(functions, database, bucket, rows, said):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1)])
    (header, _) = table(failures_of(bucket, request_id))

    answer = retry(functions, request_id, written([header, *rows]))

    assert (answer["statusCode"], content_of(answer)["code"]) == (400, "sheet_invalid")
    assert said in content_of(answer)["message"]
    assert job_of(database, request_id)["generation"] == 1


def test_another_header_is_refused(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A), failing=[(1, 1)])

    answer = retry(functions, request_id, sheet(B))

    assert "Line 1: this is not the header of the job's failures.csv" in content_of(answer)["message"]


def test_a_gzip_that_would_fill_the_memory_is_refused(functions, database, bucket):
    request_id = ended(functions, database, bucket, sheet(A), failing=[(1, 1)])
    blank_lines = (" " * 100_000 + "\n") * (CORRECTED_LIMITS.max_bytes // 100_000)

    answer = retry(functions, request_id, gzip.compress((failures_of(bucket, request_id) + blank_lines).encode()))

    assert (answer["statusCode"], content_of(answer)["code"]) == (413, "sheet_too_large")


def test_corrections_count_against_the_callers_day(functions, database, bucket, corrector, connect):
    request_id = ended(functions, database, bucket, sheet(A, B), failing=[(1, 1), (2, 1)])
    file = failures_of(bucket, request_id).replace(A, C).encode()

    with pytest.raises(correct_step.SheetTooLarge):
        corrector.correct("shop", request_id, 100, b"x" * (MAX_UPLOAD_BYTES + 1))
    with pytest.raises(Exception, match="2 images are more than is left"):
        corrector.correct("shop", request_id, 1, file)
    assert job_of(database, request_id)["generation"] == 1
    assert corrector.correct("shop", request_id, 2, file) == 2
    assert query(connect, "SELECT images FROM caller_usage WHERE owner = 'shop'") == [(2,)]


def test_another_callers_job_is_not_found_and_one_at_work_not_corrected(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(A))
    functions.invoke("fan_out", file_event(source))

    answers = [retry(functions, request_id, sheet(A)), retry(functions, request_id, sheet(A), owner="other")]

    assert [(a["statusCode"], content_of(a)["code"]) for a in answers] == [
        (409, "job_not_ended"),
        (404, "job_not_found"),
    ]
