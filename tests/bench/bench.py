"""The throughput tool: weir beside the peers that are installed, and beside what this machine can do at most.

    bench.py [--quick] [--rounds N] [--seconds N] [--family 4|6] [--build DIRECTORY] [--systems NAME,...] [--write]
             [--raw FILE] [CASE...]

A CASE is one of `--list`, or how some begin: `up`, `crr-32`, `idle`. Needs root; nothing leaves the machine. Every measurement
has a system, a guest and a server of its own, started for it. The rounds go round all systems case by case, in an order that
turns by one each time, and the figures are medians: what disturbs the machine for a while disturbs all alike.

A case whose name ends in `-v6` is on IPv6, the others are on IPv4; --family leaves out those of the other. `udp-parity` is on
both in turn, with a system of each.

Some cases are weir's code alone, without a system, a guest or a server: `scale` is the instance on simulated host sockets
(weir-scale, tests/replay), more flows than a process has descriptors for; `policy` is its rules and readers of first bytes
(weir-bench-policy).

A full run (all cases and systems, not --quick), or any with --write, is written to docs/benchmarks.md and .svg; there,
the parts of these cases stay as they are in a run without them, and all else stays in a run of them alone.
Exit status 1 if weir had a failure.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import resource
import shlex
import sys
import tempfile
import typing

import measure
import report
from systems import HERE, SYSTEMS, Failure, World

TOP = os.path.abspath(os.path.join(HERE, "../.."))
ROUNDS, SECONDS, QUICK_SECONDS = 3, 5, 2


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    kind: str             # bulk, latency, udp, idle, weir: of it alone, parity: of two, or code: of no system
    run: typing.Callable  # (system, seconds) -> figures; parity: ({4: system, 6: system}); code: () -> {label: figures}
    flows: int = 1
    family: int = 4       # the version of IP; 0: both
    names: int = 0        # for which its resolver is asked

    def families(self):
        return (self.family,) if self.family else (4, 6)

    def suits(self, system):
        if self.kind == "code" or self.family == 6 and not system.ipv6:
            return False
        if self.kind == "parity":
            return system.ipv6
        if self.kind == "weir":
            return system.name == "weir" and system.latency
        return self.kind == "bulk" or system.latency and not (self.kind == "idle" and system.limit)


def with_ipv6(cases):
    """Each on IPv4 and, next to it in time, on IPv6: their ratio is of interest."""
    for case in cases:
        yield case
        yield dataclasses.replace(case, name=f"{case.name}-v6", family=6)


CASES = [*with_ipv6([
    *(Case(f"{direction}-{streams}", "bulk", lambda s, t, d=direction, n=streams: measure.bulk(s, d, n, t), streams)
      for direction in ("up", "down") for streams in (1, 8)),
    Case("rr", "latency", measure.rr),
    *(Case(f"beside-{direction}", "latency", lambda s, t, d=direction: measure.rr_beside(s, d, t)) for direction in ("up", "down")),
    *(Case(f"crr-{k}", "latency", lambda s, t, k=k: measure.crr(s, k, t), k) for k in (1, 32)),
    *(Case(f"udp-{direction}-{size}", "udp", lambda s, t, d=direction, n=size: measure.udp(s, d, n, t))
      for direction in ("up", "down") for size in (64, 1400)),
    Case("udp-rr", "udp", lambda s, t: measure.rr(s, t, "udp-rr")),
])]
CASES += [
    *(Case(f"udp-parity-{direction}-{size}", "parity", lambda s, d=direction, n=size: measure.udp_parity(s, d, n), family=0)
      for direction in ("up", "down") for size in (64, 1400)),
    *(Case(f"idle-{n}", "idle", lambda s, t, n=n: measure.idle_flows(s, n, t), n) for n in (1000, 10000, 18000)),
    Case("idle-process", "idle", measure.idle_process, 0),
    Case("time-wait-30", "weir", measure.time_wait, measure.TIME_WAIT_IN_FLIGHT),
    Case("dns", "weir", measure.dns, 0, names=measure.DNS_NAMES),
    Case("scale", "code", measure.scale, 0),
    Case("policy-judge", "code", measure.verdicts, 0),
    Case("policy-read", "code", measure.first_bytes, 0),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


def take(case, cls, world, programs, seconds):
    """One measurement: its figures, or the text of what went wrong."""
    try:
        with contextlib.ExitStack() as stack:
            world.start_servers(case.families())
            systems = {}
            for family in case.families():
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-"))
                systems[family] = cls(world, programs, directory, case.flows, family, case.names)
                stack.callback(systems[family].close)
            return case.run(systems) if case.kind == "parity" else case.run(systems[case.family], seconds)
    except (Failure, AssertionError) as failure:  # what a namespace's commands and waits raise
        return " ".join(str(failure).split())


def take_code(case):
    try:
        return case.run()
    except Failure as failure:
        return {"weir": str(failure)}


def brief(figures):
    if isinstance(figures, str):
        return f"FAILED: {figures}"
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items() if v not in (None, ""))


def run_all(options, cases, systems, world, programs):
    """{case name: {system label: [figures or failure, one a round]}}"""
    results = {}
    for turn in range(options.rounds):
        for number, case in enumerate(cases):
            if case.kind == "code":
                for label, figures in take_code(case).items():
                    results.setdefault(case.name, {}).setdefault(label, []).append(figures)
                    say(f"round {turn + 1}/{options.rounds}  {case.name:16}  {label:24}  {brief(figures)}")
            suited = [s for s in systems if case.suits(s)]
            shift = (turn + number) % max(len(suited), 1)
            for cls in suited[shift:] + suited[:shift]:
                figures = take(case, cls, world, programs, options.seconds)
                results.setdefault(case.name, {}).setdefault(cls.label(), []).append(figures)
                say(f"round {turn + 1}/{options.rounds}  {case.name:16}  {cls.label():24}  {brief(figures)}")
    return results


def chosen_cases(names, family):
    cases = [c for c in CASES if (not names or any(c.name == n or c.name.startswith(n + "-") for n in names))
             and family in (None, c.family)]
    for name in names:
        if not any(c.name == name or c.name.startswith(name + "-") for c in CASES):
            sys.exit(f"bench: no case '{name}'; there are {' '.join(c.name for c in CASES)}")
    if not cases:
        sys.exit(f"bench: no such case on IPv{family}")
    return cases


def chosen_systems(names, programs):
    systems = []
    for cls in SYSTEMS:
        if names and cls.name not in names:
            continue
        reason = cls.missing(programs)
        if reason:
            say(f"{cls.label()}: {reason}")
        else:
            systems.append(cls)
    return systems


def command(options):
    """What to type for the same run again (where things lie does not matter to it)."""
    words = ["./dev", "bench"]
    if options.quick:
        words.append("--quick")
    for name, default in (("rounds", 1 if options.quick else ROUNDS), ("seconds", QUICK_SECONDS if options.quick else SECONDS),
                          ("family", None), ("systems", "")):
        if getattr(options, name) != default:
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join([*words, *options.cases])


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK_SECONDS} s")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help=f"of one measurement (default {SECONDS})")
    parser.add_argument("--family", type=int, choices=(4, 6), help="only the cases on this version of IP (default: both)")
    parser.add_argument("--build", default=os.path.join(TOP, "build"), help="where weir and weir-bench are built")
    parser.add_argument("--systems", default="", help="names, with commas between (default: all)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.* although the run is not a full one")
    parser.add_argument("--raw", help="write every single figure to this file, as JSON")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    return options


def main(argv):
    options = parse(argv)
    if options.list:
        print("\n".join(c.name for c in CASES))
        return 0
    programs = {"weir": os.path.join(options.build, "weir")}
    measure.SCALE = os.path.join(options.build, "tests/replay/weir-scale")
    measure.POLICY = os.path.join(options.build, "tests/bench/weir-bench-policy")
    measure.HELLOS = os.path.join(TOP, "tests/corpus/tls/chromium.jsonl")
    measure.GENERATOR = os.path.join(options.build, "tests/bench/weir-bench")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # for every system alike

    cases = chosen_cases(options.cases, options.family)
    only_code = all(c.kind == "code" for c in cases)
    if not only_code and os.geteuid() != 0:
        sys.exit("bench: network namespaces need root")
    if not only_code and not os.access(measure.GENERATOR, os.X_OK):
        sys.exit(f"bench: {measure.GENERATOR} is not built")
    systems = [] if only_code else chosen_systems([n for n in options.systems.split(",") if n], programs)
    about = report.About(command=command(options), rounds=options.rounds, seconds=options.seconds,
                         versions=[v for v in dict.fromkeys(s.version(programs) for s in systems) if v])
    world = None if only_code else World(measure.GENERATOR)
    try:
        results = run_all(options, cases, systems, world, programs)
    finally:
        if world:
            world.close()
    labels = [s.label() for s in systems]
    tables = report.tables(results, labels)
    print(report.as_text(tables, results))
    if options.raw:
        with open(options.raw, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if options.write or len(cases) == len(CASES) and len(systems) == len(SYSTEMS) and not options.quick:
        report.write(os.path.join(TOP, "docs"), about, tables, results, labels)
    return 1 if any(label.startswith("weir") for _case, label, _text in report.failures(results)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
