"""What the lint tests share: which files belong to the project, and how to report."""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("include", "base", "stack", "policy", "proxy", "datapath", "ports", "cmd")
NOT_OURS = ("subprojects/lwip/", "subprojects/packagecache/")


def project_files():
    """Paths relative to the top, without build directories, unpacked sources and hidden ones (but .ci)."""
    found = []
    for directory, folders, files in os.walk(ROOT):
        where = Path(directory).relative_to(ROOT)
        folders[:] = sorted(
            f for f in folders
            if (not f.startswith(".") or f == ".ci") and f != "__pycache__"
            and not (where == Path(".") and (f == "build" or f.startswith("build-")))
            and not (f"{(where / f).as_posix()}/").startswith(NOT_OURS))
        found += [(where / f).as_posix() for f in sorted(files) if not f.endswith(".pyc") and f != ".git"]
    return found


def c_files(folders=CODE_FOLDERS):
    return [f for f in project_files() if f.endswith((".c", ".h")) and f.split("/")[0] in folders]


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def is_text(path):
    data = (ROOT / path).read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def finish(problems, checked):
    """Print the problems and leave; a check that looked at nothing is a failure as well."""
    for problem in problems:
        print(problem)
    if checked == 0:
        print("nothing was checked: has the tree moved?")
    print(f"{checked} checked, {len(problems)} problems")
    sys.exit(1 if problems or checked == 0 else 0)
