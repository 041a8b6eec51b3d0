"""What docs/catalogue.md promises, which tests carry each promise's id, and how they last went (`./dev catalogue`).

    catalogue.py [--missing]       --missing: only rows without a test

A test carries an id by its name (`test_b09_half_close`, also several: `test_a06_a07_lease_and_mtu`), by the text of one of its
cases (`"B9 ..."`), or, an input of the corpus and a case of the replays, by its file's or folder's name
(`t09-hello-in-two-records`, `c02-c04-facts-for-the-embedder`).
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import results  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
RESULT_FILES = ("build-test/meson-logs/testlog.json", "build-test/net.junit.xml")

ROW = re.compile(r"^\| ([A-HT]\d+) \| ([^|]+) \|")
FUNCTION = re.compile(r"\btest_((?:[a-ht]\d+_)+)\w*")
CASE_TEXT = re.compile(r"\"([A-HT]\d+) ")
INPUT_NAME = re.compile(r"^((?:[a-ht]\d{2,3}-)+)")


def canonical(text):
    """b09 -> B9"""
    return f"{text[0].upper()}{int(text[1:])}"


def read_rows():
    rows = {}
    for line in (ROOT / "docs/catalogue.md").read_text(encoding="utf-8").splitlines():
        match = ROW.match(line)
        if match:
            rows[canonical(match[1])] = match[2].strip()
    return rows


class Carrier:
    """One test that carries an id. program: the meson test or pytest module it is part of."""

    def __init__(self, path, program, name):
        self.path, self.program, self.name = path, program, name

    def __str__(self):
        return f"{self.path}: {self.name}"


def _in_file(path):
    relative = path.relative_to(ROOT).as_posix()
    program = re.sub(r"^(test|fuzz)_", "", path.stem)
    text = path.read_text(encoding="utf-8", errors="replace")
    for match in FUNCTION.finditer(text):
        for part in match[1].strip("_").split("_"):
            yield canonical(part), Carrier(relative, program, match[0])
    for match in CASE_TEXT.finditer(text):
        yield canonical(match[1]), Carrier(relative, program, f"a case \"{match[1]} ...\"")


def _by_name(name, carrier):
    """(id, carrier) for each id an input's or case's name begins with."""
    return [(canonical(part), carrier) for part in INPUT_NAME.match(name)[1].strip("-").split("-")]


def read_carriers():
    """id -> its tests, each named once."""
    carriers = {}
    for path in sorted((ROOT / "tests").rglob("*")):
        found = []
        if path.suffix in (".c", ".py", ".h") and path.parent.name != "lint" and path.name != "catalogue.py":
            found = _in_file(path)
        elif "corpus" in path.parts and path.is_file() and INPUT_NAME.match(path.name):
            found = _by_name(path.name, Carrier(path.relative_to(ROOT).as_posix(), path.parent.name, "(input)"))
        elif "cases" in path.parts and path.name == "expect.txt" and INPUT_NAME.match(path.parent.name):
            case = path.parent
            found = _by_name(case.name, Carrier(case.relative_to(ROOT).as_posix(), case.name, case.name))
        for row, carrier in found:
            known = carriers.setdefault(row, {})
            known.setdefault(str(carrier), carrier)
    return {row: list(known.values()) for row, known in carriers.items()}


def read_results():
    found = []
    for name in RESULT_FILES:
        if (ROOT / name).exists():
            found += results.read_all([ROOT / name])
    return found


def state_of(carrier, last):
    """The worst of the results that bear its name; of its whole program where the name is a case's text."""
    names = [r for r in last if r.name and re.split(r"[\[\s:]", r.name)[0] == carrier.name]
    if not names:
        programs = {p + carrier.program for p in ("", "sim_", "corpus_")}
        names = [r for r in last if r.suite in programs or r.name in programs or
                 r.suite.endswith("." + carrier.program)]
    states = {r.state for r in names}
    for state in (results.FAILED, results.SKIPPED, results.PASSED):
        if state in states:
            return state
    return "not run"


def main(arguments):
    rows, carriers, last = read_rows(), read_carriers(), read_results()
    without = [row for row in rows if row not in carriers]
    if "--missing" not in arguments:
        for row, title in rows.items():
            print(f"{row:5} {title}")
            for carrier in carriers.get(row, []):
                print(f"      {state_of(carrier, last):8} {carrier}")
    print(f"without a test: {' '.join(without) or 'none'}")
    print(f"{len(rows)} rows, {len(rows) - len(without)} with a test, {len(without)} without")
    unknown = sorted(set(carriers) - set(rows))
    if unknown:
        print(f"ids that docs/catalogue.md does not have: {' '.join(unknown)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
