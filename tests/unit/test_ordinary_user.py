"""Without root the tests between namespaces skip, all of them, and say why: nothing fails and nothing pretends to have passed."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

NET = Path(__file__).resolve().parents[1] / "net"
NOBODY = 65534


class OrdinaryUser(unittest.TestCase):
    def test_f19_the_net_tests_skip_and_say_why(self):
        with tempfile.TemporaryDirectory() as directory:  # one that this user may read, wherever the project is
            os.chmod(directory, 0o755)
            shutil.copytree(NET, f"{directory}/net", ignore=shutil.ignore_patterns("__pycache__"))
            argv = [sys.executable, "-B", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"{directory}/net"]
            if os.geteuid() == 0:
                argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *argv]
            done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 77, done.stdout + done.stderr)  # what meson takes for "skipped"
        self.assertRegex(done.stdout, r"network namespaces and TAP devices need root here")
        last = done.stdout.splitlines()[-1]
        self.assertTrue(re.fullmatch(r"[1-9]\d\d+ skipped in .*", last), last)


if __name__ == "__main__":
    unittest.main()
