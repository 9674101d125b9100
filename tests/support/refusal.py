"""System calls that fail in one thread, for what no ordinary disk can be made to do.

The kernel refuses them by a filter (seccomp) that belongs to the thread that asked for it and ends with it; nothing
has to be installed, compiled or allowed. Linux on x86-64 and on ARM has it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

SYNC = {"x86_64": (74, 75), "aarch64": (82, 83)}
"""The numbers of fsync and fdatasync."""

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def refuse_syncs() -> None:
    """From now on nothing that this thread wants on the disk gets there."""
    code = struct.pack("HBBI", _LOAD, 0, 0, 0)
    for number in SYNC[platform.machine()]:
        code += struct.pack("HBBI", _EQUAL, 0, 1, number)
        code += struct.pack("HBBI", _RETURN, 0, 0, _FAIL | errno.EIO)
    code += struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)
    kernel = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(code) // 8, code)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if kernel.prctl(*arguments):
            raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")
