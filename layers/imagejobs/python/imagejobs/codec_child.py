"""Step `compress`, in the child process of `codec`: reads jobs and answers them, and can do nothing else.

It runs what strangers made, and so gives up what it does not need before it reads the first of it.
"""

import fcntl
import json
import math
import os
import resource
import signal
import sys
import time
from typing import Any

# Pillow imports MPO, an EXIF reader and more when a picture needs them, which is when files cannot be opened any more.
from PIL import Image, MpoImagePlugin  # noqa: F401

from imagejobs.codec import BEGUN, LENGTHS, SCORES, TOLD
from imagejobs.codec_syscalls import confine_syscalls
from imagejobs.errors import CodecFailed, ImageError, ImageUnreadable
from imagejobs.image import compress
from imagejobs.options import CompressionOptions

_OPEN_FILES = 4  # three pipes, and what `_Memory` reads
_STATUS_BYTES = 4096


def main() -> None:
    """Answer jobs until there are no more."""
    memory = _Memory(int(sys.argv[1]))
    Image.preinit()
    if SCORES in sys.argv[2:]:
        _load_score()
    _end_with_parent()
    _confine(memory.limit_bytes)
    while lengths := sys.stdin.buffer.read(LENGTHS.size):
        fields, body = (sys.stdin.buffer.read(length) for length in LENGTHS.unpack(lengths))
        _answer(BEGUN)
        described, coding = _work(body, json.loads(fields), memory)
        answer = json.dumps(described).encode()
        _answer(LENGTHS.pack(len(answer), len(coding)), answer, coding)
        if memory.was_large:
            return  # it may be in pieces now, and what the next picture can have must not depend on this one


def _load_score() -> None:
    """Load what scores codings while files can be opened, numpy's libraries with it."""
    from imagejobs.image_score import score  # noqa: PLC0415 the other kind of child goes without

    score(*[Image.new("RGB", (8, 8))] * 2)


class _Memory:
    """What pictures may have of it, and had.

    Attributes:
        limit_bytes: Address space of this process.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        # Opened while that is possible. The peak that getrusage(2) tells begins with the parent's.
        self._status = os.open("/proc/self/status", os.O_RDONLY)

    @property
    def was_large(self) -> bool:
        """Whether the last picture needed more than half of it; there is none after such a one."""
        status = os.pread(self._status, _STATUS_BYTES, 0)
        return int(status.split(b"VmPeak:")[1].split()[0]) * 1024 > self.limit_bytes / 2


def _confine(max_memory_bytes: int) -> None:
    """No more memory than that; no new file, socket, process, privilege or core dump."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for limit, value in (
        (resource.RLIMIT_AS, max_memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    confine_syscalls()  # where there are no such filters, the limits stand alone


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, even amid a decoder's loop.

    SIGIO says that something happened to a pipe, and ends who does not handle it. To this one nothing else happens:
    the parent reads what was written there when the child has ended.
    """
    pipe = sys.stderr.fileno()
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _work(body: bytes, options: dict[str, str], memory: _Memory) -> tuple[dict[str, Any], bytes]:
    """The fields of the answer, and the coding; none for the input's own bytes."""
    began = time.process_time()
    try:
        image = compress(body, CompressionOptions.from_fields(options))
    except (ImageError, MemoryError) as error:
        failure = _failure(error, memory)
        return {"code": failure.code, "message": failure.message}, b""
    described = {name: getattr(image, name) for name in TOLD}
    described["cpu_ms"] = math.ceil((time.process_time() - began) * 1000)
    return described, b"" if image.body == body else image.body


def _failure(error: ImageError | MemoryError, memory: _Memory) -> ImageError:
    """The error to report: where memory ends, decoders and encoders written in C say that the picture is damaged."""
    if isinstance(error, ImageError) and not (isinstance(error, ImageUnreadable) and memory.was_large):
        return error
    return CodecFailed(f"The image needs more than {memory.limit_bytes / 1e6:,.0f} MB of memory to be compressed.")


def _answer(*parts: bytes) -> None:
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
