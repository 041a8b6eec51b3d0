"""Every id that a test carries is a row of docs/catalogue.md."""
import sys

from tree import ROOT, finish

sys.path.insert(0, str(ROOT / "tests"))
import catalogue  # noqa: E402


def main():
    rows = catalogue.read_rows()
    problems = [f"{row} is no row of docs/catalogue.md, but: {carrier}"
                for row, carriers in sorted(catalogue.read_carriers().items()) if row not in rows
                for carrier in carriers]
    finish(problems, len(rows))


main()
