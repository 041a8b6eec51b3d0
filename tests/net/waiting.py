"""Time in tests: the one place that polls, and what keeps other programs out of measurements."""
import contextlib
import os
import time

POLL_S = 0.002


def wait_until(predicate, timeout=5.0, what="the condition"):
    """Wait for a true value of predicate() and return it; a bounded wait that fails aloud."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(POLL_S)


@contextlib.contextmanager
def undisturbed(*pids):
    """Measure something else than how busy the machine is: this thread, what it starts, and the processes named run
    before ordinary ones in the block. Without the right to do that, it is measured as it comes."""
    changed = []
    try:
        for pid in (0, *pids):
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
            changed.append(pid)
    except PermissionError:
        pass
    try:
        yield
    finally:
        for pid in changed:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
