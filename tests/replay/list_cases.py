"""The runs of the cases in a folder, one a line: "NAME FAMILY". expect.txt says `family 4` or `family 6` when a case is one family's."""

import pathlib
import sys

for case in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
    words = [line.split() for line in (case / "expect.txt").read_text().splitlines()]
    only = [w[1] for w in words if len(w) == 2 and w[0] == "family"]
    for family in only or ["4", "6"]:
        print(case.name, family)
