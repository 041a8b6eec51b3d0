"""A guest that abuses its link, and flows beside the abuse that must not feel it.

The guest is a real kernel behind a TAP; the abuse comes from a packet socket on the same device, so all of it is one
guest's. What a kernel would answer to the answers (RST to a SYN-ACK it never asked for) is held back where said.
"""
import itertools
import json
import random
import select
import socket
import struct
import threading
import time

import pytest

import frames
import lab as laboratory
import pattern
import servers
from frames import ACK, FIN, RST, SYN
from lab import only_static
from namespaces import Namespace
from plan import endpoint
from test_limits import resting_fds
from waiting import wait_until

MIB = pattern.MIB
FORGED = range(1024, 61024)           # ports of the scripted flows ...
OWN_PORTS = "62000 65535"             # ... and of the guest's kernel
HALF_OPEN, DIALS = 512, 256
PSH, URG = 8, 32
# What a flood may cost in resident memory: the slots of the flows the caps admit, the counters, one turn's buffers,
# and the sanitizer's shadow of all that. A flood of 60,000 that kept 300 bytes for each SYN would be above it.
FLOOD_BYTES = 16 * MIB


@pytest.fixture(autouse=True)
def no_quarantine(monkeypatch):
    """The sanitizer keeps what was freed for a while, by default 256 MiB of it: memory would grow with any traffic."""
    options = laboratory.ENVIRONMENT.get("ASAN_OPTIONS", "")
    monkeypatch.setitem(laboratory.ENVIRONMENT, "ASAN_OPTIONS", f"{options}:quarantine_size_mb=1")


class Steady:
    """A connection from before the abuse: every byte comes back, in every round."""

    def __init__(self, vm, server):
        self.sock = vm.connect(server.addr, server.port)
        self.blocks = pattern.blocks(1 << 40)
        self.round_trip()

    def round_trip(self):
        block = next(self.blocks)
        self.sock.sendall(block)
        got = b""
        while len(got) < len(block):
            chunk = self.sock.recv(len(block) - len(got))
            assert chunk, "the connection ended"
            got += chunk
        assert got == block

    def close(self):
        self.sock.close()


class Abuse:
    """An abused server beside an honest one, and a guest that talks to both."""

    def __init__(self, lab, plan, limits=None, silent=True, args=()):
        self.lab, self.plan = lab, plan
        self.echo = lab.serve(servers.echo)
        self.neighbour = Namespace()
        only_static(self.neighbour)
        lab.stack.callback(self.neighbour.close)
        self.vm = lab.vm(f"allow {plan.peer} tcp", f"allow {plan.peer2} tcp", f"allow {plan.hole} tcp",
                         args=["-v", "--link", f"tap,name=eth0,netns={self.neighbour.path},ip={plan.stranger}", *args],
                         config={"limits": limits or {}})
        self.neighbour.sh(f"""
            {plan.ip} addr add {plan.stranger}/{plan.prefix_len} dev eth0 {plan.nodad}
            {plan.ip} route add default via {plan.gateway}""")
        self.vm.guest.sysctl("net.ipv4.ip_local_port_range", OWN_PORTS)
        if silent:  # its kernel says nothing for the forged ports
            self.vm.guest.sh(f"{plan.ip} rule add ipproto tcp sport {FORGED[0]}-{FORGED[-1]} blackhole")
        self.injector = frames.Injector(self.vm)
        lab.stack.callback(self.injector.close)
        self.resting_fds = resting_fds(self.vm, self.echo)
        self.steady = Steady(self.vm, self.echo)
        lab.stack.callback(self.steady.close)
        self.fds, self.rss = self.vm.weir.fds(), self.vm.weir.rss()
        self.answers = []
        self.most_fds = 0

    def segments(self, addr, port, flags, ports, **fields):
        """The same segment from many ports."""
        one = frames.tcp(self.plan.guest, addr, 1, port, flags, **fields)
        return [frames.with_sport(one, sport) for sport in ports]

    def flood(self, packets, between=lambda: None):
        """Send them all. While weir chews on a burst, the steady connection does a round and between() is called."""
        for at in range(0, len(packets), self.injector.BURST):
            self.injector.burst(packets[at:at + self.injector.BURST])
            self.steady.round_trip()
            between()
            self.injector.fence()
            self.most_fds = max(self.most_fds, self.vm.weir.fds())
            self.collect()

    def collect(self):
        """What weir has said to the forged ports so far."""
        self.answers += [p for p in self.injector.answers() if p.dport in FORGED]
        return self.answers

    def ports_with(self, flag):
        return {p.dport for p in self.collect() if p.flags & flag}

    def fresh(self, ns):
        """One more connection, from this namespace, with a byte there and back."""
        with ns.socket(self.plan.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect((self.echo.addr, self.echo.port))
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"

    def grown(self):
        return self.vm.weir.rss() - self.rss

    def returns_to_rest(self):
        wait_until(lambda: self.vm.weir.fds() <= self.fds, 5, "descriptors given back")
        self.steady.round_trip()
        self.fresh(self.vm.guest)


def unread_listener(lab, world, plan):
    """Connections to it succeed, up to its backlog, and nobody ever looks at them."""
    listener = world.ns.socket(plan.family, socket.SOCK_STREAM)
    lab.stack.callback(listener.close)
    listener.bind((plan.peer2, 0))
    listener.listen(4096)
    return listener.getsockname()[1]


class Slammer:
    """A server that closes each connection at once: it is the one that says FIN first."""

    def __init__(self, lab, world, plan):
        self.listener = world.ns.socket(plan.family, socket.SOCK_STREAM)
        self.listener.bind((plan.peer2, 0))
        self.listener.listen(4096)
        self.addr, self.port = self.listener.getsockname()[:2]
        self.accepted = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        lab.stack.callback(self.close)

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            conn.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.listener.close()


# ---- SYN floods ----

def test_t52_b03_syns_that_are_never_acknowledged(lab, plan, world):
    """Handshakes fill the cap of this guest and stay. Its own new connections are refused then, that is what the cap
    says (nobody is evicted); what it had goes on, and its neighbour does not notice."""
    port = unread_listener(lab, world, plan)
    abuse = Abuse(lab, plan, {"half_open": HALF_OPEN, "dials": DIALS})
    syns = abuse.segments(plan.peer2, port, SYN, FORGED, seq=1000)
    abuse.flood(syns, between=lambda: abuse.fresh(abuse.neighbour))
    wait_until(lambda: len({p.dport for p in abuse.collect()}) == len(FORGED), 5, "an answer to each SYN")
    held, refused = abuse.ports_with(SYN), abuse.ports_with(RST)
    assert len(held) == HALF_OPEN  # also when more had been dialled by then
    assert not held & refused
    assert abuse.most_fds <= abuse.fds + HALF_OPEN + DIALS + 2  # and the neighbour's
    assert abuse.grown() < FLOOD_BYTES
    with pytest.raises(ConnectionRefusedError):
        abuse.fresh(abuse.vm.guest)
    abuse.flood(abuse.segments(plan.peer2, port, RST, held, seq=1001))  # given up: there is room again
    abuse.returns_to_rest()
    abuse.vm.weir.stop()
    counter = abuse.vm.weir.counter
    assert counter("limit.halfopen") + counter("limit.dials") == len(refused) + 1


def test_t52_t54_syns_to_a_black_hole(lab, plan):
    """Dials fill the cap of this guest and hang."""
    abuse = Abuse(lab, plan, {"half_open": HALF_OPEN, "dials": DIALS})
    syns = abuse.segments(plan.hole, 80, SYN, FORGED, seq=1000)
    abuse.flood(syns, between=lambda: abuse.fresh(abuse.neighbour))
    refused = abuse.ports_with(RST)
    assert len(refused) == len(FORGED) - DIALS and not abuse.ports_with(SYN)
    assert abuse.most_fds <= abuse.fds + DIALS + 2
    assert abuse.grown() < FLOOD_BYTES
    with pytest.raises(ConnectionRefusedError):
        abuse.fresh(abuse.vm.guest)
    abuse.flood(abuse.segments(plan.hole, 80, RST, set(FORGED) - refused, seq=1001))
    abuse.returns_to_rest()
    abuse.vm.weir.stop()
    assert abuse.vm.weir.counter("limit.dials") == len(refused) + 1


def test_t52_a_fresh_connect_finds_its_way_through_a_flood(lab, plan, world):
    """The guest's kernel resets what it did not ask for, so that the cap is full for moments only: whoever is refused
    in one of them tries again."""
    server = Slammer(lab, world, plan)
    abuse = Abuse(lab, plan, {"half_open": HALF_OPEN, "dials": DIALS}, silent=False)
    tries = []

    def fresh():
        for count in itertools.count(1):
            try:
                abuse.fresh(abuse.vm.guest)
                tries.append(count)
                return
            except ConnectionRefusedError:
                assert count < 1000
    abuse.flood(abuse.segments(plan.peer2, server.port, SYN, FORGED[:20000], seq=1000), between=fresh)
    assert len(tries) >= 10
    assert abuse.grown() < FLOOD_BYTES
    abuse.returns_to_rest()


# ---- segments of no flow ----

STRAYS = [  # flags, payload, whether RFC 9293 section 3.10.7.1 answers it
    (ACK, b"", True), (ACK | PSH, b"x" * 100, True), (FIN | ACK, b"", True), (SYN | ACK, b"", True),
    (FIN, b"", True), (0, b"", True), (FIN | PSH | URG, b"", True), (RST, b"", False), (RST | ACK, b"", False),
    (ACK, b"", True),
]


def test_b20_a_storm_of_segments_that_belong_to_no_flow(lab, plan):
    """100,000 of all kinds: each is counted, answered with one RST or, a RST itself, with nothing."""
    abuse, each = Abuse(lab, plan), 10000
    for number, (flags, data, answered) in enumerate(STRAYS):
        ports = FORGED[number % 5 * each:][:each]
        abuse.answers = []
        abuse.flood(abuse.segments(plan.peer, 1000 + number, flags, ports, seq=7, ack=77, data=data))
        assert len(abuse.collect()) == (each if answered else 0)
        assert all(p.flags & RST and p.sport == 1000 + number for p in abuse.answers)
        assert len(abuse.ports_with(RST)) == len(abuse.answers)
    assert abuse.grown() < FLOOD_BYTES // 4
    assert abuse.most_fds <= abuse.fds + 1
    abuse.returns_to_rest()
    abuse.vm.weir.stop()
    assert abuse.vm.weir.counter("tcp.stray") == each * len(STRAYS)


# ---- blind segments into a live flow ----

def test_b21_t50_blind_segments_do_not_end_a_flow(lab, plan):
    """RSTs, SYNs and old or impossible bytes and acknowledgements, 20,000 of them, into a connection that goes on."""
    abuse = Abuse(lab, plan)
    steady, injector = abuse.steady, abuse.injector
    sport = steady.sock.getsockname()[1]
    randomness = random.Random(1)

    def now():
        """The flow's next sequence numbers: the guest's, and weir's."""
        steady.round_trip()
        injector.fence()
        last = [p for p in injector.answers() if p.dport == sport][-1]
        size = struct.unpack(">H", last.frame[16:18])[0] - 20 - (last.payload[12] >> 4) * 4
        return last.ack, last.seq + size

    def blind(ours, theirs):
        """Nothing here is next in the stream, within the window and acknowledges what was sent."""
        old = ours - randomness.randrange(1, 30000)
        far = ours + randomness.randrange(8 * MIB, 1 << 31)
        bad_ack = theirs + randomness.randrange(1 << 20, 1 << 30)
        return [
            (RST, old, 0, b""), (RST, far, 0, b""), (RST | ACK, far, theirs, b""), (RST, ours + 1, 0, b""),
            (RST, ours + randomness.randrange(2, 30000), 0, b""),
            (SYN, old, 0, b""), (SYN, far, 0, b""), (SYN, ours, 0, b""), (SYN | ACK, ours, theirs, b""),
            (ACK, ours - 100, theirs, b"o" * 100), (ACK, far, theirs, b"f" * 100), (FIN | ACK, far, theirs, b""),
            (ACK, ours, bad_ack, b""), (ACK, ours, theirs - 60000, b""), (ACK, old, theirs, b""), (0, far, 0, b""),
        ]

    ours, theirs = now()
    for _ in range(10):
        packets = [frames.tcp(plan.guest, plan.peer, sport, abuse.echo.port, flags, seq=seq, ack=ack, data=data)
                   for flags, seq, ack, data in itertools.chain(*(blind(ours, theirs) for _ in range(125)))]
        injector.burst(packets)
        ours, theirs = now()
    steady.round_trip()
    # That these packets do reach the flow: the one exact RST ends it.
    ours, theirs = now()
    injector.burst([frames.tcp(plan.guest, plan.peer, sport, abuse.echo.port, RST, seq=ours)])
    abuse.vm.weir.expect(ev="close", close="guest_rst", dst=endpoint(plan.peer, abuse.echo.port))


# ---- windows that are almost closed ----

class Trickle:
    """Scripted flows that download with a window of 0 or 1."""

    def __init__(self, abuse, server, ports):
        self.abuse, self.server, self.ports = abuse, server, ports
        self.theirs, self.got = {}, dict.fromkeys(ports, 0)
        packets = abuse.segments(server.addr, server.port, SYN, ports, seq=1000)
        abuse.injector.burst(packets)
        wait_until(lambda: self.serve() or len(self.theirs) == len(ports), 10, "all handshakes")

    def _ack(self, port):
        self.abuse.injector.burst([frames.tcp(self.abuse.plan.guest, self.server.addr, port, self.server.port, ACK,
                                              seq=1001, ack=self.theirs[port], window=port % 2)])

    def serve(self):
        """Acknowledge what came; never more than one byte is asked for."""
        for packet in self.abuse.injector.answers():
            if packet.dport not in self.got or packet.sport != self.server.port:
                continue
            port = packet.dport
            assert not packet.flags & RST
            if packet.flags & SYN:
                self.theirs[port] = packet.seq + 1
                self._ack(port)
            elif packet.data and packet.seq == self.theirs[port]:
                assert len(packet.data) == 1, "more than the window"
                if port % 2:  # a probe of a closed window is not taken
                    self.theirs[port] += 1
                    self.got[port] += 1
                self._ack(port)


def transfer(lab, vm, down, up, size):
    """One download and one upload at the same time, each byte compared; returns what to wait for."""
    def fetch():
        with vm.connect(down.addr, down.port, timeout=20) as sock:
            return pattern.receive(sock)

    def put():
        with vm.connect(up.addr, up.port, timeout=20) as sock:
            pattern.send(sock, size)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        return up.result(20)
    return [lab.spawn(fetch), lab.spawn(put)]


def test_t60_windows_of_zero_and_one(lab, plan):
    """64 downloads that the guest all but stops, with a pool of 16 MiB: each may hold a little and others are served.
    While the honest flows move 16 MiB, the trickle asks for a byte at a time and gets no more than it asks for."""
    size, flows = 8 * MIB, 64
    endless = lab.serve(lambda conn: pattern.send(conn, 256 * MIB), addr=plan.peer2)
    down, up = lab.serve(lambda conn: pattern.send(conn, size)), lab.serve(pattern.receive)
    abuse = Abuse(lab, plan, {"buffers": "16MiB"})
    trickle = Trickle(abuse, endless, FORGED[:flows])
    moving = transfer(lab, abuse.vm, down, up, size)
    wait_until(lambda: trickle.serve() or all(future.done() for future in moving), 20, "8 MiB each way")
    assert [future.result(0) for future in moving] == [pattern.digest_of(size)] * 2
    wait_until(lambda: trickle.serve() or all(trickle.got[port] > 0 for port in trickle.ports if port % 2), 5,
               "a byte for each open window")
    assert all(trickle.got[port] == 0 for port in trickle.ports if not port % 2)
    assert abuse.grown() < 32 * MIB  # the pool, and the sanitizer's shadow
    abuse.steady.round_trip()


# ---- stalled ends ----

@pytest.mark.parametrize("stalled", ["guest", "server", "both"])
def test_t60_b04_a_stalled_reader_does_not_take_the_pool(lab, plan, stalled):
    """With a pool of 8 MiB: others move 8 MiB each, in both directions, beside 32 ends that read nothing (each way:
    64). Three quarters are gone then; the last one is for those who hold little."""
    size, each = 8 * MIB, 32
    never = threading.Event()
    deaf = lab.serve(lambda conn: never.wait(60), addr=plan.peer2, rcvbuf=16 * 1024)
    lab.stack.callback(never.set)
    endless = lab.serve(lambda conn: pattern.send(conn, 256 * MIB), addr=plan.peer2)
    down, up = lab.serve(lambda conn: pattern.send(conn, size)), lab.serve(pattern.receive)
    abuse = Abuse(lab, plan, {"buffers": "8MiB"})
    socks = []
    if stalled in ("guest", "both"):
        socks += [abuse.vm.connect(endless.addr, endless.port) for _ in range(each)]
    if stalled in ("server", "both"):
        for _ in range(each):
            sock = abuse.vm.connect(deaf.addr, deaf.port)
            sock.setblocking(False)
            socks.append(sock)
            fill(sock)
    moving = [future for _ in range(2) for future in transfer(lab, abuse.vm, down, up, size)]
    assert [future.result(20) for future in moving] == [pattern.digest_of(size)] * 4
    abuse.steady.round_trip()
    assert abuse.grown() < 16 * MIB
    for sock in socks:
        servers.close_with_reset(sock)


def fill(sock):
    """Write until nothing is taken any more for a while."""
    block = b"x" * pattern.BLOCK
    while select.select([], [sock], [], 0.05)[1]:
        sock.send(block)


# ---- fair sharing ----

SILENCE_S = 1.0


def round_trips(sock, going):
    """The seconds that a byte there and back took, time after time while going()."""
    took = []
    while going():
        start = time.monotonic()
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        took.append(time.monotonic() - start)
    return took


def test_b15_an_interactive_flow_beside_64_bulk_flows_each_way(lab, plan, world):
    """It has its turn among the others: no round trip waits until some of them have had enough. Two cores that are
    full make 0.1 s of it (guest, server and weir share them); when a turn ends only with the bytes, it is 4 s."""
    log = f"{lab.fresh_directory()}/iperf3"
    program = servers.Program(world.ns, ["iperf3", "-s", "-B", plan.peer, "-p", "5201", "--forceflush"], log,
                              lambda: "listening" in open(log, encoding="utf-8").read())
    lab.stack.callback(program.close)
    server, vm = lab.serve(servers.echo), lab.vm(f"allow {plan.peer} tcp")
    with vm.connect(server.addr, server.port) as sock:
        bulk = lab.spawn(vm.guest.run, ["iperf3", "-c", plan.peer, "-p", "5201", "-t", "2", "-P", "64", "--bidir",
                                        "--json"])
        wait_until(lambda: vm.weir.fds() > 128, 5, "bulk flows")
        took = sorted(round_trips(sock, lambda: not bulk.done()))
    end = json.loads(bulk.result(0).stdout)["end"]
    up, down = end["sum_received"]["bytes"], end["sum_received_bidir_reverse"]["bytes"]
    print(f"{len(took)} round trips: {took[len(took) // 2]:.3f} s, p99 {took[len(took) * 99 // 100]:.3f}, "
          f"{took[-1]:.3f} at most; {up // MIB} MiB up, {down // MIB} down")
    assert min(up, down) > 16 * MIB  # the others were served as well
    assert took[-1] < SILENCE_S


# ---- H13 ----

STARVED_S = 10.0  # 1 to 2 s as it should be; 25 s when a SYN does not replace a flow in TIME_WAIT


def test_h13_time_wait_never_starves(lab, plan, world):
    """3,000 connections that the server ends, as fast as they go, out of 500 ports and with a cap of 256 flows.
    TIME_WAIT is on weir's side of each; it keeps no port from its next use and counts against no cap."""
    count, server = 3000, Slammer(lab, world, plan)
    vm = lab.vm(f"allow {plan.peer} tcp", f"allow {plan.peer2} tcp", config={"limits": {"flows": 256}})
    vm.guest.sysctl("net.ipv4.ip_local_port_range", "40000 40499")
    before = resting_fds(vm, lab.serve(servers.echo))
    took = []
    for _ in range(count):
        start = time.monotonic()
        with vm.connect(server.addr, server.port) as sock:
            assert sock.recv(1) == b""
        took.append(time.monotonic() - start)
    print(f"{count / sum(took):.0f} a second, {max(took):.3f} s at most")
    assert sum(took) < STARVED_S, "ports in TIME_WAIT are waited for"
    assert server.accepted == count
    wait_until(lambda: vm.weir.fds() <= before, 5, "descriptors given back")
    vm.weir.expect(ev="close", dst=endpoint(server.addr, server.port), close="peer_fin", count=count)
