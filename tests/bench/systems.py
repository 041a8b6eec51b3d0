"""The systems under test, each between a guest and a server that are the same for all.

    guest namespace: load generator, kernel -- TAP -- the system under test, in the world's namespace -- server

The limits have no system: `veth` joins the namespaces by a veth pair, `loopback` has the load generator in the world itself.
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../net"))
from namespaces import IFF_TAP, Namespace  # noqa: E402
from waiting import undisturbed, wait_until  # noqa: E402, F401

PORT_FIRST, PORT_LAST = 400, 999  # the servers', below the ports that the kernel chooses for connections
SERVERS = {4: "203.0.113.10", 6: "2001:db8:113::10"}  # by IP version
PUBLIC = {4: "203.0.113.0/24", 6: "2001:db8:113::/48"}
FLOWS_MAX = 19000  # weir's limits.flows where more than the default are wanted
QPS_MAX = 1000000  # its limits.dns_qps where the resolver is what is measured
DNS_ZONE = "bench.example"
START_S, STOP_S = 10, 10
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A measurement that has no figure; the text says why."""


def make_namespace(family):
    """Addresses are usable at once; interfaces have IPv6 only where it is measured, for it would wake what is to be idle."""
    ns = Namespace()
    ns.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    if family == 4:
        ns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    for key, value in (("disable_ipv6", int(family == 4)), ("accept_dad", 0), ("accept_ra", 0)):
        ns.sysctl(f"net.ipv6.conf.default.{key}", value)
    return ns


def dns_names(count):
    return [f"n{n}.{DNS_ZONE}" for n in range(count)]


class World:
    """Where the server is, and where the systems under test dial from. Its way out leads nowhere."""

    def __init__(self, generator):
        self.generator = generator
        self.ns = make_namespace(6)
        self.wan = self.ns.tun("wan0", IFF_TAP)  # pasta wants an interface with an address and a default route
        self.ns.sh(f"""
            ip addr add {SERVERS[4]}/24 dev lo
            ip addr add {SERVERS[6]}/64 dev lo nodad
            ip addr add 198.51.100.1/24 dev wan0
            ip addr add 2001:db8:100::1/64 dev wan0 nodad
            ip link set wan0 up
            ip route add default via 198.51.100.2
            ip route add default via 2001:db8:100::2""")
        self.ns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # veth's end
        self.port, self.servers, self.resolver = PORT_FIRST - 1, [], None

    def start_servers(self, families):
        """
        Fresh ones for each measurement, on a port of their own, for what the last one left in TIME_WAIT is in the way of the next:
        connect() tries every second of the ports first, and looks at all that are taken.
        """
        self.stop_servers()
        port = self.take_port()
        for family in families:
            self.start_server(family, port)

    def take_port(self):
        self.port = self.port + 1 if self.port < PORT_LAST else PORT_FIRST
        return self.port

    def start_server(self, family, port, run_by=()):
        server = self.ns.popen([*run_by, self.generator, "serve", SERVERS[family], port], stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        if server.stdout.readline() != "ready\n":
            raise Failure("the server does not start")

    def stop_servers(self):
        while self.servers:
            server = self.servers.pop()
            server.kill()
            server.wait()
            server.stdout.close()
        if self.resolver:
            self.resolver.kill()
            self.resolver.wait()
            self.resolver = None

    def start_resolver(self, family, count, log):
        """A program that knows so many names, and logs every question. stop_servers() ends it too."""
        hosts = [f"--host-record={name},{SERVERS[family]}" for name in dns_names(count)]
        with open(log, "wb") as said:
            self.resolver = self.ns.popen(
                ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file=",
                 "--log-queries", "--log-facility=-", "--bind-interfaces", f"--listen-address={SERVERS[family]}",
                 "--local-ttl=3600", *hosts], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        wait_until(lambda: self.resolver.poll() is not None or "started" in _read(log), START_S, "the resolver is ready")
        if self.resolver.poll() is not None:
            raise Failure(f"the resolver does not start: {_read(log)}")

    def close(self):
        self.stop_servers()
        os.close(self.wan)
        self.ns.close()


def _threads(pid):
    """The directories of all threads of a process and of its children; one that ends meanwhile is left out."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        path = f"/proc/{pid}/task/{thread}"
        try:
            children = _read(f"{path}/children").split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield path
        for child in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield from _threads(int(child))


def _of_threads(pid, name):
    """What that file says of each thread."""
    for path in _threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield _read(f"{path}/{name}")


def _read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


class System:
    """One of them, running."""
    name = mtu = None
    limit = False   # no program: what the machine can do
    latency = True  # it stands in the tables of RR, CRR and idle flows; at its other MTU it only moves bulk data
    ipv6 = False    # it is measured on IPv6 too
    guest_addresses = None  # {IP version: (address/length, gateway)} if nothing else configures the guest

    @classmethod
    def label(cls):
        return f"{cls.name}, MTU {cls.mtu}" if cls.mtu else cls.name

    @classmethod
    def missing(cls, programs):
        """Why it cannot run here, or None."""
        return None if shutil.which(programs.get(cls.name, cls.name)) else "not installed"

    @staticmethod
    def version(_programs):
        return None

    def __init__(self, world, programs, directory, flows, family=4, names=0):
        self.world, self.programs, self.directory, self.flows, self.names = world, programs, directory, flows, names
        self.family, self.server, self.port = family, SERVERS[family], world.port
        self.process = None
        self.guest = make_namespace(family)
        try:
            self.start()
            if self.process:
                wait_until(self._ready, START_S, f"{self.label()} is ready")
            if self.guest_addresses:
                address, gateway = self.guest_addresses[family]
                self.guest.sh(f"ip addr add {address} dev eth0; ip link set eth0 up; ip route add default via {gateway}")
        except BaseException:
            self.close()
            raise

    def start(self):
        raise NotImplementedError

    def ready(self):
        """The guest has its interface, an address and a default route."""
        return "default" in self.guest.sh(f"ip -{self.family} route show") and "UP" in self.guest.sh("ip -brief link show up")

    def _ready(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.label()} ended with status {self.process.returncode}: {self.said()}")
        return self.ready()

    def spawn(self, argv, **kwargs):
        with open(f"{self.directory}/said", "wb") as said:
            self.process = self.world.ns.popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, **kwargs)

    def said(self):
        return re.sub(r"\s+", " ", _read(f"{self.directory}/said")[-500:]).strip()

    def cpu_s(self):
        """User and system time of all its threads so far."""
        if not self.process:
            return None
        fields = [text.rsplit(")", 1)[1].split() for text in _of_threads(self.process.pid, "stat")]
        return sum(int(f[11]) + int(f[12]) for f in fields) / TICKS_A_SECOND

    def on_cpu_s(self):
        """Time its threads were on a CPU so far: the same to the nanosecond, for what takes less than many ticks."""
        return sum(int(text.split()[0]) for text in _of_threads(self.process.pid, "schedstat")) / 1e9

    def switches(self):
        """How often its threads were put on a CPU so far."""
        text = "".join(_of_threads(self.process.pid, "status"))
        return sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", text, re.M)))

    def memory(self, what):
        """VmRSS or RssAnon, in bytes."""
        return int(re.search(rf"^{what}:\s+(\d+) kB$", _read(f"/proc/{self.process.pid}/status"), re.M).group(1)) * 1024

    def segments(self):
        """What the guest's kernel counted so far: segments sent, sent again, and loss probes (RFC 8985 section 7)."""
        with self.guest.entered():
            lines = _read("/proc/thread-self/net/snmp") + _read("/proc/thread-self/net/netstat")
        counted = {}
        for names, values in zip(lines.splitlines()[::2], lines.splitlines()[1::2]):
            if names.startswith(("Tcp:", "TcpExt:")):
                counted |= dict(zip(names.split(), values.split()))
        return [int(counted[key]) for key in ("OutSegs", "RetransSegs", "TCPLossProbes")]

    def alive(self):
        return self.process is None or self.process.poll() is None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.guest.close()


class Weir(System):
    name, mtu, ipv6 = "weir", 1500, True
    guest_addresses = {4: ("192.168.127.2/24", "192.168.127.1"), 6: ("fd77:6569:72::2/64", "fd77:6569:72::1")}

    @staticmethod
    def version(programs):
        done = subprocess.run([programs["weir"], "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def start(self):
        argv = [self.programs["weir"], "run", "--link", f"tap,name=eth0,netns={self.guest.path}", "--mtu", self.mtu,
                "--group", f"public={PUBLIC[self.family]}", "--allow", f"{self.server} tcp/{PORT_FIRST}-{PORT_LAST}",
                "--allow", f"{self.server} udp/{PORT_FIRST}-{PORT_LAST}", "--dns", self.server, "--log", f"{self.directory}/flows.log"]
        limits = {"flows": FLOWS_MAX} if self.flows > 10000 else {"dns_qps": QPS_MAX} if self.names else {}
        if self.names:
            argv += ["--allow", f".{DNS_ZONE} tcp/{PORT_FIRST}"]
        if limits:
            config = f"{self.directory}/config.yaml"
            with open(config, "w", encoding="ascii") as file:
                json.dump({"limits": limits}, file)  # JSON is YAML
            argv += ["--config", config]
        self.spawn(argv)

    def ready(self):
        return "weir: ready" in self.said()


class WeirJumbo(Weir):
    mtu, latency, ipv6 = 65520, False, False


class Slirp(System):
    name, mtu, latency = "slirp4netns", 1500, False

    @staticmethod
    def version(_programs):
        done = subprocess.run(["slirp4netns", "--version"], capture_output=True, text=True, check=True)
        return ", ".join(re.findall(r"^(?:slirp4netns version|libslirp:) .*$", done.stdout, re.M))

    def start(self):
        self.spawn(["slirp4netns", "--configure", "--mtu", self.mtu, "--netns-type", "path", self.guest.path, "eth0"])


class SlirpJumbo(Slirp):
    mtu, latency = 65520, True


class Pasta(System):
    name, mtu, latency = "pasta", 1500, False
    addresses = {4: ["--ipv4-only", "--address", "10.0.2.15", "--netmask", "255.255.255.0", "--gateway", "10.0.2.2"],
                 6: ["--ipv6-only", "--address", "2001:db8:100::15", "--gateway", "2001:db8:100::2"]}

    @staticmethod
    def version(_programs):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "passt"], capture_output=True, text=True, check=False)
        return "pasta " + (done.stdout if done.returncode == 0 else "of unknown version")

    def start(self):
        # It drops the right to look into other processes before it opens the namespace: it gets a descriptor of its own.
        self.spawn(["pasta", "--foreground", "--stderr", "--quiet", "--runas", "0", "--config-net", "--no-netns-quit",
                    "--netns", f"/proc/self/fd/{self.guest.fd}", "--ns-ifname", "eth0", "--mtu", self.mtu,
                    "--interface", "wan0", *self.addresses[self.family], "--tcp-ports", "none",
                    "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"], pass_fds=[self.guest.fd])


class PastaJumbo(Pasta):
    mtu, latency, ipv6 = 65520, True, True


class Veth(System):
    name, mtu, latency, limit = "veth", 1500, False, True
    guest_addresses = {4: ("10.0.2.15/24", "10.0.2.2")}

    @classmethod
    def missing(cls, programs):
        return None

    def start(self):
        holder = self.guest.popen(["cat"], stdin=subprocess.PIPE)  # ip wants a process to know a namespace by
        try:
            self.world.ns.sh(f"""
                ip link add veth0 mtu {self.mtu} type veth peer name eth0 mtu {self.mtu} netns {holder.pid}
                ip addr add 10.0.2.2/24 dev veth0
                ip link set veth0 up""")
        finally:
            holder.communicate()

    def close(self):
        self.world.ns.run(["ip", "link", "del", "veth0"])
        super().close()


class VethJumbo(Veth):
    mtu, latency = 65520, True


class Loopback(System):
    name, mtu, limit = "loopback", None, True

    @classmethod
    def missing(cls, programs):
        return None

    def start(self):
        self.guest.close()
        self.guest = self.world.ns

    def close(self):
        self.guest = None


SYSTEMS = [Weir, WeirJumbo, PastaJumbo, Pasta, SlirpJumbo, Slirp, VethJumbo, Veth, Loopback]
