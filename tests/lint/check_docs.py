"""The manual page and the program agree: every option of `weir --help` is in docs/weir.1, and the other way round.

    check_docs.py PATH-OF-WEIR
"""
import re
import subprocess
import sys

from tree import ROOT, finish

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def main():
    program = sys.argv[1]
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    manual = (ROOT / "docs/weir.1").read_text(encoding="utf-8")
    # roff writes a hyphen that is meant as typed as \-
    manual = manual.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "").replace("\\fP", "")
    in_program = set(OPTION.findall(shown))
    in_manual = set(OPTION.findall(manual))
    problems = [f"{option}: in `weir --help`, not in docs/weir.1" for option in sorted(in_program - in_manual)]
    problems += [f"{option}: in docs/weir.1, not in `weir --help`" for option in sorted(in_manual - in_program)]
    finish(problems, len(in_program))


main()
