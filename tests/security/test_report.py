"""The table, what makes it fail, and what counts as a secret in a place."""

import pytest

from security import __main__ as command
from security.report import SandboxCost, report
from security.secrets import find
from security.tally import Tally


def test_the_table_adds_up_and_ends_with_the_cost_of_the_sandbox():
    tallies = {"hostile URLs": Tally(cases=1200), "secrets": Tally(cases=1, secrets=2, findings=("a", "b"))}

    lines = report(tallies, SandboxCost(0.097, 0.1)).splitlines()

    assert lines[0].endswith("| cases | private connections | worker deaths | server errors | secrets | wrong |")
    assert lines[2] == "| hostile URLs | 1,200 | 0 | 0 | 0 | 0 | 0 |"
    assert lines[4] == "| **all** | **1,201** | **0** | **0** | **0** | **2** | **0** |"
    assert lines[-1].startswith("A picture takes 100.00 ms of CPU with the child process")
    assert lines[-1].endswith("the sandbox costs 3.0% of the worker's CPU.")


@pytest.mark.parametrize(("apart", "is_low"), [(0.1, True), (0.105, True), (0.106, False), (0.2, False)])
def test_a_sandbox_that_costs_a_twentieth_is_too_dear(apart, is_low):
    assert SandboxCost(0.1, apart).is_low is is_low


@pytest.mark.parametrize(
    ("tally", "cost", "exit_code"),
    [
        (Tally(cases=3), SandboxCost(1, 1), 0),
        (Tally(cases=3, private_connections=1), SandboxCost(1, 1), 1),
        (Tally(cases=3, worker_deaths=1), SandboxCost(1, 1), 1),
        (Tally(cases=3, server_errors=1), SandboxCost(1, 1), 1),
        (Tally(cases=3, secrets=1), SandboxCost(1, 1), 1),
        (Tally(cases=3, wrong=1), SandboxCost(1, 1), 1),
        (Tally(cases=3), SandboxCost(1, 2), 1),
    ],
)
def test_anything_wrong_and_a_dear_sandbox_fail_the_command(monkeypatch, tmp_path, tally, cost, exit_code):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: begin -->\n<!-- table: end -->\n")
    monkeypatch.setattr("sys.argv", ["security"])
    monkeypatch.setattr(command, "_run", lambda only: [("secrets", tally)])
    monkeypatch.setattr(command, "_measure_sandbox", lambda: cost)
    monkeypatch.setattr(command, "PAGE", page)

    assert command.main() == exit_code
    assert "| secrets | 3 |" in page.read_text()


def test_a_part_leaves_the_page_as_it_is(monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["security", "--only", "secrets"])
    monkeypatch.setattr(command, "_run", lambda only: [(only, Tally(cases=1))])
    monkeypatch.setattr(command, "PAGE", page)

    assert command.main() == 0
    assert not page.exists()


def test_a_part_that_there_is_not_is_no_success(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["security", "--only", "nothing"])

    with pytest.raises(SystemExit, match="2"):
        command.main()

    assert "hostile URLs" in capsys.readouterr().err


def test_a_secret_is_found_as_it_is_and_percent_coded_and_named_but_not_told():
    secrets = {"the token": "a+b/c=", "the key": "xyz"}
    places = [("the log", "…?token=a+b/c="), ("a message", "token%3Da%2Bb%2Fc%3D"), ("a table", "nothing")]

    assert list(find(secrets, places)) == ["the token is in the log", "the token is in a message"]
