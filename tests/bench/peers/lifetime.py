"""Processes that end with the one that started them, whatever ended it. Standard library alone: every interpreter has it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with(parent_pid):
    """For preexec_fn: the kernel kills the new process when its parent is gone."""
    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # gone before the kernel was told
            os._exit(1)
    return prepare


def exit_when_told(also=lambda: None):
    """Makes SIGTERM an exit like any other, so that every `finally` runs; `also` is called first."""
    def told(number, _frame):
        signal.signal(number, signal.SIG_IGN)
        also()
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, told)
