"""What a run of the throughput tool comes to: medians, tables, docs/benchmarks.md and its picture."""
import dataclasses
import datetime
import os
import platform
import re
import statistics

import chart

TITLES = {
    "up-1": "up, 1 stream", "up-8": "up, 8 streams", "down-1": "down, 1 stream", "down-8": "down, 8 streams",
}
UDP_TITLES = {
    "udp-up-64": "up, 64 bytes", "udp-up-1400": "up, 1,400 bytes", "udp-down-64": "down, 64 bytes",
    "udp-down-1400": "down, 1,400 bytes",
}

IPV6 = "IPv6 beside IPv4: the figure on IPv6 (and what it is of the one on IPv4)"
PARITY = "UDP on both families in turn, 40,000 a second: CPU µs each on IPv4; on IPv6; the ratio of pairs (least to most)"
SIMULATED = "On simulated host sockets: what an open flow costs"
VERDICTS = "The policy: nanoseconds a verdict, by what decides and the number of rules"
FIRST_BYTES = "The policy: nanoseconds to read first bytes"


@dataclasses.dataclass
class About:
    command: str
    rounds: int
    seconds: int
    versions: list
    load: tuple = dataclasses.field(default_factory=os.getloadavg)  # before the run


@dataclasses.dataclass
class Table:
    title: str
    columns: list  # of headings
    rows: list     # of (label, cells)


def median(results, case, label, key):
    """Of the rounds that have this figure; None if none has."""
    values = [f[key] for f in results.get(case, {}).get(label, []) if isinstance(f, dict) and f.get(key) is not None]
    return statistics.median(values) if values else None


def show(value, digits=3):
    """A figure with so many significant digits, never in exponents."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 1e-4 else f"{value:.6f}"


class _Cells:
    """The figures of one system in one case."""

    def __init__(self, results, case, label):
        self.results, self.case, self.label = results, case, label

    def __call__(self, key, digits=3, scale=1):
        value = median(self.results, self.case, self.label, key)
        return show(None if value is None else value * scale, digits)

    def ratio(self, case, key):
        """This case's figure, and how it compares with another case's."""
        here, there = (median(self.results, name, self.label, key) for name in (self.case, case))
        return show(here) if not here or not there else f"{show(here)} ({show(here / there, 2)})"

    def ran(self):
        return bool(self.results.get(self.case, {}).get(self.label))

    def failed(self):
        return self.ran() and all(isinstance(f, str) for f in self.results[self.case][self.label])


def _table(title, results, labels, columns):
    """columns: (heading, case, function of _Cells -> text). Rows and columns of which nothing was run are left out."""
    columns = [c for c in columns if c[1] in results]
    rows = []
    for label in labels:
        cells = [_Cells(results, case, label) for _heading, case, _text in columns]
        if any(c.ran() for c in cells):
            rows.append((label, ["" if not c.ran() else "failed" if c.failed() else text(c)
                                 for c, (_heading, _case, text) in zip(cells, columns)]))
    return Table(title, [heading for heading, _case, _text in columns], rows) if rows else None


def _udp_tables(results, labels):
    def udp(text):
        return [(title, case, text) for case, title in UDP_TITLES.items()]

    def parity(c):
        return f"{c('cpu_us_4')}; {c('cpu_us_6')}; {c('ratio')} ({c('least')} to {c('most')})"

    return [
        _table("UDP: datagrams per second of which less than 1 % get lost (CPU µs each)", results, labels,
               udp(lambda c: c("packets_s") if c("cpu_us") == "–" else f"{c('packets_s')} ({c('cpu_us', 2)})")),
        _table("Beside it: lost; out of order; twice", results, labels,
               udp(lambda c: f"{c('lost_percent', 2)} %; {c('reordered')}; {c('duplicates')}")),
        _table(PARITY, results, labels, [
            (title, f"udp-parity-{case.removeprefix('udp-')}", parity) for case, title in UDP_TITLES.items()]),
        _table("Round trips on UDP", results, labels, [
            ("p50, µs", "udp-rr", lambda c: c("p50_us")), ("p99", "udp-rr", lambda c: c("p99_us")),
            ("CPU µs each", "udp-rr", lambda c: c("cpu_us"))]),
    ]


def _policy_tables(results):
    return [
        _table(VERDICTS, results, list(results.get("policy-judge", {})), [
            (f"{rules:,} rules", "policy-judge", lambda c, rules=rules: c(f"rules_{rules}")) for rules in (20, 1000, 4090)]),
        _table(FIRST_BYTES, results, list(results.get("policy-read", {})), [
            ("bytes", "policy-read", lambda c: c("bytes", 4)), ("ns", "policy-read", lambda c: c("ns"))]),
    ]


IPV6_COLUMNS = [  # of cases on IPv6: (heading, case on IPv4, figure)
    *((f"{title}, Gbit/s", case, "gbit_s") for case, title in TITLES.items()), ("RR p50, µs", "rr", "p50_us"),
    ("CRR per s", "crr-1", "per_s"), ("CRR per s, 32 in flight", "crr-32", "per_s"),
    *((f"UDP {title}, per s", case, "packets_s") for case, title in UDP_TITLES.items()), ("UDP RR p50, µs", "udp-rr", "p50_us"),
]


def _ipv6_table(results, labels):
    """One row for each case: the systems are few, the cases many."""
    by_label = _table(IPV6, results, labels, [
        (heading, f"{case}-v6", lambda c, case=case, key=key: c.ratio(case, key)) for heading, case, key in IPV6_COLUMNS])
    if not by_label:
        return None
    shown = [label for label, _cells in by_label.rows]
    return Table(IPV6, shown, list(zip(by_label.columns, map(list, zip(*(cells for _label, cells in by_label.rows))))))


def tables(results, labels):
    def bulk(text):
        return [(title, case, text) for case, title in TITLES.items()]

    def with_cpu(c):
        return c("gbit_s") if c("cpu_s_per_gb") == "–" else f"{c('gbit_s')} ({c('cpu_s_per_gb', 2)})"

    made = [
        _table("Bulk data: Gbit/s (CPU seconds per GB)", results, labels, bulk(with_cpu)),
        _table("Beside it: segments the guest sent again (and its loss probes); the generator's longest pause", results, labels,
               bulk(lambda c: f"{c('retransmitted_percent', 2)} % ({c('probes')}); {c('gap_ms', 2)} ms")),
        _table("Round trips and connections", results, labels, [
            ("RR p50, µs", "rr", lambda c: c("p50_us")), ("p99", "rr", lambda c: c("p99_us")),
            ("CPU µs each", "rr", lambda c: c("cpu_us")),
            ("CRR per s", "crr-1", lambda c: c("per_s")), ("p50, µs", "crr-1", lambda c: c("p50_us")),
            ("CPU µs each", "crr-1", lambda c: c("cpu_us")),
            ("CRR per s, 32 in flight", "crr-32", lambda c: c("per_s")), ("p50, µs", "crr-32", lambda c: c("p50_us")),
            ("CPU µs each", "crr-32", lambda c: c("cpu_us"))]),
        _table("A round trip beside 64 streams", results, labels, [
            column for direction in ("up", "down") for case in [f"beside-{direction}"] for column in [
                (f"{direction}: p50, µs", case, lambda c: c("p50_us")), ("p99", case, lambda c: c("p99_us")),
                ("p99 alone", case, lambda c: c("alone_p99_us")), ("times", case, lambda c: c("times")),
                ("Gbit/s beside", case, lambda c: c("gbit_s"))]]),
        *_udp_tables(results, labels),
        _ipv6_table(results, labels),
    ]
    for case in [c for c in results if re.fullmatch(r"idle-\d+", c)]:
        made.append(_table(f"{int(case[5:]):,} idle flows", results, labels, [
            ("opened", case, lambda c: c("opened", 6)), ("per s", case, lambda c: c("per_s")),
            ("bytes each", case, lambda c: c("bytes_a_flow", 4)),
            ("CPU while idle, %", case, lambda c: c("cpu_percent", 2)), ("wake-ups in 5 s", case, lambda c: c("wakeups", 5)),
            ("RR over random ones: p50, µs", case, lambda c: c("p50_us")), ("p99", case, lambda c: c("p99_us")),
            ("CPU µs each", case, lambda c: c("cpu_us"))]))
    made.append(_table("The process with nothing to do", results, labels, [
        ("resident, KiB", "idle-process", lambda c: c("rss", 6, 1 / 1024)),
        ("of it anonymous", "idle-process", lambda c: c("anon", 6, 1 / 1024)),
        ("wake-ups in 5 s", "idle-process", lambda c: c("wakeups", 5)),
        ("CPU, %", "idle-process", lambda c: c("cpu_percent", 2))]))
    made.append(_table("1,000 connections a second for 30 s, each closed by the server", results, labels, [
        ("opened", "time-wait-30", lambda c: c("operations", 6)), ("failed", "time-wait-30", lambda c: c("failures")),
        ("per s", "time-wait-30", lambda c: c("per_s", 4)), ("p50, µs", "time-wait-30", lambda c: c("p50_us")),
        ("p99", "time-wait-30", lambda c: c("p99_us")), ("CPU µs each", "time-wait-30", lambda c: c("cpu_us"))]))
    made.append(_table("The resolver: questions answered from its cache", results, labels, [
        ("per s", "dns", lambda c: c("per_s")), ("CPU µs each", "dns", lambda c: c("cpu_us")),
        ("answered of 5,000 a second", "dns", lambda c: c("paced_per_s", 4)), ("p50, µs", "dns", lambda c: c("p50_us")),
        ("p99", "dns", lambda c: c("p99_us")), ("worst", "dns", lambda c: c("worst_us"))]))
    made.append(_table(SIMULATED, results, list(results.get("scale", {})), [
        ("bytes each", "scale", lambda c: c("bytes_a_flow", 4)), ("ns to open one", "scale", lambda c: c("open_ns", 4)),
        ("ns a packet, random flows", "scale", lambda c: c("packet_ns")),
        ("ns a turn while all are silent", "scale", lambda c: c("turn_ns")),
        ("ns a timer pass, one flow waiting", "scale", lambda c: c("pass_ns"))]))
    made += _policy_tables(results)
    return [t for t in made if t]


def failures(results):
    """(case, label, text) of everything that went wrong, also where there is a figure."""
    found = []
    for case, systems in results.items():
        for label, rounds in systems.items():
            for figures in rounds:
                if isinstance(figures, str):
                    found.append((case, label, figures))
                elif figures.get("lost"):
                    found.append((case, label, f"{figures['lost']:,} bytes at the streams' ends did not arrive"))
                elif figures.get("stalled"):
                    found.append((case, label, f"{figures['stalled']} streams stalled at their ends"))
                elif figures.get("failures"):
                    found.append((case, label, f"{figures['failures']:,} connections failed: {figures['error']}"))
                elif figures.get("unanswered"):
                    found.append((case, label, f"{figures['unanswered']:,} questions without an answer"))
                elif figures.get("late"):
                    found.append((case, label, f"{figures['late']:,} connections too few in the time"))
    return found


def _failure_lines(results):
    return [f"{label}, {case}: {text}" for case, label, text in failures(results)]


def as_text(all_tables, results):
    lines = []
    for table in all_tables:
        grid = [["", *table.columns], *([label, *cells] for label, cells in table.rows)]
        widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
        lines += ["", table.title, *("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in grid)]
    wrong = _failure_lines(results)
    return "\n".join([*lines, *(["", "What went wrong", *wrong] if wrong else [])])


def _machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    return f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), {memory:.0f} GiB"


def _distribution():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return "unknown"


HEAD = """# Benchmarks

<!-- written by tests/bench/bench.py: change that, not this -->

What one weir process does on one machine, beside two programs with the same job (slirp4netns and pasta, as Debian packages
them) and beside what the machine can do at most (a veth pair; its loopback). The guest is this kernel in a network namespace;
between it and the server is nothing but the system under test, on a TAP. `up` is from the guest to the server.

![Gbit/s and CPU seconds per GB of each system](benchmarks.svg)

"""

TAIL = """
## How it is measured

The load generator is `weir-bench` (tests/bench): it and its server are the same for all systems. bench.py beside it starts a
fresh system, guest and server for every measurement, goes round all systems case by case, in an order that turns by one each
time, and gives the median of the rounds.

- **Gbit/s** count what arrived within the time. The sender writes 128 KiB at a time, the receiver discards without a copy.
- **CPU** is user and system time of the system under test, all its threads (`/proc/PID/stat`), from before the first connection
  until after the last: per 10⁹ bytes that arrived, or per operation. It holds what its system calls set off on the spot (the
  guest's kernel takes in a frame while it is written, a socket beyond the loopback likewise), not what generator and server
  need; they share the machine's CPUs with it, so Gbit/s are those of the whole machine.
- **Segments sent again** are the guest kernel's. It also sends one again as a probe when it hears nothing for about two round
  trips (RFC 8985 section 7), for which a busy CPU is enough: what veth shows is the machine's part.
- **RR**: one byte there and one back on an open connection, one at a time. **CRR**: connect, a byte each way, the server's FIN.
- **Beside 64 streams**: these and their server run only when no other program wants the CPU (SCHED_IDLE), so that what a round trip
  waits for is the system under test, not they.
- **UDP** rates are searched for with trains of 0.4 s, doubled and then narrowed down to a sixteenth; a train that loses more
  or falls behind its pace gets a second chance. The rate that was found then runs for the whole time, and a tenth less if it
  loses more: that run is the figure, with its CPU time. A rate counts what arrived. The sender keeps the pace with up to 64
  datagrams a system call, and leaves out what it is late for; the sockets at both ends hold 8 MiB. Where next to nothing is
  lost, the sender could not keep a higher pace on this machine's CPUs: something else gave in first than the system under test.
  **Out of order** is a datagram behind one with a higher number.
- **UDP on both families in turn** is what to compare the families by: the rates above are found by a search, in runs
  of their own, and scatter. Two systems are up, one of each family; seconds at one rate, below what gets lost, go to the
  one and to the other by turns, seven pairs, every second pair the other way round. CPU time is what the scheduler has counted
  (`/proc/PID/task/*/schedstat`). The ratio is the median of the pairs', in parentheses the least and the most of them.
- **IPv6** cases are the same as those on IPv4; the guest has one address, of that family.
- **Closed by the server**: the server's side of every connection stays in TIME_WAIT, and so does weir's towards the guest.
- **The resolver** is asked by dnsperf, one socket and up to 100 questions in flight, for 100 names that it has in its cache:
  for a while as fast as answers come, then 5,000 a second, whose times are given. It and weir run before other programs
  meanwhile (SCHED_RR). Nothing else goes upstream, which is checked.
- **Idle flows** have each carried a byte both ways. Bytes each: growth of the process's anonymous memory (`RssAnon`). The
  kernel's own memory for sockets is not in it.
- **Wake-ups** are context switches of all its threads.
- A system that failed in every round of a case says so in its place, and every failure is listed above.
"""


@dataclasses.dataclass(frozen=True)
class Part:
    """Tables with a run of their own: they need neither root nor a quiet hour."""
    program: str
    titles: tuple
    text: str

    def place(self):
        return re.compile(rf"<!-- {self.program} -->.*?<!-- end of {self.program} -->\n\n", re.S)


PARTS = (
    Part("weir-scale", (SIMULATED,), """
weir-scale (tests/replay/README.md): the whole instance between a guest and servers that are simulated, up to more flows than a
process has descriptors for. Bytes are weir's own, the simulation's are taken off; times are CPU time, the simulation's included.
A silent turn or a timer pass that took longer with more flows would be work for flows that have none; a packet takes longer
where the flows do not fit the processor's caches.
"""),
    Part("weir-bench-policy", (VERDICTS, FIRST_BYTES), """
weir-bench-policy (tests/bench/policy.c): CPU time of the code alone. Rules are names, suffixes, addresses and networks by turns,
allowed and denied, with ports and options; names are pinned to the address, and those said are in a ClientHello that was read.
The same is asked again and again, so all of it is in the processor's caches. A verdict that took longer in proportion to the
rules would be a scan of them. ClientHellos are Chromium's.
"""),
)


def _markdown(table):
    rows = (["", *table.columns], ["---"] * (len(table.columns) + 1), *([label, *cells] for label, cells in table.rows))
    return f"## {table.title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _write_part(part, made, about):
    run = f"{datetime.date.today()}: `{about.command}`, {about.rounds} rounds, {_machine()}, load before the run {about.load[0]:.2f}"
    return f"<!-- {part.program} -->\n{chr(10).join(map(_markdown, made))}{part.text}\n{run}\n<!-- end of {part.program} -->\n\n"


def _text_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _put_part(text, part, written):
    """Where it was; else in front of what follows the tables."""
    place = part.place() if part.place().search(text) else re.compile(r"^(?=## (?:What went wrong|The run)$)", re.M)
    return place.sub(lambda _match: written, text or HEAD + "## The run\n", count=1)


def _write_parts_alone(path, text, written):
    for part in PARTS:
        if part in written:
            text = _put_part(text, part, written[part])
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write(directory, about, all_tables, results, labels):
    """docs/benchmarks.md and docs/benchmarks.svg. What this run has nothing of stays as it is there (bench.py)."""
    path = os.path.join(directory, "benchmarks.md")
    before = _text_of(path)
    of_parts = {part: [t for t in all_tables if t.title in part.titles] for part in PARTS}
    written = {part: _write_part(part, made, about) for part, made in of_parts.items() if made}
    others = [t for t in all_tables if not any(t in made for made in of_parts.values())]
    if not others:
        _write_parts_alone(path, before, written)
        return
    kept = {part: found[0] for part in PARTS if (found := part.place().search(before))}
    parts = [HEAD, *(_markdown(table) + "\n" for table in others), *({**kept, **written}.get(part, "") for part in PARTS)]
    wrong = _failure_lines(results)
    if wrong:
        parts += ["## What went wrong\n\n", *(f"- {line}\n" for line in dict.fromkeys(wrong)), "\n"]
    parts += [
        "## The run\n\n",
        f"- {datetime.date.today()}: `{about.command}`, {about.rounds} rounds of {about.seconds} s, as root\n",
        f"- {_machine()}, load before the run {about.load[0]:.2f}\n",
        f"- {_distribution()}, Linux {platform.release()}\n",
        *(f"- {version}\n" for version in about.versions),
        TAIL]
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(parts))
    panels = []
    for key, unit in (("gbit_s", "Gbit/s"), ("cpu_s_per_gb", "CPU seconds per GB")):
        for case, title in TITLES.items():
            bars = [(label, value) for label in labels if (value := median(results, case, label, key)) is not None]
            if bars:
                panels.append(chart.Panel(f"{title}: {unit}", bars))
    with open(os.path.join(directory, "benchmarks.svg"), "w", encoding="utf-8") as file:
        file.write(chart.svg(panels))
