"""Adds up result files: why tests were skipped, which failed, and `N passed, N failed, N skipped`.

    results.py FILE...      *.json: meson's testlog.json; *.xml: pytest's JUnit file

meson's own JUnit file is not read: it leaves out that a test timed out, or that it died between two cases.
Exit status 1 when a test failed, when nothing passed, or when a file is missing or unreadable (whatever should have written
it did not live to do so; that counts as one failure).
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

# cmocka's TAP lines: "ok 1 - name", "not ok 2 - name", "ok 3 # SKIP name"
TAP_LINE = re.compile(r"^(not )?ok \d+(?: (?:- )?(?P<name>[^#]*?))?\s*(?:# *(?P<mark>SKIP)\S* *(?P<why>.*))?$",
                      re.IGNORECASE)


class Result:
    def __init__(self, suite, name, state, detail=""):
        self.suite, self.name, self.state, self.detail = suite, name, state, detail


def _tap_results(test, stdout):
    results = []
    for line in stdout.splitlines():
        match = TAP_LINE.match(line.strip())
        if not match:
            continue
        if match["mark"]:
            results.append(Result(test, match["name"] or match["why"] or "?", SKIPPED, match["why"] or ""))
        else:
            results.append(Result(test, match["name"] or "?", FAILED if match[1] else PASSED))
    return results


def _last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _read_meson(path):
    results = []
    for line in Path(path).read_text(errors="replace").splitlines():
        run = json.loads(line)
        name, state, stdout = run["name"].split(" / ")[-1], run["result"], run.get("stdout") or ""
        cases = _tap_results(name, stdout)
        if state in ("OK", "EXPECTEDFAIL"):
            results += cases or [Result("meson", name, PASSED)]
        elif state == "SKIP":
            results += cases or [Result("meson", name, SKIPPED, _last_line(stdout))]
        else:
            results += cases
            if not any(case.state == FAILED for case in cases):
                results.append(Result("meson", name, FAILED, f"{state}, exit status {run.get('returncode')}"))
    return results


def _read_junit(path):
    results = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        state, detail = PASSED, ""
        for tag, meaning in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
            child = case.find(tag)
            if child is not None:
                state = meaning
                detail = (child.get("message") or child.text or "").strip().split("\n")[0]
                break
        results.append(Result(case.get("classname") or "", case.get("name"), state, detail))
    return results


def read(path):
    """All results of one file; raises OSError, ValueError or ElementTree.ParseError."""
    return _read_junit(path) if str(path).endswith(".xml") else _read_meson(path)


def read_all(paths):
    """As read(), but a file that cannot be read, or holds nothing, is a failed test itself."""
    results = []
    for path in paths:
        try:
            found = read(path) or [Result(Path(path).name, "(results)", FAILED, "no test ran")]
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            found = [Result(Path(path).name, "(results)", FAILED, str(error))]
        results += found
    return results


def main(paths):
    results = read_all(paths)
    for state, title in ((SKIPPED, "skipped"), (FAILED, "FAILED")):
        for result in results:
            if result.state == state:
                print(f"{title}: {result.suite} {result.name}: {result.detail or 'see the log above'}")
    count = {state: sum(r.state == state for r in results) for state in (PASSED, FAILED, SKIPPED)}
    print(f"{count[PASSED]} passed, {count[FAILED]} failed, {count[SKIPPED]} skipped")
    return 1 if count[FAILED] or not count[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
