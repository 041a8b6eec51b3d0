"""The documents and the program agree: every option of `weir --help` is in docs/weir.1, and the other way round; and the recipes
of docs/policy.md are configurations that `weir check` has nothing to say about.

    check_docs.py PATH-OF-WEIR
"""
import re
import subprocess
import sys
import tempfile

from tree import ROOT, finish

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def recipes():
    """The configurations in "Recipes": each is an indented block that begins with a key."""
    section = (ROOT / "docs/policy.md").read_text(encoding="utf-8").split("\n## Recipes\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks if re.match(r"    \w+:", block)]


def check_recipe(program, text):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([program, "check", file.name], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0 or (done.stderr and "audit any" not in text):  # that one is to be warned about
        return [f"docs/policy.md: a recipe: {done.stderr.strip()}"]
    return []


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
    texts = recipes()
    for text in texts:
        problems += check_recipe(program, text)
    if len(texts) < 4:
        problems.append("docs/policy.md: no recipes were found")
    finish(problems, len(in_program) + len(texts))


main()
