"""Who may include whom (docs/architecture.md), and in which order.

    base <- libc          stack <- base, lwIP          policy <- base, libpsl, libcrypto
    proxy <- base, uv     datapath <- base, stack, policy, proxy, uv, jansson
    ports <- datapath and below     cmd <- everything     nothing <- cmd, tests
"""
import re

from tree import ROOT, c_files, finish, text_of

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')

# Folders of ours that a folder may include, beside itself.
OURS = {
    "include": set(),
    "base": set(),
    "stack": {"base"},
    "policy": {"base"},
    "proxy": {"base"},
    "datapath": {"base", "stack", "policy", "proxy"},
    "ports": {"base", "stack", "policy", "proxy", "datapath"},
    "cmd": {"base", "stack", "policy", "proxy", "datapath", "ports", "weir"},
}

# Headers of libraries, by how their names begin, and the folders that may include them. All else is libc or the kernel.
LIBRARIES = {
    "lwip/": {"stack"},
    "netif/": {"stack"},
    "uv.h": {"proxy", "datapath", "ports", "cmd"},
    "libpsl.h": {"policy"},
    "resolv.h": set(),
    "arpa/nameser": set(),
    "openssl/": {"policy"},
    "jansson.h": {"datapath", "ports", "cmd"},
    "yaml.h": {"cmd"},
    "seccomp.h": {"cmd"},
    "cap-ng.h": {"cmd"},
    "cmocka.h": set(),
    "pcap": set(),
}


def check_edge(path, header, quoted):
    folder = path.split("/")[0]
    for prefix, allowed in LIBRARIES.items():
        if header.startswith(prefix):
            return None if folder in allowed else f"{folder}/ may not include {header}"
    target = header.split("/")[0]
    if quoted and target == folder:
        return None if (ROOT / header).exists() else f"{header} does not exist; paths start at the top"
    if quoted and target not in OURS[folder]:
        # lwIP looks for its options and hooks by these names; they are below stack/lwip/.
        if folder == "stack" and (ROOT / "stack/lwip" / header).exists():
            return None
        return f"{folder}/ may not include {header}"
    return None


def check_order(path, includes):
    """A file's own header first (or the one that its part is declared in); no system header behind the others of ours."""
    problems = []
    own = path[:-2] + ".h"
    headers = [header for header, _ in includes]
    if path.endswith(".c") and (ROOT / own).exists() and headers[:1] != [own]:
        if not headers or not headers[0].endswith("_private.h"):
            problems.append(f"{path}: its own header comes first")
    seen_ours = None
    for header, quoted in includes[1:]:
        if quoted and not header.startswith("lwip/"):
            seen_ours = seen_ours or header
        elif not quoted and seen_ours:
            problems.append(f"{path}: <{header}> stands behind \"{seen_ours}\"")
            break
    return problems


def main():
    problems = []
    files = c_files()
    for path in files:
        includes = []
        for number, line in enumerate(text_of(path).splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            header, quoted = match[2], match[1] == '"'
            includes.append((header, quoted))
            error = check_edge(path, header, quoted)
            if error:
                problems.append(f"{path}:{number}: {error}")
        problems += check_order(path, includes)
    finish(problems, len(files))


main()
