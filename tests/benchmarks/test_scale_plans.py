"""What is asked again and again of an open job finds its images by an index, whatever Postgres knows of them."""

import pytest

from benchmarks.scale.plans import explain_all, fill

IMAGES = 100_000


@pytest.fixture
def filled(connect):
    """A connection to a database of ten jobs, and the open one among them."""
    connection = connect()
    yield connection, fill(connection, IMAGES)
    connection.close()


def test_no_statement_goes_through_all_images_with_statistics_or_without(filled):
    connection, job = filled
    plans = explain_all(connection, job)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.commit()
    plans += explain_all(connection, job)

    assert [plan.text for plan in plans if plan.scans_all_images] == []
    too_many = [plan for plan in plans if not 0 < plan.pages <= plan.question.max_pages]
    assert [(plan.question.name, plan.pages, plan.text) for plan in too_many] == []


@pytest.mark.parametrize("rows", [1_000, 5_000])
def test_the_first_job_of_a_new_database_costs_no_more(connect, rows):
    """Its table is so small that Postgres, without statistics, would rather go through all of it again and again."""
    connection = connect()
    job = fill(connection, rows, jobs=1)
    plans = explain_all(connection, job)
    connection.close()

    too_many = [plan for plan in plans if not 0 < plan.pages <= plan.question.max_pages]
    assert [(plan.question.name, plan.pages, plan.text) for plan in too_many] == []
