"""A counter that nothing bumps, or a reason that nothing gives, is a promise nobody keeps."""
import re

from tree import c_files, finish, text_of


def defined(path, macro):
    text = text_of(path)
    body = text[text.index(f"#define {macro}(X)"):]
    body = body[:body.index("\n\n")]
    return re.findall(r"\bX\((\w+),\s*\"", body)


def uses(prefix, outside):
    found = set()
    for path in c_files():
        if not path.startswith(outside):
            found |= set(re.findall(rf"\b{prefix}_(\w+)\b", text_of(path)))
    return found


def check(kind, path, macro, prefix, outside):
    ids = defined(path, macro)
    known = uses(prefix, outside)
    return [f"{path}: {prefix}_{i} is a {kind} that nothing uses" for i in ids if i not in known], len(ids)


def main():
    unused, counters = check("counter", "base/counters.h", "COUNTERS", "COUNTER", ("base/",))
    ungiven, reasons = check("reason", "policy/reason.h", "REASONS", "REASON", ("policy/reason.",))
    finish(unused + ungiven, counters + reasons)


main()
