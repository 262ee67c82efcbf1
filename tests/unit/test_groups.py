"""Tests of one group run in one of the parallel processes, so that what is dear to start is started once."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="the tests run in one process")
@pytest.mark.xdist_group("together")
def test_a_group_is_kept_together(request):
    """The scheduler knows a group by the test's id; where a pytest keeps no such id, it scatters groups silently."""
    assert request.node.nodeid.endswith("@together")
