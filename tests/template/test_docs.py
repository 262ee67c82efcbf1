"""docs/deploy.md and docs/iam.md keep in step with what they are about; `make doc-tables` writes their tables anew."""

import re

import pytest

from tests.template import doc_tables
from tests.template.expansion import ROOT
from tests.template.resource_types import parameters

PAGES = (doc_tables.DEPLOY_PAGE, doc_tables.IAM_PAGE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_say_what_the_code_says(page):
    text = page.read_text(encoding="utf-8")

    assert doc_tables.with_tables(text) == text


def test_what_changing_a_parameter_does_is_said_for_each():
    assert parameters().keys() - doc_tables.CHANGING.keys() == set()


def test_every_table_has_its_place():
    places = [name for page in PAGES for name in re.findall(r"<!-- (\w+): begin -->", page.read_text(encoding="utf-8"))]

    assert sorted(places) == ["functions", "idle", "parameters"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_and_target_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert [link for link in links if not (page.parent / link).exists()] == []
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE)) - targets == set()
