"""What every file must be: not too long, clean, finished, and free of names of machines it has no business with."""
import re

from tree import finish, is_text, project_files, text_of

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 120
TABLE_COLUMNS_MAX = 140  # in tests, whose tables of cases are read line by line

# Hosts that software is fetched from. Only the wrap file may name one: everything else works with what a machine has configured.
REGISTRIES = re.compile(
    r"\b(?:deb\.debian|security\.debian|snapshot\.debian|ftp\.debian|archive\.ubuntu|github|gitlab|githubusercontent"
    r"|npmjs|pypi|pythonhosted|crates|proxy\.golang|docker|ghcr|quay)\.(?:org|com|io)\b")
REGISTRY_EXCEPTION = "subprojects/lwip.wrap"

# Pages that are not in this tree, and paths of some machine: the project explains itself.
ELSEWHERE = re.compile(r"\b(?:DECISIONS|DESIGN|ATTACKS|PEERS|ANCHORS)(?:\.md\b|:)|/(?:home|roo[t]|wor[k])/\w+/")
MARKS = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
# The one place that polls, with a deadline, for what has no event to wait for.
POLLING = "tests/net/waiting.py"
SLEEP = re.compile(r"\b(?:time\.sleep|usleep|nanosleep|sleep)\s*\(")
THIS_FILE = "tests/lint/check_files.py"


def functions(lines):
    """(line number, length) of each function: from the line its name is on to the brace that ends it."""
    start = None
    opened = False
    for number, line in enumerate(lines, 1):
        if start is None and re.match(r"[A-Za-z_]", line) and "(" in line and not line.rstrip().endswith(";"):
            start, opened = number, False
        if start is None:
            continue
        if line.startswith("{"):
            opened = True
        elif line.startswith("}"):
            if opened:
                yield start, number - start + 1
            start = None
        elif not opened and line.rstrip().endswith(";"):
            start = None # a prototype over several lines


def check_c(path, lines):
    problems = []
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            problems.append(f"{path}:{number}: a tab")
        if len(line) > (TABLE_COLUMNS_MAX if str(path).startswith("tests/") else COLUMNS_MAX):
            problems.append(f"{path}:{number}: {len(line)} columns")
    for number, length in functions(lines):
        if length > FUNCTION_LINES_MAX:
            problems.append(f"{path}:{number}: a function of {length} lines, more than {FUNCTION_LINES_MAX}")
    return problems


def check_any(path, text, lines):
    problems = []
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            problems.append(f"{path}:{number}: blanks at the end")
        if MARKS.search(line):
            problems.append(f"{path}:{number}: a mark of unfinished work")
        if ELSEWHERE.search(line):
            problems.append(f"{path}:{number}: refers to something outside this tree")
        if path != REGISTRY_EXCEPTION and REGISTRIES.search(line):
            problems.append(f"{path}:{number}: names a host that software is fetched from")
        if path.startswith("tests/") and path != POLLING and SLEEP.search(line):
            problems.append(f"{path}:{number}: tests wait for events, they do not sleep")
    if text and not text.endswith("\n"):
        problems.append(f"{path}: no newline at the end")
    return problems


def main():
    problems = []
    files = [f for f in project_files() if f != THIS_FILE and not f.startswith("tests/corpus/") and is_text(f)]
    for path in files:
        text = text_of(path)
        lines = text.splitlines()
        problems += check_any(path, text, lines)
        if path.endswith((".c", ".h")):
            problems += check_c(path, lines)
        if path.endswith((".c", ".h", ".py", ".sh")) and len(lines) > FILE_LINES_MAX:
            problems.append(f"{path}: {len(lines)} lines, more than {FILE_LINES_MAX}")
    finish(problems, len(files))


main()
