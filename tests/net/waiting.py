"""The one place that polls."""
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
