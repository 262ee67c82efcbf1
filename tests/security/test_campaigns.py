"""The service keeps what it promises about strangers: a few cases always, all campaigns in `make long`."""

import pytest

from reliability.customer import Sheet
from security import secrets
from security.fair_share import run_fair_share
from security.files import run_malformed_files
from security.origins import run_hostile_origins, run_unending_origins
from security.secrets import run_secret_search
from security.sheets import run_formulas, run_hostile_sheets
from security.urls import run_hostile_urls, run_named_webhooks

pytestmark = pytest.mark.xdist_group("security")

# Of so many cases, one in the ordinary suite.
FEW = 25


def check(bench, campaign, at_least):
    tally = bench.run(campaign)

    assert tally.findings == ()
    assert tally.is_clean
    assert tally.cases >= at_least


def test_some_hostile_urls_are_refused_wherever_they_stand(bench):
    check(bench, lambda bench: run_hostile_urls(bench, FEW), 60)


def test_some_hostile_origins_cost_their_own_image_alone(bench):
    check(bench, run_hostile_origins, 40)


def test_some_malformed_files_end_in_a_picture_or_a_reason(bench):
    check(bench, lambda bench: run_malformed_files(bench, mutations=1, every=8), 30)


def test_formulas_come_back_as_text(bench):
    check(bench, run_formulas, 90)


def test_ten_rows_wait_for_few_of_another_callers_many(bench):
    check(bench, lambda bench: run_fair_share(bench, 2000), 10)


@pytest.mark.long
def test_ten_rows_wait_for_few_of_another_callers_twenty_thousand(bench):
    check(bench, run_fair_share, 10)


@pytest.mark.long
def test_all_hostile_urls_are_refused_wherever_they_stand(bench):
    check(bench, run_hostile_urls, 1500)


@pytest.mark.long
def test_webhooks_to_private_names_are_never_delivered(bench):
    check(bench, run_named_webhooks, 1)


@pytest.mark.long
def test_origins_that_never_end_cost_their_own_image_alone(bench):
    check(bench, run_unending_origins, 10)


@pytest.mark.long
def test_all_malformed_files_end_in_a_picture_or_a_reason(bench):
    check(bench, run_malformed_files, 800)


@pytest.mark.long
def test_hostile_sheets_are_refused_or_come_back_whole(bench):
    check(bench, run_hostile_sheets, 190)


@pytest.mark.long
def test_no_secret_is_written_down(bench):
    check(bench, run_secret_search, 300)


def test_the_search_reads_every_kind_of_place(bench):
    """So that finding nothing means that nothing is there."""
    request_id = bench.caller.place(Sheet("places", (("good-1.jpg",),)), bench.shop)
    secrets.until_settled(bench)

    places = list(secrets.places(bench, []))

    found = {place for place, text in places if request_id in text}
    assert found >= {"an execution's history", "the table job_request", "the table compressed_images", "a webhook"}
    assert {place for place in found if place.startswith("the log ")} >= {
        f"the log /imagejobs/imagejobs/{step}" for step in ("api", "fan_out", "compress", "finalize")
    }
    assert {"the log of postgres, log", "a finished CSV's own columns"} <= {place for place, _ in places}
