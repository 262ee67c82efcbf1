"""Loopback ports of the local stack."""

import errno
import socket

from local.errors import LocalStackError

LOOPBACK = "127.0.0.1"


def claim_port(port: int) -> int:
    """A loopback port that is free now.

    Args:
        port: The wanted port; 0 for any.

    Raises:
        LocalStackError: Something else listens on the wanted port, or there is no such port.
    """
    if not 0 <= port <= 65_535:
        raise LocalStackError(f"There is no port {port}; choose one from 1024 to 65534: PORT=…")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise LocalStackError(
                f"Port {port} on {LOOPBACK} is taken by another program. Stop that, or choose another: PORT=…"
            ) from error
        return int(probe.getsockname()[1])
