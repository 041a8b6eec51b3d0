"""The flow log under a flood of denials: whoever reads it may stop, and traffic does not notice."""
import fcntl
import json
import os
import time

import frames
import pattern
import servers
from frames import SYN
from plan import endpoint
from test_abuse import FLOOD_BYTES, FORGED, OWN_PORTS, no_quarantine, transfer  # noqa: F401 (a fixture, for every test)
from waiting import wait_until

BULK_BYTES = 16 * pattern.MIB
SLOWER = 4.0            # what nobody reads costs about as much as what is read ...
BUSY_S = 2.0            # ... as far as that can be told from other programs' having the cores; what waits for the reader never ends
PIPE_BYTES = 4096
BUFFER_BYTES = 256 * 1024 + PIPE_BYTES
RECORD_BYTES_MIN = 250  # of a flow that ends


class Fifo:
    """A log whose reader stands still until it is told to read."""

    def __init__(self, lab):
        self.path = f"{lab.fresh_directory()}/log"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO needs its reader first
        lab.stack.callback(os.close, self.fd)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.data = b""

    def read(self):
        """What is there now. Return: whether that was the end."""
        try:
            while chunk := os.read(self.fd, 1 << 20):
                self.data += chunk
            return True
        except BlockingIOError:
            return False

    def records(self):
        """Every line is whole."""
        lines = self.data.split(b"\n")
        return [json.loads(line) for line in lines[:-1]]


class Flood:
    """A guest that is denied, over and over, beside what it may do."""

    def __init__(self, lab, plan, **kwargs):
        self.plan = plan
        self.down, self.up = lab.serve(lambda conn: pattern.send(conn, BULK_BYTES)), lab.serve(pattern.receive)
        self.echo = lab.serve(servers.echo)
        self.vm = lab.vm(f"allow {plan.peer} tcp", args=["-v"], **kwargs)
        self.vm.guest.sysctl("net.ipv4.ip_local_port_range", OWN_PORTS)
        self.vm.guest.sh(f"{plan.ip} rule add ipproto tcp sport {FORGED[0]}-{FORGED[-1]} blackhole")
        self.injector = frames.Injector(self.vm)
        lab.stack.callback(self.injector.close)
        self.sent = 0

    def different(self, count):
        """SYNs and datagrams to ever new places, so that no two are one denial."""
        for n in range(count):
            addr, port = self.plan.numbered % (60 + self.sent // 60000), 1000 + self.sent % 60000
            self.sent += 1
            if n % 4 < 2:
                yield frames.tcp(self.plan.guest, addr, FORGED[n % 1000], port, SYN, seq=1)
            else:
                yield frames.udp(self.plan.guest, addr, FORGED[n % 1000], port, b"x")

    def connect(self):
        """A flow and its end. Return: how its record says where it was from."""
        with self.vm.connect(self.echo.addr, self.echo.port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            return endpoint(*sock.getsockname()[:2])

    def send(self, packets):
        for at in range(0, len(packets), self.injector.BURST):
            self.injector.burst(packets[at:at + self.injector.BURST])
            self.injector.fence()


def beside(lab, flood):
    """A bulk flow each way while the guest is denied as fast as it can ask. Return: the seconds that took."""
    start, before = time.monotonic(), flood.sent
    moving = transfer(lab, flood.vm, flood.down, flood.up, BULK_BYTES)
    while not all(future.done() for future in moving):
        flood.send(list(flood.different(flood.injector.BURST)))
    took = time.monotonic() - start
    assert [future.result(0) for future in moving] == [pattern.digest_of(BULK_BYTES)] * 2
    print(f"{BULK_BYTES // pattern.MIB} MiB each way in {took:.2f} s, beside {(flood.sent - before) / took:.0f} denials a second")
    return took


def test_t158_c24_a_reader_that_stops_is_no_brake(lab, plan):
    """The same flood twice, with a log that is a file and one that nobody reads: the second is no slower, and every
    record that could not be kept is counted in one that could."""
    read = beside(lab, Flood(lab, plan))
    fifo = Fifo(lab)
    flood = Flood(lab, plan, log=fifo.path)
    rss = flood.vm.weir.rss()
    for _ in range(BUFFER_BYTES // RECORD_BYTES_MIN):  # each end of a flow is a record
        flood.connect()
    unread = beside(lab, flood)
    assert unread < SLOWER * max(read, BUSY_S)
    assert flood.vm.weir.rss() - rss < FLOOD_BYTES
    assert not fifo.data

    def arrives(record_is):
        fifo.read()
        return any(map(record_is, fifo.records()))

    wait_until(lambda: flood.connect() and arrives(lambda record: "lost" in record), what="a record with a count")
    last = flood.connect()
    wait_until(lambda: arrives(lambda record: record["src"] == last), what="the last record")
    flood.vm.weir.stop()
    assert fifo.read()
    kept, lost = fifo.records(), sum(record.get("lost", 0) for record in fifo.records())
    counter = flood.vm.weir.counter
    assert lost == counter("log.lost") > flood.sent // 2
    assert len(kept) + lost == counter("flows.opened") + counter("flows.denied")
    assert counter("flows.denied") == flood.sent


def test_t158_c15_a_storm_of_one_denial_is_two_records(lab, plan):
    flood = Flood(lab, plan)
    syn = frames.tcp(plan.guest, plan.peer2, 1, 7000, SYN, seq=1)
    flood.send([frames.with_sport(syn, port) for port in FORGED])
    flood.vm.weir.stop()
    first, repeats = flood.vm.weir.records(ev="deny")
    assert first["dst"] == repeats["dst"] == endpoint(plan.peer2, 7000)
    assert repeats["repeat"] == len(FORGED) - 1
    assert flood.vm.weir.counter("log.lost") == 0
