"""Nothing lost, nothing twice, nothing stuck: whatever happens to jobs, in whatever order."""

from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from imagejobs import database as database_module
from imagejobs.queries import statement
from tests.model.life import Life

PROFILE = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True)

# Guards that keep owners and generations apart: the statement, what to leave out of it, and what is then found.
GUARDS = {
    "lease_images": (
        "AND (image.leased_until IS NULL OR image.leased_until < now() OR image.lease_token = %(token)s)",
        "took an image from its owner",
    ),
    "finish_images": (" AND image.lease_token = f.lease_token", "took an image from its owner"),
    "reuse_images": (" AND image.lease_token = source.to_lease_token", "took an image from its owner"),
    "fail_images": ("AND (leased_until IS NULL OR leased_until < now())", "took an image from its owner"),
    "refuse_sheet": (
        "AND (fan_out_leased_until IS NULL OR fan_out_leased_until < now() OR fan_out_token = %(token)s)",
        "took the fan-out from its owner",
    ),
    "close_job": ("AND generation = %(generation)s", "the finished CSV of|an ended job was changed|generations_closed"),
}


def test_life_of_jobs(database_url, session):
    profile = settings(PROFILE, max_examples=60, stateful_step_count=40, derandomize=True)
    run_state_machine_as_test(partial(Life, database_url, session), settings=profile)


@pytest.mark.long
def test_long_life_of_jobs(database_url, session):
    """Another one each time."""
    profile = settings(PROFILE, max_examples=1_000, stateful_step_count=50)
    run_state_machine_as_test(partial(Life, database_url, session), settings=profile)


@pytest.mark.long
@pytest.mark.parametrize("name", GUARDS)
def test_model_notices_a_missing_guard(name, database_url, session, monkeypatch):
    guard, finding = GUARDS[name]
    assert guard in statement(name)
    texts = {name: statement(name).replace(guard, "")}
    monkeypatch.setattr(database_module, "statement", lambda wanted: texts.get(wanted) or statement(wanted))
    profile = settings(
        PROFILE, max_examples=1_000, stateful_step_count=40, derandomize=True, phases=[Phase.generate], print_blob=False
    )
    with pytest.raises(AssertionError, match=finding):
        run_state_machine_as_test(partial(Life, database_url, session), settings=profile)
