"""Races that the model found, kept as examples of their own: random search hits them seldom."""

import pytest

from tests.model.actors import Fault
from tests.model.life import Life
from tests.model.rest import pass_round
from tests.model.world import ROWS


@pytest.fixture
def life(database_url, session):
    life = Life(database_url, session)
    life._last_fault = None
    life.upload(["good"], None, False, None)
    life.fan_out(0, None, None)
    yield life
    life._world.close()


def go_on(actor, effects=None):
    if not actor.has_ended:
        actor.go_on(effects)


def stored_and_buried(life, world):
    """The only image was stored by a worker that died, and its row is buried: the finalizer's first task is done."""
    life.compress([0], None, 3)
    world.actors[0].go_on(fault=Fault.KILL)
    world.move_clock(50)
    life.bury(ROWS, 0, None)
    (execution,) = world.step_functions.executions.values()
    world.task(execution).go_on()
    assert execution.at == "RemoveStrays"
    return execution


@pytest.mark.parametrize("effects", [1, 2, 3, 4])
def test_an_old_removal_of_strays_leaves_what_the_next_generation_commits(life, effects):
    world = life._world
    execution = stored_and_buried(life, world)
    slow = world.task(execution)
    slow.go_on(effects)
    world.abort(execution)
    world.move_clock(61)
    world.sweep().go_on()
    (second,) = [each for each in world.step_functions.executions.values() if each.is_running]
    while second.is_running:
        world.task(second).go_on()
    life._control("retry", 0, None)
    life.fan_out(0, None, None)
    life.compress([0], None, 3)  # generation 2: stored, not committed
    (worker,) = [actor for actor in world.actors if actor is not slow]
    go_on(slow, 2)
    worker.go_on()  # commits
    go_on(slow)
    life.teardown()


def test_strays_that_an_earlier_generation_left_are_removed(life):
    world = life._world
    world.give_up_task(stored_and_buried(life, world))
    world.unswept.clear()  # the model's own exception
    pass_round(world)
    life._control("retry", 0, None)
    life.teardown()
