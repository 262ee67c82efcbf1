"""The table: every campaign with its counts, their sum, and nothing else of the page changed."""

import pytest

from reliability.ledger import Verdict
from reliability.report import BEGIN, END, table, write_table
from reliability.tally import Tally


def test_the_table_adds_up():
    tallies = {"kills": Tally(runs=1200, kills=3), "noise": Tally(runs=1) + Tally.of(Verdict(lost=["a", "b"]))}

    lines = table(tallies, seed=7).splitlines()

    assert "seed 7 | runs | kills | duplicates | faults | jobs | rows | lost | doubled | stuck |" in lines[0]
    assert lines[2] == "| kills | 1,200 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"
    assert lines[-1] == "| **all** | **1,201** | **3** | **0** | **0** | **0** | **0** | **2** | **0** | **0** |"
    assert [tally.is_clean for tally in tallies.values()] == [True, False]
    assert tallies["noise"].findings == ("a", "b")


def test_only_what_is_between_the_markers_is_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    write_table(page, "new")
    write_table(page, "newer")

    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"


def test_a_page_without_markers_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here", encoding="utf-8")

    with pytest.raises(ValueError, match="lacks the lines"):
        write_table(page, "new")

    assert page.read_text(encoding="utf-8") == "nothing here"
