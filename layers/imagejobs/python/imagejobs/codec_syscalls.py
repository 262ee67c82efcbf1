"""Step `compress`, in the child process of `codec`: the system calls that are left to it once it decodes.

A seccomp filter (https://docs.kernel.org/userspace-api/seccomp_filter.html) lets it read its jobs, write its answers
and get memory; whatever else it calls fails with EPERM. Limits on open files alone would not do: who closes one of its
pipes may open something else instead, such as the environment of its parent, which holds AWS keys. Nor may it change
what signals do to it: one of them ends it with its parent.
"""

import ctypes
import errno
import platform
import struct

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_SET_NO_NEW_PRIVS = 38  # without it, only root may set a filter

# Calls by name, with their numbers on x86-64 and on AArch64:
# https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
# https://github.com/torvalds/linux/blob/master/include/uapi/asm-generic/unistd.h
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getcwd": (79, 17),  # Pillow, whenever it saves
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
# AUDIT_ARCH_… of linux/audit.h, and the column of the table above.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Classic BPF: load a word of seccomp_data, jump if it equals, return.
_INSTRUCTION = struct.Struct("HBBI")
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_OFFSET, _MACHINE_OFFSET = 0, 4
_ALLOW, _REFUSE, _KILL_PROCESS = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine_syscalls() -> bool:
    """Set the filter, for good; False where the kernel takes none, or on a machine that it is not written for."""
    instructions = _instructions(platform.machine())
    if instructions is None:
        return False
    program = _Program(len(instructions) // _INSTRUCTION.size, instructions)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _instructions(machine: str) -> bytes | None:
    """The filter for a machine as `uname -m` names it; None for one that is not known."""
    if machine not in _MACHINES:
        return None
    architecture, column = _MACHINES[machine]
    numbers = [of_machine[column] for of_machine in _ALLOWED.values()]
    program = [
        (_LOAD, 0, 0, _MACHINE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        # Each jumps over the others and over the refusal behind them.
        *((_JUMP_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
