"""The filter of system calls, run as the kernel runs it; what it comes to in a process is in test_codec."""

import struct

import pytest

from imagejobs import codec_syscalls
from imagejobs.codec_syscalls import confine_syscalls

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
# By machine: read, write, mmap, futex, exit_group; openat, socket, connect, execve, kill, ptrace, process_vm_readv.
MACHINES = {
    "x86_64": (0xC000003E, (0, 1, 9, 202, 231), (257, 41, 42, 59, 62, 101, 310)),
    "aarch64": (0xC00000B7, (63, 64, 222, 98, 94), (56, 198, 203, 221, 129, 117, 270)),
}
X32_BIT = 0x40000000


def judged(machine, architecture, number):
    """What the kernel does with a call, by the few instructions of classic BPF that the filter is made of."""
    program = list(struct.iter_unpack("HBBI", codec_syscalls._instructions(machine)))
    seen, at, loaded = {0: number, 4: architecture}, 0, None
    while True:
        code, if_equal, if_not, value = program[at]
        at += 1
        if code == 0x20:
            loaded = seen[value]
        elif code == 0x15:
            at += if_equal if loaded == value else if_not
        else:
            assert code == 0x06
            return value


@pytest.mark.parametrize("machine", MACHINES)
def test_what_decoding_needs_is_allowed_and_every_way_out_refused(machine):
    architecture, allowed, refused = MACHINES[machine]

    assert {judged(machine, architecture, number) for number in allowed} == {ALLOW}
    assert {judged(machine, architecture, number) for number in refused} == {REFUSE}
    assert {judged(machine, architecture, number | X32_BIT) for number in (*allowed, *refused)} == {REFUSE}


@pytest.mark.parametrize("machine", MACHINES)
def test_no_more_calls_are_allowed_than_the_table_has(machine):
    architecture = MACHINES[machine][0]

    allowed = [number for number in range(1024) if judged(machine, architecture, number) == ALLOW]

    column = list(MACHINES).index(machine)
    assert allowed == sorted(numbers[column] for numbers in codec_syscalls._ALLOWED.values())


def test_a_call_in_another_machine_s_numbers_ends_the_process():
    assert judged("x86_64", MACHINES["aarch64"][0], 0) == KILL


def test_a_machine_that_the_filter_is_not_written_for_gets_none(monkeypatch):
    monkeypatch.setattr(codec_syscalls.platform, "machine", lambda: "riscv64")

    assert confine_syscalls() is False
