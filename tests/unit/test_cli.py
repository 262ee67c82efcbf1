"""The command line as a script sees it: what it writes, where, and what it ends with."""

import io
import json
import re
from pathlib import Path

import click
import pytest
from rich.console import Console

from imagejobs_cli import repository
from imagejobs_cli.errors import ExitCode
from imagejobs_cli.main import EXIT_CODES, commands, main
from imagejobs_cli.output import Output
from imagejobs_cli.progress import Pace, drawing
from tests.unit.fetch_helpers import scripted_origin
from tests.unit.test_cli_client import JOB, NO_ANSWER, TOKEN, document, refusal

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "command-line.md"

RUNNING = {
    "request_id": JOB,
    "status": "PROCESSING",
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
    "completion_percentage": 50,
    "error_message": None,
    "generation": 1,
    "rows": 2,
    "rows_failed": 0,
    "images": 2,
    "images_completed": 1,
    "images_failed": 0,
    "images_unchanged": 0,
    "bytes_before": 2_000_000,
    "bytes_after": 500_000,
    "result_url": None,
}
DONE = {**RUNNING, "status": "COMPLETED", "completion_percentage": 100, "images_completed": 2}
PARTLY = {**DONE, "images_completed": 1, "images_failed": 1}
WITH_BAD_ROW = {**DONE, "rows_failed": 1}
CANCELLED = {**PARTLY, "status": "FAILED", "error_message": "cancelled"}
FAILED_IMAGE = {
    "row_number": 2,
    "position": 1,
    "product_name": "Jug\x1b[2J",
    "source_url": "https://shop.example/jug.jpg",
    "error_message": "The origin answered 404.",
}
FAILURES = f"/stage/job/{JOB}/images?limit=500&status=FAILED"


@pytest.fixture
def server(monkeypatch):
    """An API that the environment names."""
    with scripted_origin(refusal("job_not_found", "404 Not Found")) as server:
        monkeypatch.setenv("IMAGEJOBS_API_URL", server.url("/stage"))
        monkeypatch.setenv("IMAGEJOBS_TOKEN", TOKEN)
        server.answers["/stage/upload"] = [document({"request_id": JOB}, "202 Accepted")]
        server.answers[FAILURES] = [document({"images": [FAILED_IMAGE], "next": None})]
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses, which take no time."""
    slept = []
    monkeypatch.setattr("imagejobs_cli.client.time.sleep", slept.append)
    return slept


@pytest.fixture
def run(monkeypatch, capfd):
    """The command with its arguments: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["imagejobs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capfd.readouterr()
        assert TOKEN not in written.out + written.err
        return ended.value.code, written.out, written.err

    return run


@pytest.fixture
def sheet(tmp_path):
    path = tmp_path / "products.csv"
    path.write_text("S. No.,Product Name,Input Image Urls\n1,Vase,https://shop.example/vase.jpg\n", encoding="utf-8")
    return path


def follows(server, *jobs):
    server.answers[f"/stage/job/status/{JOB}"] = [document(job) for job in jobs]


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (DONE, 0, "COMPLETED: 2 of 2 images, 2.0 MB became 500.0 kB (75 % saved)"),
        (PARTLY, 3, "COMPLETED: 1 of 2 images, 1 failed, "),
        (WITH_BAD_ROW, 3, "1 row that cannot be read"),
        (CANCELLED, 1, "saved). cancelled"),
    ],
)
def test_waiting_shows_progress_and_ends_with_the_jobs_own_code(server, run, sheet, end, code, words):
    follows(server, {**RUNNING, "images": None, "completion_percentage": 0}, RUNNING, end)

    ended, out, err = run("submit", sheet, "--wait")

    assert ended == code
    assert words in out
    assert f"Job {JOB}\n  0 %  waiting for the sheet to be read\n" in err
    assert "100 %" in err


def test_a_preflight_shows_what_it_found_and_no_savings(server, run, sheet):
    found = {"images": 2, "estimate": {"seconds": 3, "usd": 0.01}, "seen": [",", "|"], "whole": True}
    follows(server, {**PARTLY, "dry_run": True, "bytes_after": 0, "preflight": found})

    code, out, err = run("preflight", sheet)

    assert code == 3
    assert out.startswith(
        "COMPLETED: 1 of 2 images, 1 failed\nimages\t2\nestimate.seconds\t3\nestimate.usd\t0.01\n"
        'seen\t[",", "|"]\nwhole\ttrue\n'
    )
    assert "saved" not in out + err
    assert b'name="dry_run"\r\n\r\ntrue\r\n' in server.requests[0].body


def test_what_failed_is_listed_without_what_a_terminal_would_obey(server, run, sheet):
    follows(server, PARTLY)

    _, out, _ = run("submit", sheet, "--wait")

    assert out.splitlines()[1] == "2\tJug [2J\tThe origin answered 404.\thttps://shop.example/jug.jpg"


def test_a_terminal_has_a_bar_and_tables_that_keep_every_url_whole(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    drawn, written = (Console(file=io.StringIO(), force_terminal=True, width=60) for _ in range(2))
    output = Output(console=written, notes=drawn)
    url = f"https://shop.example/{'x' * 200}.jpg"

    with drawing(output) as draw:
        for job in ({**RUNNING, "images": None}, RUNNING, PARTLY):
            draw(job)
    output.table(["URL"], [[url]], title="What failed")

    assert re.search("━━.*100%.*2 of 2 images, 1 failed", drawn.file.getvalue())
    assert "".join(re.findall(r"[\w:/.]+(?= +│)", written.file.getvalue())) == url


def test_the_time_left_goes_by_what_was_done_while_watching():
    seconds = iter([100.0, 110.0])
    pace = Pace(clock=lambda: next(seconds))
    half = {**RUNNING, "images": 100, "images_completed": 50}

    assert pace.seconds_left(half) is None
    assert pace.seconds_left({**half, "images_completed": 55, "images_failed": 5}) == 40


def test_scripts_get_one_document_and_nothing_else(server, run, sheet):
    follows(server, RUNNING, PARTLY)

    code, out, err = run("submit", sheet, "--wait", "--json")

    assert (code, json.loads(out), err) == (3, PARTLY, "")


def test_quiet_is_the_id_alone(server, run, sheet):
    assert run("submit", sheet, "--quiet") == (0, f"{JOB}\n", "")


def test_options_become_the_forms_fields(server, run, sheet):
    run("submit", sheet, "--quality", "70", "--no-reuse", "--dry-run", "-o", "keep-metadata=true", "-o", "columns={}")

    sent = server.requests[0].body.decode()
    fields = dict(re.findall(r'name="(\w+)"\r\n\r\n(.*?)\r\n', sent))
    assert fields == {
        "quality": "70",
        "reuse": "false",
        "dry_run": "true",
        "keep_metadata": "true",
        "columns": "{}",
    }


def test_a_refusal_is_the_apis_own_words(server, run, sheet):
    server.answers["/stage/upload"] = [refusal("sheet_invalid", "400 Bad Request")]

    assert run("submit", sheet, "--wait") == (4, "", "Error: This is sheet_invalid.\n")
    code, out, err = run("submit", sheet, "--json")
    assert (code, out, json.loads(err)) == (4, "", {"code": "sheet_invalid", "message": "This is sheet_invalid."})


def test_an_upload_without_an_answer_can_be_repeated_as_the_same_job(server, run, sheet):
    server.answers["/stage/upload"] = [NO_ANSWER]

    code, _, err = run("submit", sheet)

    sent = {request.headers["idempotency-key"] for request in server.requests}
    assert code == 5
    assert {re.search("--idempotency-key ([-0-9a-f]+):", err)[1]} == sent


def test_a_time_out_names_the_way_back(server, run):
    follows(server, RUNNING)

    code, out, err = run("status", JOB, "--wait", "--timeout", "0")

    assert (code, out) == (5, "")
    assert f"The job goes on; `imagejobs status {JOB} --wait` follows it again." in err


def test_interrupted_the_job_goes_on(server, run, monkeypatch):
    follows(server, RUNNING)

    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("imagejobs_cli.follow.time.sleep", interrupted)

    code, _, err = run("status", JOB, "--wait")

    assert code == 130
    assert f"`imagejobs status {JOB} --wait`" in err


def test_an_outage_does_not_end_the_wait(server, run):
    away = [refusal("internal_error", "503 Service Unavailable")] * 8
    server.answers[f"/stage/job/status/{JOB}"] = [document(RUNNING), *away, document(DONE)]

    assert run("status", JOB, "--wait", "--quiet") == (0, f"{JOB}\n", "")


def test_a_retry_is_followed_to_the_end_of_its_own_generation(server, run):
    server.answers[f"/stage/job/{JOB}/retry"] = [document({"request_id": JOB, "generation": 2}, "202 Accepted")]
    follows(server, PARTLY, {**DONE, "generation": 2})

    assert run("retry", JOB, "--wait", "--json")[0] == 0


def test_a_corrected_sheet_goes_with_its_retry(server, run, sheet):
    server.answers[f"/stage/job/{JOB}/retry"] = [document({"request_id": JOB, "generation": 2}, "202 Accepted")]

    assert run("retry", JOB, sheet)[:2] == (0, f"{JOB}\n")
    assert sheet.read_bytes() in server.requests[0].body


def test_the_finished_csv_stands_alone_on_standard_output(server, run, sheet):
    follows(server, {**DONE, "result_url": "https://…"})
    server.answers[f"/stage/job/{JOB}/result"] = [document({"url": server.url("/finished")})]
    server.answers["/finished"] = [document("the finished CSV")]

    code, out, err = run("submit", sheet, "--output", "-")

    assert (code, out) == (0, '"the finished CSV"')
    assert "2 of 2 images" in err


@pytest.mark.parametrize(
    ("option", "route"), [((), "result"), (("--failures",), "failures.csv"), (("--report",), "report.html")]
)
def test_each_document_of_a_job_has_its_option(server, run, tmp_path, option, route):
    server.answers[f"/stage/job/{JOB}/{route}"] = [document({"url": server.url("/file")})]
    server.answers["/file"] = [document(route)]

    assert run("results", JOB, *option, "--output", tmp_path / "file")[0] == 0
    assert json.loads((tmp_path / "file").read_text()) == route
    assert json.loads(run("results", JOB, *option, "--json")[1]) == {"url": server.url("/file")}


def test_pictures_that_are_there_are_not_fetched_again(server, run, tmp_path):
    image = {"row_number": 4, "position": 2, "image_url": server.url("/images/x/1-1-0a1b.jpg"), "bytes_after": 6}
    server.answers[f"/stage/job/{JOB}/images?limit=500&status=COMPLETED"] = [
        document({"images": [image], "next": None})
    ]
    server.answers["/images/x/1-1-0a1b.jpg"] = [document("pict")]

    fetched = [json.loads(run("results", JOB, "--images", tmp_path / "p", "--json")[1]) for _ in range(2)]

    assert [each["images_fetched"] for each in fetched] == [1, 0]
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["4-2-0a1b.jpg"]


@pytest.mark.parametrize("command", ["cancel", "redeliver"])
def test_what_is_asked_of_a_job_is_acknowledged(server, run, command):
    answer = {"request_id": JOB, "event_id": "e-1"}
    server.answers[f"/stage/job/{JOB}/{command}"] = [document(answer, "202 Accepted")]

    code, out, _ = run(command, JOB)

    assert (code, out) == (0, f"{answer['request_id' if command == 'cancel' else 'event_id']}\n")
    assert json.loads(run(command, JOB, "--json")[1]) == answer


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "no-such.csv"),
        ("submit", "/dev/null"),
        ("status", "x"),
        ("submit", __file__, "-o", "quality"),
        ("status", "--wait"),
        ("x",),
    ],
)
def test_wrong_usage_asks_nobody(server, run, arguments):
    code, out, err = run(*arguments)

    assert (code, out, server.requests) == (2, "", [])
    assert "Usage: imagejobs" in err


def test_a_file_that_cannot_be_written_is_no_traceback(server, run, tmp_path):
    server.answers[f"/stage/job/{JOB}/result"] = [document({"url": server.url("/file")})]
    server.answers["/file"] = [document("x")]

    code, _, err = run("results", JOB, "--output", tmp_path / "no" / "such" / "file")

    assert code == 2
    assert err.startswith(f"Error: {tmp_path}/no/such/")


@pytest.mark.parametrize(("ended", "code"), [(0, 0), (1, 4), (2, 5)])
def test_tokens_are_the_repositorys(run, monkeypatch, ended, code):
    asked = []
    monkeypatch.setattr("imagejobs_cli.commands.repository.run_module", lambda *call: asked.append(call) or ended)

    assert run("tokens", "create", "--daily-images", "5", "--json", "--stack-name", "live", "--", "-x")[0] == code

    options = ["--stack-name", "live", "--json", "create", "--daily-images=5", "--", "-x"]
    assert asked == [("operations.tokens", options)]


def test_a_clone_is_found_above_and_made_ready(monkeypatch, tmp_path):
    made, become = [], []
    monkeypatch.setattr(repository.subprocess, "run", lambda command, **_: made.append(command))
    monkeypatch.setattr(repository.os, "execve", lambda *call: become.append(call))
    monkeypatch.chdir(ROOT / "docs")

    repository.become_module("local", ["run"])

    assert made == [["make", "--silent", "-C", str(ROOT), ".venv/local.installed"]]
    assert become[0][:2] == (ROOT / ".venv/bin/python", [".venv/bin/python", "-m", "local", "run"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.ClickException, match="needs a clone"):
        repository.find_repository(tmp_path)


def test_the_guide_has_every_command_and_exit_code():
    guide = GUIDE.read_text(encoding="utf-8")
    table = {int(number): words for number, words in re.findall(r"^\| (\d+) \| (.*) \|$", guide, re.MULTILINE)}
    helped = {int(number) for number in re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE)}

    assert table.keys() == helped == set(ExitCode)
    assert [name for name in commands.commands if f"imagejobs {name}" not in guide] == []
