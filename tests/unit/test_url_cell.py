"""One cell with several URLs: found with whatever joins them, and put together again around other URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagejobs.url_cell import joints_of, urls_of, with_urls

A, B, C = "https://e.com/a.jpg", "HTTP://e.com/b,c;d|e.jpg", "https://e.com/c.jpg?x=1, 2"
TEXT = st.lists(st.sampled_from([A, B, C, "x", ",", ";", "|", "\n", "\r\n", " ", "\u00a0", "://"]), max_size=9)


@pytest.mark.parametrize(
    ("joint", "separators"),
    [
        (",", {","}),
        (" , ", {","}),
        ("|", {"|"}),
        (" | \n", {"|", "\n"}),
        (";", {";"}),
        ("\n", {"\n"}),
        ("\r\n", {"\n"}),
        ("\r", {"\n"}),
        (",,\u00a0;", {",", ";"}),
        ("\u2003,\u2003", {","}),
    ],
)
def test_a_separator_before_a_scheme_ends_a_url(joint, separators):
    cell = f" {A}{joint}{B}{joint}{C};"

    assert urls_of(cell) == [A, B, C]
    assert list(joints_of(cell)) == [separators, separators]
    assert with_urls(cell, iter(["1", "2", "3"])) == f" 1{joint}2{joint}3;"


@pytest.mark.parametrize("joint", [" ", "\u00a0", "+", "/"])
def test_nothing_else_does(joint):
    cell = f"{A}{joint}{A}"

    assert urls_of(cell) == [cell]
    assert list(joints_of(cell)) == []


@pytest.mark.parametrize("cell", ["", " ", ",;|\r\n\u00a0"])
def test_a_cell_without_a_url_stays_as_it_is(cell):
    assert urls_of(cell) == []
    assert with_urls(cell, iter([])) == cell


@given(TEXT.map("".join))
def test_the_same_urls_make_the_same_cell(cell):
    assert with_urls(cell, iter(urls_of(cell))) == cell
    assert len(list(joints_of(cell))) == max(0, len(urls_of(cell)) - 1)


@pytest.mark.parametrize("joint", [",", ";\n", " , ", "\n", " \u00a0"])
@pytest.mark.parametrize("between", ["", "x", "://"])
def test_it_takes_linear_time(joint, between):
    """A quadratic search would take minutes here."""
    cell = "http://" + f"{joint}{between}" * 60_000 + "://"

    assert with_urls(cell, iter(["u"] * 60_001)).startswith("u")
