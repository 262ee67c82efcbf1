"""A local stack is deployed with the values that the template takes, and with no others."""

import pytest

from local.errors import LocalStackError
from local.stack import Options, Stack

pytestmark = pytest.mark.local


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("PrivateOrigins", Options(private_origins=["127.0.0.1"])),
        ("AllowedHosts", Options(parameters={"AllowedHosts": "img.example,https://cdn.example"})),
        ("DeniedHosts", Options(parameters={"DeniedHosts": "*"})),
    ],
)
def test_a_list_with_an_entry_that_cannot_be_used_is_not_deployed(state_dir, parameter, options):
    with pytest.raises(LocalStackError, match=parameter), Stack.start(state_dir / parameter, options):
        pass
