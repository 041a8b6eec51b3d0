"""The laboratory: a world of servers, the program under test, and guests made of this machine's own kernel.

    guest namespace -- TAP, or TAP + monitor + unix socket -- weir -- sockets in the world's namespace -- servers
"""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import dnsq
import servers
from namespaces import IFF_TAP, Namespace
from waiting import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
WEIR = os.path.abspath(os.environ.get("WEIR", os.path.join(HERE, "../../build/weir")))
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "check failed", "CHECK")
STOP_S = 10
ENVIRONMENT = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class World:
    """The internet of the tests. weir runs in its namespace and dials what listens here."""

    def __init__(self, directory, plan):
        self.directory, self.plan = directory, plan
        self.programs = []
        self.ns = Namespace()
        self.hole = self.ns.tun("hole0")  # never read: what is routed there is gone
        self.ns.sh(f"""
            ip link set hole0 up txqueuelen 1
            {plan.ip} addr add {plan.source} dev lo {plan.nodad}
            {plan.ip} addr add {plan.host_interface} dev lo {plan.nodad}
            {plan.ip} route add local {plan.local} dev lo src {plan.source}
            {plan.ip} route add {plan.hole_net} dev hole0 src {plan.source}
            {plan.ip} route add unreachable {plan.unreachable}
            {plan.ip} route add prohibit {plan.prohibited}
            {plan.ip} route add unreachable {plan.private}""")
        self.ns.sysctl("net.ipv6.ip_nonlocal_bind", 1)  # as IPv4 may: to what a local route covers
        self.ns.sysctl("net.ipv6.icmp.ratelimit", 0)
        self.ns.sysctl("net.ipv4.ping_group_range", "0 2147483647")
        self.ns.sysctl("net.ipv4.icmp_ratelimit", 0)
        self.ca, self.cert, self.key = servers.make_certificates(directory)

    def start_servers(self):
        self.programs.append(servers.start_dnsmasq(self.ns, self.directory, self.plan, self.plan.resolver))
        self.programs.append(servers.start_nginx(self.ns, self.directory, self.plan, self.cert, self.key))

    def upstream_queries(self, name):
        """How often the upstream resolver was asked for a name."""
        with open(f"{self.directory}/dnsmasq.log", encoding="utf-8") as file:
            return len(re.findall(rf"query\[\w+\] {re.escape(name)} from", file.read()))

    def close(self):
        for program in self.programs:
            program.close()
        os.close(self.hole)
        self.ns.close()


def _matches(record, fields):
    for key, wanted in fields.items():
        value = record.get(key)
        if not (value is not None and wanted(value) if callable(wanted) else value == wanted):
            return False
    return True


class Weir:
    """A running `weir run`, its log, and the promises it made in it."""

    def __init__(self, world, directory, arguments, config=None, prlimit=None, etc=None, log=None):
        """etc: a directory that weir sees as /etc. log: where it writes, when the test reads that itself."""
        self.directory = directory
        self.log_path, self.stderr_path = f"{directory}/flows.log", f"{directory}/stderr"
        self.expected = []
        argv = [WEIR, "run", "--log", log or self.log_path, "--group", f"public={world.plan.public}", *arguments]
        if "--dns" not in arguments and not (config or {}).get("dns", {}).get("upstream"):
            argv += ["--dns", world.plan.resolver]
        if config:
            path = f"{directory}/config.yaml"
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)  # JSON is YAML
            argv += ["--config", path]
        if "-v" not in argv:
            argv.append("-v")  # a failing test's report then says what was counted
        if prlimit:
            argv = ["prlimit", prlimit, "--", *argv]
        if etc:
            argv = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /etc; exec "$@"', etc, *argv]
        with open(self.stderr_path, "wb") as err:
            self.process = world.ns.popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=ENVIRONMENT)
        wait_until(self._ready, 10, "weir: ready")

    def _ready(self):
        assert self.process.poll() is None, f"weir ended with {self.process.returncode}:\n{self.stderr()}"
        return "weir: ready\n" in self.stderr()

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def records(self, **fields):
        """The records so far that have these fields; a field's value may be a predicate."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            lines = file.read().split("\n")[:-1]
        return [r for r in map(json.loads, lines) if _matches(r, fields)]

    def expect(self, timeout=5, count=1, **fields):
        """Wait for a record with these fields; stop() checks that it stayed the only one (or `count`)."""
        try:
            wait_until(lambda: len(self.records(**fields)) >= count, timeout)
        except AssertionError:
            raise AssertionError(f"no record {fields} within {timeout} s; log: {self.records()[-20:]}") from None
        self.expected.append((fields, count))
        return self.records(**fields)[0]

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def counters(self):
        """Those that counted something, by name, after stop() of a weir that was started with -v."""
        found = re.findall(r"^weir: ([a-z0-9_.]+) (\d+)$", self.stderr(), re.M)
        return {name: int(value) for name, value in found}

    def counter(self, name):
        """One of them."""
        return self.counters().get(name, 0)

    def stop(self):
        """SIGTERM, then: exit status 0, no sanitizer report, expected records exactly as often as said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"weir did not end within {STOP_S} s of SIGTERM") from None
        said = self.stderr()
        assert not any(word in said for word in SANITIZER_WORDS), said
        assert status == 0, f"weir ended with {status}:\n{said}"
        for fields, count in self.expected:
            found = self.records(**fields)
            assert len(found) == count, f"{len(found)} records {fields}, not {count}: {found}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tell(self):
        """For the report of a failing test."""
        print(f"--- weir's stderr\n{self.stderr()}--- weir's log")
        for record in self.records()[-40:]:
            print(json.dumps(record))


class Monitor:
    """The stream link's other end: a process between the guest's TAP and weir's socket."""

    def __init__(self, ns, tap, path):
        argv = [sys.executable, f"{HERE}/monitor.py", tap, path]
        self.process = ns.popen(argv, pass_fds=[tap], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"connected\n"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def only_static(ns):
    """Devices made in the namespace from now on have the addresses they are given, at once, and no others."""
    ns.sysctl("net.ipv6.conf.default.accept_ra", 0)
    ns.sysctl("net.ipv6.conf.default.accept_dad", 0)


class Vm:
    """A guest and the weir under it.

    link: "tap"; "stream": a TAP, and a monitor between it and weir's socket; "wire": only the socket, `path`.
    addresses: "static"; "auto": what the guest's kernel makes of router advertisements; None: none.
    prepare: a shell script for the guest's namespace, before there is a weir.
    """

    def __init__(self, world, directory, arguments, link="tap", link_options="", addresses="static", prepare="", **kwargs):
        self.world, self.plan = world, world.plan
        self.guest = Namespace()
        if addresses == "static":
            only_static(self.guest)
        self.guest.sh(prepare)
        self.tap, self.monitor, self.weir = -1, None, None
        self.path = f"{directory}/link.sock"
        spec = f"tap,name=eth0,netns={self.guest.path}" if link == "tap" else f"stream,path={self.path}"
        try:
            self.weir = Weir(world, directory, ["--link", spec + link_options, *arguments], **kwargs)
            if link == "stream":
                self.tap = self.guest.tun("eth0", IFF_TAP)
                self.guest.sh("ip link set eth0 up")
                self.plug()
            if addresses == "static" and link != "wire":
                self.configure()
        except BaseException:
            self.close()
            raise

    def plug(self):
        self.monitor = Monitor(self.guest, self.tap, self.path)

    def unplug(self):
        self.monitor.close()
        self.monitor = None

    def configure(self):
        plan = self.plan
        self.guest.sh(f"""
            {plan.ip} addr add {plan.guest}/{plan.prefix_len} dev eth0 {plan.nodad}
            {plan.ip} route add default via {plan.gateway}""")

    # ---- what a program in the guest would do ----

    def socket(self, kind=socket.SOCK_STREAM):
        sock = self.guest.socket(self.plan.family, kind)
        sock.settimeout(10)
        return sock

    def connect(self, addr, port, timeout=10):
        sock = self.socket()
        sock.settimeout(timeout)
        try:
            sock.connect((addr, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def udp(self, addr, port, timeout=5):
        sock = self.socket(socket.SOCK_DGRAM)
        sock.settimeout(timeout)
        sock.connect((addr, port))
        return sock

    def ask(self, name, kind=None, server=None, **kwargs):
        return dnsq.ask(self.guest, server or self.plan.gateway, name, kind or self.plan.record, **kwargs)

    def resolve(self, name):
        """Look a name up at the gateway, which pins it."""
        answer = self.ask(name)
        assert answer.rcode == dnsq.NOERROR and answer.addrs, f"{name}: rcode {answer.rcode}"
        return answer.addrs[0]

    def curl(self, *arguments, timeout=20):
        options = ["--silent", "--show-error", "--max-time", timeout - 1, "--cacert", self.world.ca]
        return self.guest.run(["curl", *options, *arguments], timeout=timeout)

    def close(self):
        if self.monitor:
            self.unplug()
        if self.weir:
            self.weir.kill()
        if self.tap >= 0:
            os.close(self.tap)
        self.guest.close()


class Lab:
    """What a test asks for: guests, servers, threads. close() checks and ends everything it gave out."""

    def __init__(self, world, directory):
        self.world, self.plan, self.directory = world, world.plan, directory
        self.vms, self.stack = [], contextlib.ExitStack()
        self.pool = None

    def fresh_directory(self):
        path = f"{self.directory}/{len(os.listdir(self.directory))}"
        os.mkdir(path)
        return path

    def vm(self, *rules, args=(), **kwargs):
        """A guest whose weir has these rules (`allow web.lab.example tcp/443`, ...)."""
        arguments = [*args]
        for rule in rules:
            arguments += ["--rule", rule]
        made = Vm(self.world, self.fresh_directory(), arguments, **kwargs)
        self.vms.append(made)
        return made

    def serve(self, script, addr=None, port=0, **kwargs):
        server = servers.TcpServer(self.world.ns, addr or self.plan.peer, port, script, **kwargs)
        self.stack.callback(server.close)
        return server

    def serve_udp(self, addr=None, port=0, **kwargs):
        server = servers.UdpServer(self.world.ns, addr or self.plan.peer, port, **kwargs)
        self.stack.callback(server.close)
        return server

    def start(self, start, *args):
        """One of the servers that are programs (servers.start_unbound, ...), of this test's own."""
        program = start(self.world.ns, self.fresh_directory(), self.plan, *args)
        self.stack.callback(program.close)
        return program

    def spawn(self, work, *args):
        """Run in a thread; .result(timeout) of what is returned raises what it raised."""
        if not self.pool:
            self.pool = self.stack.enter_context(concurrent.futures.ThreadPoolExecutor(128))
        return self.pool.submit(work, *args)

    def close(self):
        """Stop every weir first (so that nothing a test left open blocks), check it, then clean up."""
        failures = []
        for vm in self.vms:
            try:
                vm.weir.stop()
            except AssertionError as failure:
                failures.append(failure)
            vm.weir.tell()
            vm.close()
        self.stack.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if failures:
            raise failures[0]
