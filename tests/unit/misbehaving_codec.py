"""A codec's child process over which pictures have power: one that begins with an order is obeyed."""

import ctypes
import os
import resource
import signal
import socket
import time

from imagejobs import codec_child, errors, image

ORDER = b"do: "
PARENT = os.getppid()


def order(name: str, argument: bytes = b"") -> bytes:
    """A picture that makes the child do what a function below says."""
    return ORDER + name.encode() + b" " + argument


def obey(body, options):
    jpeg_or_not, begun, order_given = body.partition(ORDER)
    if not begun or jpeg_or_not not in {b"", b"\xff\xd8\xff"}:
        return image.compress(body, options)
    name, _, argument = order_given.partition(b" ")
    return ORDERS[name.decode()](argument)


def crash(_: bytes):
    ctypes.string_at(0)


def hang(_: bytes):
    ctypes.PyDLL(None).sleep(600)  # PyDLL: with the interpreter's lock held, as a decoder may


def spin(_: bytes):
    while True:
        pass


def burst(_: bytes):
    return bytearray(10**12)


def fail(_: bytes):
    raise KeyError("no such thing")


def say(answer: bytes):
    """Give this answer instead of a true one, and then nothing more."""
    codec_child._answer(answer)
    time.sleep(600)


def reach(_: bytes):
    """Report which ways out of the process are open, after room was made for another file or socket."""
    os.close(2)
    ways = {
        "file": lambda: os.open(__file__, os.O_RDONLY),
        "socket": socket.socket,
        "process": os.fork,
        "program": lambda: os.execv("/bin/true", ["true"]),
        "signal to the parent": lambda: os.kill(PARENT, 0),
        "limits of the parent": lambda: resource.prlimit(PARENT, resource.RLIMIT_NOFILE),
        "outliving the parent": lambda: signal.signal(signal.SIGIO, signal.SIG_IGN),
        "putting off its end": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO]),
    }
    raise errors.ImageUnreadable(f"Open: {[name for name, way in ways.items() if is_open(way)]}.")


def is_open(way) -> bool:
    try:
        if way() == 0:
            os._exit(0)  # the process that was started
    except OSError:
        return False
    return True


ORDERS = {function.__name__: function for function in (crash, hang, spin, burst, fail, say, reach)}

if __name__ == "__main__":
    codec_child.compress = obey
    codec_child.main()
