"""Nothing is lost, doubled or stuck under kills: a few runs always, all campaigns in `make long`."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from reliability import bench, poison
from reliability.bench import Bench
from reliability.disorder import run_disorder
from reliability.kills import BETWEEN_STATES, Kills
from reliability.noise import run_bad_origins, run_noise
from reliability.outages import OUTAGE_SECONDS, run_outage
from reliability.poison import run_poisoned_images, run_poisoned_messages
from reliability.retries import run_retries

SEED = 20
pytestmark = pytest.mark.xdist_group("reliability")


@pytest.fixture(scope="module")
def ordinary(state_dir: Path) -> Iterator[Bench]:
    with bench.running(state_dir / "reliability") as running:
        yield running


@pytest.fixture(scope="module")
def poisoned(state_dir: Path) -> Iterator[Bench]:
    with bench.running(state_dir / "reliability-poison", poison.TIMES) as running:
        yield running


def check(tally, running):
    assert tally.findings == ()
    assert running.violations() == []


def test_a_few_jobs_survive_kills_at_points_between_two_effects_and_at_random_moments(ordinary):
    tally = Kills(ordinary, Random(SEED), name="few").run(8)

    check(tally, ordinary)
    assert tally.runs == 8
    assert tally.kills >= 4


@pytest.mark.long
def test_two_hundred_jobs_survive_kills(ordinary):
    tally = Kills(ordinary, Random(SEED)).run(200)

    check(tally, ordinary)
    assert tally.kills >= 90


@pytest.mark.long
def test_the_finalizer_survives_kills_between_all_of_its_states_while_webhooks_are_refused(ordinary):
    kills = Kills(ordinary, Random(SEED), name="webhooks", killable=BETWEEN_STATES, max_refusals=3)

    tally = kills.run(50)

    check(tally, ordinary)
    assert tally.kills >= 25
    assert tally.faults >= 25


@pytest.mark.long
def test_repeated_shuffled_and_late_messages_change_nothing(ordinary):
    tally = run_disorder(ordinary, Random(SEED), 40)

    check(tally, ordinary)
    assert tally.duplicates >= 2 * tally.jobs


@pytest.mark.long
def test_retries_survive_kills(ordinary):
    tally = run_retries(ordinary, Random(SEED), 30)

    check(tally, ordinary)
    assert tally.kills >= 15


@pytest.mark.long
def test_calls_that_fail_and_replies_that_are_lost_change_nothing(ordinary):
    tally = run_noise(ordinary, Random(SEED), 40)

    check(tally, ordinary)
    assert tally.faults >= 100


@pytest.mark.long
def test_origins_that_misbehave_at_first_lose_no_image(ordinary):
    tally = run_bad_origins(ordinary, Random(SEED), 20)

    check(tally, ordinary)
    assert tally.faults >= 50


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.0, OUTAGE_SECONDS])
def test_fifty_jobs_survive_an_outage_of_postgres(ordinary, seconds):
    tally = run_outage(ordinary, Random(SEED), 50, seconds)

    check(tally, ordinary)
    assert tally.faults == 1


@pytest.mark.long
@pytest.mark.parametrize("campaign", [run_poisoned_images, run_poisoned_messages])
def test_poison_fails_alone_and_with_a_reason(poisoned, campaign):
    tally = campaign(poisoned)

    check(tally, poisoned)
    assert tally.kills >= 3
    assert tally.faults >= 6
