"""Ports of the local stack: free ones, or a clear word."""

import socket

import pytest

from local.errors import LocalStackError
from local.ports import claim_port


def test_zero_is_any_free_port():
    assert claim_port(0) > 0


def test_a_taken_port_is_named_and_what_to_do_about_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalStackError, match=rf"Port {port} .* PORT="):
            claim_port(port)
