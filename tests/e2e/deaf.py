#!/usr/bin/env python3
"""Runs the command that $DEAF names, so that it does not hear when addresses of this machine change: to it, the kernel
has no netlink sockets.

Chromium fails whatever it is loading when an address comes or goes, of an interface that has nothing to do with it too
(ERR_NETWORK_CHANGED): other tests, or other programs, that lay virtual wires would break its pages. One that cannot
listen takes the network as it is.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
# As the kernel's audit names a machine, and its number of socket(2).
SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
AF_NETLINK, EAFNOSUPPORT = 16, 97
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of BPF
NUMBER, MACHINE, FIRST = 0, 4, 16  # where the kernel's description of a call has them
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EAFNOSUPPORT


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def refuse_netlink() -> None:
    """From now on, for this process and its children; where the kernel does not take that, nothing changes."""
    machine, number = SOCKET[platform.machine()]
    steps = []
    for place, wanted in ((MACHINE, machine), (NUMBER, number), (FIRST, AF_NETLINK)):
        left = 5 - len(steps)  # over the rest, and over the refusal
        steps += [(LOAD, 0, 0, place), (EQUAL, 0, left, wanted)]
    steps += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(steps), code)), 0, 0)


if __name__ == "__main__":
    if platform.machine() in SOCKET:
        refuse_netlink()
    os.execvp(os.environ["DEAF"], [os.environ["DEAF"], *sys.argv[1:]])
