"""Step `compress`: pictures are decoded in a child process, so that what one does there costs that picture alone.

    Codec ── job: lengths, options as JSON, picture ────────────────► codec_child, one a vCPU
    (AWS keys, no decoder) ◄── BEGUN; answer: lengths, JSON, coding ── (Pillow; no keys, no files, no network)

There are two kinds of child: one that can score codings, for jobs with a `min_quality`, has numpy loaded, which takes
time to start and memory; the other has not. Each does its own kind of job only.

A picture may have taken over the child: what it says is checked, and it is killed when its time is over.
"""

import json
import os
import select
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import IO, Any, cast

from imagejobs.errors import CodecFailed, FormatUnsupported, ImageError, ImageTooLarge, ImageUnreadable
from imagejobs.image_header import MAX_PIXELS, format_of
from imagejobs.image_result import CONTENTS, ENCODERS, EXACT_SCORE, MEDIA_TYPES, OUTCOMES, CompressedImage
from imagejobs.options import CompressionOptions

LENGTHS = struct.Struct("<II")
"""Bytes of the JSON, and of the picture behind it."""

SCORES = "scores"
"""Last argument of a child that is to score codings."""

BEGUN = b"\x06"
"""The child has read a job: from here on, its end is the picture's doing."""

TOLD = ("width", "height", "outcome", "perceptual_hash", "encoder", "encoder_quality", "score", "content")
"""What the answer says of a picture as the child made it, beside `cpu_ms`."""

MAX_SECONDS = 30.0
"""One picture; the slowest of those within the limits take about half of it."""

MAX_MEMORY_BYTES = 1_300_000_000
"""Address space of one child, of the 1,769 MiB that a vCPU comes with: the rest is for the worker and its transfers."""

_NUMPY_BYTES = 120_000_000  # of address space on top, for its libraries map so much; 13 MB of it are ever used
_START_SECONDS = 10.0
_MAX_JSON_BYTES = 2_000
_MAX_MESSAGE_CHARACTERS = 300
_READ_BYTES = 1 << 20
_MAX_CPU_MS = 3_600_000
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""Of the child's environment. Glibc gives freed memory back at once when nothing else lies on top of it, as there:
getting it anew for every picture took a fifth of the CPU."""

# numpy's linear algebra else starts one for each core, which the child may not.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
_ERRORS = {error.code: error for error in (CodecFailed, FormatUnsupported, ImageTooLarge, ImageUnreadable)}

Outcome = CompressedImage | ImageError


class NotBegun(Exception):
    """The deadline of a picture came before any work on it."""


class Codec:
    """Compresses pictures in child processes that are kept for the next ones; threads wait for their turn.

    Args:
        module: What a child runs.
        max_seconds: Time that one picture may take.
        max_memory_bytes: Address space that a child may have.
        processes: Children, and so pictures at a time.
    """

    def __init__(
        self,
        module: str = "imagejobs.codec_child",
        max_seconds: float = MAX_SECONDS,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
        processes: int = 1,
    ) -> None:
        # No site packages by `.pth`, no current directory: what the child imports is what is imported here.
        self._command = (sys.executable, "-S", "-P", "-m", module)
        self._max_memory_bytes = max_memory_bytes
        self._max_seconds = max_seconds
        self._processes = processes
        self._seats: LifoQueue[_Seat] = LifoQueue()  # the last one used first: its child is warm
        for _ in range(processes):
            self._seats.put(_Seat())

    def start(self, options: CompressionOptions) -> None:
        """Start a child unless one is idle or all are at work, and do not wait for it: it gets ready meanwhile.

        Args:
            options: Of the picture that is to come.
        """
        with suppress(Empty), self._seat(block=False) as seat:
            seat.child = seat.child or self._new_child(_kind(options))

    def compress(self, body: bytes, options: CompressionOptions, deadline: float) -> CompressedImage:
        """Do what `image.compress` does.

        Args:
            body: A JPEG, PNG, WebP or GIF file.
            options: How to compress.
            deadline: When the caller needs an answer, in seconds of `time.monotonic`.

        Raises:
            ImageError: As `image.compress`; CodecFailed when the picture took too long or ended the child.
            NotBegun: The deadline came while others were at work.
            TimeoutError: It came before the picture had all of its time.
            ChildProcessError: The child does not start.
        """
        with self._seat() as seat:
            child = self._begin(seat, _job(body, options), _kind(options), deadline)
            try:
                outcome = self._outcome(child, body, options, deadline)
                seat.child = child
            finally:
                if seat.child is not child:
                    child.end()
        if isinstance(outcome, ImageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the children; no thread may be waiting for one."""
        with ExitStack() as seats:
            for seat in [seats.enter_context(self._seat()) for _ in range(self._processes)]:
                child, seat.child = seat.child, None
                if child:
                    child.end()

    @contextmanager
    def _seat(self, *, block: bool = True) -> Iterator["_Seat"]:
        seat = self._seats.get(block)
        try:
            yield seat
        finally:
            self._seats.put(seat)

    def _new_child(self, kind: Sequence[str]) -> "_Child":
        memory_bytes = self._max_memory_bytes + (_NUMPY_BYTES if SCORES in kind else 0)
        return _Child((*self._command, str(memory_bytes), *kind), kind)

    def _begin(self, seat: "_Seat", job: Sequence[bytes], kind: Sequence[str], deadline: float) -> "_Child":
        """A child of that kind that has read the job; one that ended while it was idle did not end by this picture."""
        if time.monotonic() > deadline:
            raise NotBegun("No time was left to begin with the image.")
        idle, seat.child = seat.child, None
        if idle:
            if idle.kind == kind and idle.begins(job):
                return idle
            idle.end()
        child = self._new_child(kind)
        if child.begins(job):
            return child
        raise ChildProcessError(f"The codec's process does not start: {child.end()}")

    def _outcome(self, child: "_Child", body: bytes, options: CompressionOptions, deadline: float) -> Outcome:
        own_deadline = time.monotonic() + self._max_seconds
        try:
            return _read_answer(*child.receive_answer(len(body), min(own_deadline, deadline)), body, options)
        except TimeoutError as error:
            if deadline < own_deadline:
                raise
            limit = f"{self._max_seconds:g} s"
            raise CodecFailed(f"Decoding and compressing the image took longer than {limit}.") from error
        except EOFError as error:
            raise CodecFailed("The image crashed the decoder.") from ChildProcessError(child.end() or str(error))
        except (ValueError, RecursionError) as error:
            raise CodecFailed("The image broke the decoder: its answer cannot be used.") from error


@dataclass
class _Seat:
    """Where one picture at a time is worked on, by the child of the picture before unless that has ended."""

    child: "_Child | None" = None


class _Child:
    """One process and its pipes. It ends with this object at the latest.

    Attributes:
        kind: What it was told to be able to do beside coding, as its last arguments.
    """

    def __init__(self, command: Sequence[str], kind: Sequence[str]) -> None:
        self.kind = kind
        self._process = subprocess.Popen(  # noqa: S603 the interpreter and a module of ours
            command,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        pipes = _pipes(self._process)
        self._jobs, self._answers, _ = (pipe.fileno() for pipe in pipes)
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        self._end = weakref.finalize(self, _end, self._process)

    def begins(self, job: Sequence[bytes]) -> bool:
        """Send a job; whether the child has read it."""
        until = time.monotonic() + _START_SECONDS
        try:
            for part in job:
                self._send(part, until)
            return self._receive(len(BEGUN), until) == BEGUN
        except (OSError, EOFError):
            return False

    def receive_answer(self, max_body_bytes: int, until: float) -> tuple[bytes, bytes]:
        """The answer's JSON and coding.

        Raises:
            EOFError: The child has ended.
            TimeoutError: It has not answered.
            ValueError: The answer is longer than any that is right.
        """
        json_bytes, body_bytes = LENGTHS.unpack(self._receive(LENGTHS.size, until))
        if json_bytes > _MAX_JSON_BYTES or body_bytes > max_body_bytes:
            raise ValueError(f"The answer has {json_bytes} bytes of JSON and {body_bytes} of a picture.")
        return self._receive(json_bytes, until), self._receive(body_bytes, until)

    def end(self) -> str:
        """Kill the child if it still runs; its exit status (negative for a signal), and what it said last."""
        return self._end() or ""

    def _send(self, data: bytes, until: float) -> None:
        rest = memoryview(data)
        while rest:
            _wait(self._jobs, select.POLLOUT, until)
            rest = rest[os.write(self._jobs, rest) :]

    def _receive(self, size: int, until: float) -> bytes:
        parts = []
        while size:
            _wait(self._answers, select.POLLIN, until)
            part = os.read(self._answers, min(size, _READ_BYTES))
            if not part:
                raise EOFError("The codec's process ended.")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _wait(pipe: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
        raise TimeoutError("The codec's process did not answer in time.")


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 all three were asked for
    return process.stdin, process.stdout, process.stderr


def _end(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    status = process.wait()
    jobs, answers, messages = _pipes(process)
    last_words = (messages.read(_READ_BYTES) or b"")[-500:]
    for pipe in (jobs, answers, messages):
        pipe.close()
    return f"status {status}, {last_words!r}"


def _environment() -> dict[str, str]:
    """What Python needs to start and to import, and nothing of this process's environment: AWS keys are in there."""
    libraries = f"{sys.base_prefix}/lib"  # where Lambda's interpreter has its own
    modules = os.pathsep.join(filter(None, sys.path))
    return {"LANG": "C.UTF-8", "LD_LIBRARY_PATH": libraries, "PYTHONPATH": modules, **MALLOC, **_ONE_THREAD}


def _kind(options: CompressionOptions) -> Sequence[str]:
    return () if options.min_quality is None else (SCORES,)


def _job(body: bytes, options: CompressionOptions) -> Sequence[bytes]:
    fields = json.dumps(options.to_fields()).encode()
    return LENGTHS.pack(len(fields), len(body)) + fields, body


def _read_answer(fields: bytes, coding: bytes, body: bytes, options: CompressionOptions) -> Outcome:
    """What the child says became of `body`; ValueError for what no sound child says."""
    match json.loads(fields):
        case {"code": str(code), "message": str(message), **rest} if not rest and not coding:
            return _read_error(code, message)
        case {**told} if told.keys() == {*TOLD, "cpu_ms"}:
            return _read_picture(cast("dict[str, Any]", told), coding, body, options)
    raise ValueError("The answer has other fields than it may have.")


def _read_picture(told: dict[str, Any], coding: bytes, body: bytes, options: CompressionOptions) -> CompressedImage:
    _check_size(told["width"], told["height"])
    _check_coding(coding, told["outcome"], body, options)
    _check_encoder(told)
    _check_score(told["score"], told["outcome"], options)
    _check_content(told["content"], body)
    _check_hash(told["perceptual_hash"])
    made = coding or body
    format_name = format_of(made)
    return CompressedImage(made, format_name, *MEDIA_TYPES[format_name], **told)


def _read_error(code: str, message: str) -> ImageError:
    if code not in _ERRORS or len(message) > _MAX_MESSAGE_CHARACTERS or not message.isprintable():
        raise ValueError("The answer's error has no known code or no plain sentence.")
    return _ERRORS[code](message)


def _check_size(width: Any, height: Any) -> None:  # noqa: ANN401 what JSON holds
    if {type(width), type(height)} != {int} or min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError("The answer's size is none that a picture can have.")


def _check_coding(coding: bytes, outcome: object, body: bytes, options: CompressionOptions) -> None:
    """No coding stands for the input's own bytes; one that was made is no longer than those.

    It is of their format, or of one that was asked for.
    """
    made = coding or body
    before, after = format_of(body), format_of(made)
    if not {before, after} <= MEDIA_TYPES.keys() or (after != before and options.format not in {after, "auto"}):
        raise ValueError("The answer's picture is not in a format that was asked for.")
    if outcome not in OUTCOMES or (outcome == "converted") != (after != before):
        raise ValueError("The answer's outcome is not what became of the picture.")
    if outcome != "unchanged" and len(made) >= len(body):
        raise ValueError("The answer's picture is not smaller than the one that was sent.")


def _check_encoder(told: Mapping[str, Any]) -> None:
    encoder, number, cpu_ms = told["encoder"], told["encoder_quality"], told["cpu_ms"]
    if encoder not in ENCODERS | {None} or (encoder is None) != (told["outcome"] == "unchanged"):
        raise ValueError("The answer's encoder is none that there is.")
    if number is not None and (type(number) is not int or not 0 <= number <= 100):
        raise ValueError("The answer's quality is none that an encoder takes.")
    if type(cpu_ms) is not int or not 0 <= cpu_ms < _MAX_CPU_MS:
        raise ValueError("The answer's CPU time is none that a picture can have taken.")


def _check_score(score: object, outcome: object, options: CompressionOptions) -> None:
    """A score is there when one was asked for, and then it is what was asked for."""
    if options.min_quality is None:
        if score is not None:
            raise ValueError("The answer has a score that nobody asked for.")
        return
    # What is not a number compares as false.
    if not isinstance(score, float) or not options.min_quality <= score <= EXACT_SCORE:
        raise ValueError("The answer's score is not what was asked for.")
    if outcome == "unchanged" and score != EXACT_SCORE:
        raise ValueError("The answer's picture is unchanged, and is said to look otherwise.")


def _check_hash(number: object) -> None:
    if type(number) is not int or not -(2**63) <= number < 2**63:
        raise ValueError("The answer's hash is none of 64 bits.")


def _check_content(content: object, body: bytes) -> None:
    if content is None:
        return
    if not isinstance(content, str) or content not in CONTENTS or format_of(body) not in {"png", "webp"}:
        raise ValueError("The answer's content is none that the picture can have.")
