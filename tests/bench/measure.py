"""The measurements: each takes a running system and returns its figures, or raises Failure."""
import json
import os
import re
import shutil
import statistics
import subprocess
import threading

from systems import Failure, dns_names, undisturbed

GRACE_S = 60     # beyond its own time, for what a load generator does
SETTLE_S = 1     # after a start or a burst of connections
WATCH_S = 5      # how long an idle process is watched
OPEN_S = 30      # for opening idle flows
LOST_PERCENT_MAX, RATE_TRIES, RATE_STEP = 1, 8, 0.9  # a rate that was found for less than a second may be too high for longer
TIME_WAIT_S, TIME_WAIT_PER_S, TIME_WAIT_IN_FLIGHT = 30, 1000, 256

DNS_NAMES, DNS_PER_S, DNS_IN_FLIGHT = 100, 5000, 100  # as many new names as a guest may ask under one rule
PARITY_PER_S, PARITY_SLICE_S, PARITY_PAIRS = 40000, 1, 7  # a rate that every system takes: what it costs is compared

BESIDE_STREAMS, BEHIND = 64, ("chrt", "--idle", "0")  # a program so started runs when no other wants to

GENERATOR = None  # the path of weir-bench
SCALE = None      # the path of weir-scale
POLICY = None     # the path of weir-bench-policy
HELLOS = None     # a file of ClientHellos for it
ALONE_S = 120     # for all that one of these two does; it is seconds


def pass_time(seconds):
    """This is what is measured, not a way to wait for something."""
    threading.Event().wait(seconds)


def per(amount, count):
    return None if amount is None or not count else amount / count


def pick(figures, *keys):
    return {key: figures[key] for key in keys}


def generate(system, *arguments, seconds):
    """Run the load generator, for about `seconds`, in the guest to its end: its figures and the system's CPU seconds."""
    before = system.cpu_s()
    client = system.guest.popen([GENERATOR, arguments[0], system.server, system.port, *arguments[1:]],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = client.communicate(timeout=seconds + GRACE_S)
    except subprocess.TimeoutExpired:
        client.kill()
        client.communicate()
        raise Failure(f"not over {GRACE_S} s after its time") from None
    if not system.alive():
        raise Failure(f"it ended with status {system.process.returncode}: {system.said()}")
    if client.returncode != 0:
        raise Failure(err.strip().removeprefix("weir-bench: "))
    after = system.cpu_s()
    return json.loads(out), None if before is None else after - before


def bulk(system, direction, streams, seconds):
    before = system.segments()
    figures, cpu_s = generate(system, direction, streams, seconds, seconds=seconds)
    sent, again, probes = (now - then for now, then in zip(system.segments(), before))
    return {**pick(figures, "gbit_s", "gap_ms", "tail_ms", "lost", "stalled"),
            "cpu_s_per_gb": per(cpu_s, figures["bytes"] / 1e9),
            "retransmitted": again, "probes": probes, "retransmitted_percent": 100 * again / max(sent, 1)}


def rr(system, seconds, command="rr"):
    figures, cpu_s = generate(system, command, seconds, seconds=seconds)
    return {**pick(figures, "p50_us", "p99_us", "worst_us"), "cpu_us": per(cpu_s, figures["operations"] / 1e6)}


def rr_beside(system, direction, seconds):
    """One flow's round trips alone, then beside bulk data whose generator and server do not take a CPU from it: the system does."""
    alone = rr(system, seconds)
    port = system.world.take_port()
    system.world.start_server(system.family, port, BEHIND)
    streams = system.guest.popen([*BEHIND, GENERATOR, direction, system.server, port, BESIDE_STREAMS, seconds + 2 * SETTLE_S],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        pass_time(SETTLE_S)
        beside = rr(system, seconds)
        out, err = streams.communicate(timeout=seconds + GRACE_S)
    except subprocess.TimeoutExpired:
        raise Failure(f"the streams are not over {GRACE_S} s after their time") from None
    finally:
        if streams.poll() is None:
            streams.kill()
            streams.communicate()
    if streams.returncode != 0:
        raise Failure(err.strip().removeprefix("weir-bench: "))
    return {**pick(beside, "p50_us", "p99_us", "worst_us"), "alone_p99_us": alone["p99_us"],
            "times": beside["p99_us"] / alone["p99_us"], **pick(json.loads(out), "gbit_s")}


def crr(system, in_flight, seconds):
    figures, cpu_s = generate(system, "crr", in_flight, seconds, seconds=seconds)
    if not figures["operations"]:
        raise Failure(f"not one connection: {figures['error']}")
    return {**pick(figures, "per_s", "p50_us", "p99_us", "worst_us", "failures", "error"),
            "cpu_us": per(cpu_s, figures["operations"] / 1e6)}


def time_wait(system, _seconds):
    """The server closes every connection, so each leaves its addresses in TIME_WAIT behind weir and in weir."""
    figures, cpu_s = generate(system, "crr", TIME_WAIT_IN_FLIGHT, TIME_WAIT_S, TIME_WAIT_PER_S, seconds=TIME_WAIT_S)
    return {**pick(figures, "operations", "per_s", "p50_us", "p99_us", "worst_us", "failures", "error"),
            "late": max(int(0.99 * TIME_WAIT_S * TIME_WAIT_PER_S) - figures["operations"] - figures["failures"], 0),
            "cpu_us": per(cpu_s, figures["operations"] / 1e6)}


def _dnsperf(system, *arguments, seconds):
    """Ask the gateway in the guest, as Debian's dnsperf does: what it printed, and the system's CPU seconds."""
    before = system.cpu_s()
    gateway = system.guest_addresses[system.family][1]
    try:
        done = system.guest.run(["dnsperf", "-s", gateway, "-d", f"{system.directory}/names", "-q", DNS_IN_FLIGHT, "-t", 1, *arguments],
                                timeout=seconds + GRACE_S)
    except subprocess.TimeoutExpired:
        raise Failure(f"not over {GRACE_S} s after its time") from None
    if not system.alive():
        raise Failure(f"it ended with status {system.process.returncode}: {system.said()}")
    if done.returncode != 0:
        raise Failure(done.stderr.strip())
    return done.stdout, system.cpu_s() - before


def _number(text, pattern):
    return float(re.search(pattern, text)[1])


def dns(system, seconds):
    """Answers from the cache: as many as there can be, and the times of so many a second."""
    if not shutil.which("dnsperf") or not shutil.which("dnsmasq"):
        raise Failure("dnsperf and dnsmasq are not installed")
    names, log = dns_names(DNS_NAMES), f"{system.directory}/resolver.log"
    with open(f"{system.directory}/names", "w", encoding="ascii") as file:
        file.writelines(f"{name} {'A' if system.family == 4 else 'AAAA'}\n" for name in names)
    system.world.start_resolver(system.family, DNS_NAMES, log)
    _dnsperf(system, "-n", 1, seconds=0)  # warms the cache
    with undisturbed(system.process.pid):
        fast, cpu_s = _dnsperf(system, "-l", seconds, seconds=seconds)
        paced, _cpu_s = _dnsperf(system, "-l", seconds, "-Q", DNS_PER_S, "-v", seconds=seconds)
    times_us = [float(s) * 1e6 for s in re.findall(r"^> NOERROR \S+ \S+ ([\d.]+)$", paced, re.M)]
    with open(log, encoding="utf-8") as file:
        asked = file.read().count("query[")
    if asked != DNS_NAMES:
        raise Failure(f"{asked} questions went upstream, not {DNS_NAMES}: that was not the cache")
    if len(times_us) < 100:
        raise Failure(f"{len(times_us)} answers of {DNS_PER_S * seconds}")
    percentiles = statistics.quantiles(times_us, n=100)
    return {"per_s": _number(fast, r"Queries per second: +([\d.]+)"),
            "cpu_us": per(cpu_s, _number(fast, r"Queries completed: +(\d+)") / 1e6),
            "paced_per_s": len(times_us) / seconds, "p50_us": percentiles[49], "p99_us": percentiles[98], "worst_us": max(times_us),
            "unanswered": sum(int(_number(said, r"Queries lost: +(\d+)")) for said in (fast, paced))}


def udp(system, direction, size, seconds):
    """Search for the highest rate that loses little, then see what it costs. The search's CPU time does not count."""
    found, _cpu_s = generate(system, f"udp-{direction}", size, seconds=0)
    rate = found["packets_s"]
    for _attempt in range(RATE_TRIES):
        figures, cpu_s = generate(system, f"udp-{direction}", size, int(rate), seconds, seconds=seconds)
        if figures["lost_percent"] < LOST_PERCENT_MAX:
            return {**pick(figures, "packets_s", "lost_percent", "reordered", "duplicates"),
                    "found_packets_s": found["packets_s"], "cpu_us": per(cpu_s, figures["arrived"] / 1e6)}
        rate *= RATE_STEP
    raise Failure(f"{figures['lost_percent']:.1f} % are lost even at {figures['rate']:,} packets/s; "
                  f"found was {found['packets_s']:,.0f}")


def _udp_slice(system, direction, size):
    """CPU µs a datagram at a rate at which nothing gets lost."""
    before = system.on_cpu_s()
    figures, _cpu_s = generate(system, f"udp-{direction}", size, PARITY_PER_S, PARITY_SLICE_S, seconds=PARITY_SLICE_S)
    if figures["lost_percent"] >= LOST_PERCENT_MAX:
        raise Failure(f"{figures['lost_percent']:.1f} % are lost at {PARITY_PER_S:,} packets/s")
    return per(system.on_cpu_s() - before, figures["arrived"] / 1e6)


def udp_parity(systems, direction, size):
    """
    What a datagram costs on either family, in turn: what disturbs the machine for longer than a pair takes disturbs both alike, and
    the order is another one in every pair. systems: {IP version: the system}, both up all the time.
    """
    costs = {4: [], 6: []}
    for pair in range(PARITY_PAIRS):
        for family in (4, 6) if pair % 2 == 0 else (6, 4):
            costs[family].append(_udp_slice(systems[family], direction, size))
    ratios = sorted(six / four for four, six in zip(costs[4], costs[6]))
    return {"cpu_us_4": statistics.median(costs[4]), "cpu_us_6": statistics.median(costs[6]), "ratio": statistics.median(ratios),
            "least": ratios[0], "most": ratios[-1]}


def watch(system):
    """What a process does while there is nothing to do."""
    cpu_s, switches = system.cpu_s(), system.switches()
    pass_time(WATCH_S)
    return {"cpu_percent": 100 * (system.cpu_s() - cpu_s) / WATCH_S, "wakeups": system.switches() - switches,
            "rss": system.memory("VmRSS"), "anon": system.memory("RssAnon")}


def idle_process(system, _seconds):
    pass_time(SETTLE_S)
    return watch(system)


def run_alone(*command):
    """The lines of JSON of a program that needs no system."""
    name = os.path.basename(command[0])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ALONE_S, check=False)
    except FileNotFoundError:
        raise Failure(f"{command[0]} is not built") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{name} is not over after {ALONE_S} s") from None
    if done.returncode != 0:
        raise Failure(f"{name}: {' '.join(done.stderr.split())}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def scale():
    """{label: figures} for each number of flows on simulated host sockets: IPv4's and, next to it, IPv6's."""
    rows = [row for rows in zip(*(run_alone(SCALE, "--json", "--family", version) for version in ("4", "6"))) for row in rows]
    return {f"weir, {row['flows']:,} flows{', IPv6' if row['family'] == 6 else ''}": row for row in rows}


def verdicts():
    """{label: figures} for each kind of verdict."""
    return {row.pop("label"): row for row in run_alone(POLICY, "judge")}


def first_bytes():
    """{label: figures} for each kind of first bytes."""
    return {row.pop("label"): row for row in run_alone(POLICY, "read", HELLOS)}


def _line(client):
    line = client.stdout.readline()
    if not line:
        client.wait()
        raise Failure(client.stderr.read().strip().removeprefix("weir-bench: "))
    return json.loads(line)


def idle_flows(system, flows, seconds):
    pass_time(SETTLE_S)
    anon = system.memory("RssAnon")
    client = system.guest.popen([GENERATOR, "idle", system.server, system.port, flows, OPEN_S], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        opened = _line(client)
        count = opened["operations"]
        if not count:
            raise Failure(f"not one flow: {opened['error']}")
        pass_time(SETTLE_S)
        seen = watch(system)
        cpu_s = system.cpu_s()
        client.stdin.write(f"rr {seconds}\n")
        client.stdin.flush()
        answers = _line(client)
        return {**seen, **pick(opened, "failures", "error", "per_s"), "opened": count, "slowest_open_us": opened["worst_us"],
                "bytes_a_flow": (seen["anon"] - anon) / count, **pick(answers, "p50_us", "p99_us", "worst_us"),
                "cpu_us": per(system.cpu_s() - cpu_s, answers["operations"] / 1e6)}
    finally:
        if not system.alive():
            raise Failure(f"it ended with status {system.process.returncode}: {system.said()}")
        client.kill()
        client.communicate()
