"""The unpacked lwIP is the one this project was built and tested with (subprojects/packagefiles/lwip)."""
import hashlib
import sys

from tree import ROOT, finish

SOURCES = ROOT / "subprojects/lwip"
LISTS = ROOT / "subprojects/packagefiles/lwip"


def read_list(name):
    entries = {}
    for line in (LISTS / name).read_text().splitlines():
        digest, path = line.split()
        entries[path] = digest
    return entries


def differing(entries):
    problems = []
    for path, digest in entries.items():
        file = SOURCES / path
        if not file.exists():
            problems.append(f"{path}: missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            problems.append(f"{path}: differs")
    return problems


def main():
    if not SOURCES.is_dir():
        print("subprojects/lwip is not unpacked")
        sys.exit(77)
    entries = read_list("lwip.sha256")
    problems = differing(entries)
    # Debian's security patches touch these few; the tag of the official repository has them unpatched.
    patched = read_list("lwip-debian.sha256")
    for problem in differing(patched):
        print(f"note: {problem} (not Debian's patched file)")
    # What is compiled must be on one of the lists.
    for line in (LISTS / "meson.build").read_text().splitlines():
        line = line.strip().strip("',")
        if line.startswith("src/core/") and line not in entries and line not in patched:
            problems.append(f"{line}: compiled, but on no list")
    finish(problems, len(entries))


main()
