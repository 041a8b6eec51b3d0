"""Nothing that blocks, and no other program, on the loop's thread: what the compiled objects ask of the C library and libuv.

    test_blocking.py ARCHIVE...

An object cannot call what it does not name. libuv's own threads are for what is named here, so there are none either.
"""
import re
import subprocess
import sys
import unittest

FORBIDDEN = re.compile(
    r"v?fork|_?clone3?|exec[lv]\w*|fexecve|posix_spawnp?|system|popen"  # other programs
    r"|(?:uv_)?get(?:addr|name)info|gethostby\w+|gethostbyaddr|getservby\w+|res_\w*query|uv_spawn"  # and what asks them
    r"|uv_queue_work|uv_fs_(?!event|poll)\w+|uv_random|pthread_create|uv_thread_create\w*"  # threads
    r"|u?sleep|(?:clock_)?nanosleep|uv_sleep|p?poll|p?select|epoll_p?wait\w*|wait(?:pid|id|3|4)?|pause|sigwait\w*|fsync|fdatasync")

ELSEWHERE = re.compile(r"^(?:\.\._)+(?:cmd_)?")  # an object whose source is in another folder has that in its name

# Where it is done all the same, and why the loop does not wait for it.
ALLOWED = {
    ("tap_open.c", "fork"): "a TAP of another namespace, before the loop runs",
    ("tap_open.c", "waitpid"): "the same child, which is at its end",
    ("exec_guest.c", "fork"): "`weir exec`: the command's process",
    ("exec_guest.c", "execvp"): "the command",
    ("exec_guest.c", "sigwaitinfo"): "the first process of its namespace, which runs no loop",
    ("exec_guest.c", "waitpid"): "the same",
    ("exec.c", "waitpid"): "without waiting; and when the loop is over",
    ("replay.c", "execv"): "`weir replay` becomes weir-replay",
}


def asked_for(archive):
    """(object's source, symbol) of everything undefined in an archive."""
    done = subprocess.run(["nm", "--undefined-only", archive], capture_output=True, text=True, check=True)
    source = None
    for line in done.stdout.splitlines():
        if line.endswith(".o:"):
            source = ELSEWHERE.sub("", line.rsplit("/", 1)[-1].removesuffix(".o:"))
        elif line.strip().startswith("U "):
            yield source, line.split()[1].split("@")[0]


class Blocking(unittest.TestCase):
    def test_f17_t153_nothing_blocks_or_looks_up_names_and_no_other_program_runs(self):
        objects, found = set(), {}
        for archive in ARCHIVES:
            for source, symbol in asked_for(archive):
                objects.add(source)
                if FORBIDDEN.fullmatch(symbol):
                    found[source, symbol] = archive
        self.assertGreater(len(objects), 60, "few objects: have the libraries moved?")
        self.assertEqual(set(found) - set(ALLOWED), set())
        self.assertEqual(set(ALLOWED) - set(found), set(), "allowed, but nobody does it")


if __name__ == "__main__":
    ARCHIVES = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
