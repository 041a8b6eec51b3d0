"""Caps, bounds, latencies under load, and the end of the process."""
import errno
import select
import signal
import socket
import statistics
import threading
import time

import pytest

import dnsq
import frames
import pattern
import servers
from plan import endpoint
from waiting import undisturbed, wait_until

MIB = pattern.MIB
UPLOAD_PORT = 7100


def start_connect(vm, addr, port):
    """A socket whose connect() is in flight."""
    sock = vm.socket()
    sock.setblocking(False)
    assert sock.connect_ex((addr, port)) == errno.EINPROGRESS
    return sock


def outcome(sock, timeout=5):
    """How a started connect ended: 0 or an errno; None while it has not."""
    _, writable, _ = select.select([], [sock], [], timeout)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if writable else None


def echoes(vm, server):
    """The seconds a new connection and one byte there and back take."""
    start = time.monotonic()
    with vm.connect(server.addr, server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    return time.monotonic() - start


def resting_fds(vm, server):
    """weir's descriptors without a flow, after the first one: the event loop keeps a spare from then on."""
    start = vm.weir.fds()
    echoes(vm, server)
    wait_until(lambda: vm.weir.fds() <= start + 1, what="the end of the first flow")
    return vm.weir.fds()


# ---- B3 ----

def test_b03_t54_dials_beyond_the_cap_get_rst_and_the_others_complete(lab, plan, world):
    """The listener's backlog is full, so that dials to it wait; then it accepts."""
    listener = world.ns.socket(plan.family, socket.SOCK_STREAM)
    listener.bind((plan.peer2, 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    filler = world.ns.socket(plan.family, socket.SOCK_STREAM)
    filler.connect((plan.peer2, port))  # a backlog of 0 holds one
    vm = lab.vm(f"allow {plan.peer2} tcp/{port}", config={"limits": {"dials": 8}})
    socks = [start_connect(vm, plan.peer2, port) for _ in range(8)]
    late = start_connect(vm, plan.peer2, port)
    assert outcome(late) == errno.ECONNREFUSED
    assert all(outcome(sock, 0) is None for sock in socks)
    vm.weir.expect(ev="deny", reason="limit.dials", dst=endpoint(plan.peer2, port))
    listener.listen(64)  # room for all: their SYNs are sent again
    assert [outcome(sock) for sock in socks] == [0] * 8
    for sock in (*socks, late, filler, listener):
        sock.close()


def test_b03_t52_handshakes_beyond_the_cap_get_rst_and_the_others_complete(lab, plan):
    """Every name pinned to the address needs evidence, so that the guest is accepted before any dial."""
    server = lab.serve(servers.swallow, addr=plan.shared_trap, port=443)
    vm = lab.vm("allow good.shared.example tcp/443", "allow evil.shared.example tcp/80", link="wire",
                config={"limits": {"half_open": 4}})
    wire = frames.Wire(plan, vm.path).find_gateway()
    for name in ("good.shared.example", "evil.shared.example"):
        wire.udp(plan.gateway, 3000, 53, dnsq.query_bytes(name, plan.record))
        wire.receive_where(lambda p: p.proto == frames.UDP and p.dport == 3000)
    for port in range(4000, 4005):
        wire.tcp(plan.shared_trap, port, 443, frames.SYN, seq=1000)
    answers = {}
    while len(answers) < 5:
        packet = wire.receive_where(lambda p: p.proto == frames.TCP)
        answers.setdefault(packet.dport, packet)
    assert [answers[port].flags & frames.SYN for port in range(4000, 4004)] == [frames.SYN] * 4
    assert answers[4004].flags & frames.RST
    vm.weir.expect(ev="deny", reason="limit.halfopen")
    # One handshake ends: there is room for one more, and the first is a connection like any other.
    wire.tcp(plan.shared_trap, 4000, 443, frames.ACK, seq=1001, ack=answers[4000].seq + 1)
    wire.tcp(plan.shared_trap, 4005, 443, frames.SYN, seq=1000)
    assert wire.tcp_reply(4005).flags & frames.SYN
    assert server.accepted == 0
    wire.close()


# ---- B16 ----

def test_b16_t53_flows_beyond_the_limit_get_rst(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}", config={"limits": {"flows": 16}})
    socks = [vm.connect(plan.peer, server.port) for _ in range(16)]
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.peer, server.port)
    vm.weir.expect(ev="deny", reason="limit.flows", dst=endpoint(plan.peer, server.port))
    for sock in socks:  # nobody was evicted
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    servers.close_with_reset(socks.pop())
    vm.weir.expect(ev="close", close="guest_rst")
    socks.append(vm.connect(plan.peer, server.port))
    for sock in socks:
        sock.close()


def test_b16_running_out_of_descriptors_stops_nothing(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}", prlimit="--nofile=64:64")
    before, socks, refused = resting_fds(vm, server), [], 0
    for _ in range(80):
        try:
            socks.append(vm.connect(plan.peer, server.port))
        except ConnectionRefusedError:
            refused += 1
    assert refused >= 16 and len(socks) >= 16
    vm.weir.expect(reason="limit.dials", count=refused)
    for sock in socks:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        servers.close_with_reset(sock)
    wait_until(lambda: vm.weir.fds() == before, what="descriptors given back")
    echoes(vm, server)


# ---- H1, H5, H6: nothing waits for what does not concern it ----

def longest_silences(lab, ns, rounds=5):
    """Stall an upload from a namespace and read on, several times: the longest silence of each reading."""
    paused, resume = threading.Semaphore(0), threading.Semaphore(0)

    def script(conn):
        longest = []
        for _ in range(rounds):
            paused.release()
            resume.acquire(timeout=30)
            last, worst, got = time.monotonic(), 0.0, 0
            while got < 24 * MIB:  # more than all the buffers between the two ends hold
                n = len(conn.recv(256 * 1024))
                assert n > 0
                now = time.monotonic()
                worst, last, got = max(worst, now - last), now, got + n
            longest.append(worst)
        return longest

    server = lab.serve(script, rcvbuf=128 * 1024, port=UPLOAD_PORT)
    with open("/dev/zero", "rb") as zero:
        sender = ns.popen(["socat", "-u", "-b262144", "STDIN", f"TCP:{endpoint(server.addr, server.port)}"], stdin=zero)
    try:
        for _ in range(rounds):
            paused.acquire(timeout=30)
            wait_for_stall(sender.pid)
            resume.release()
        longest = server.result(60)
    finally:
        sender.kill()
        sender.wait()
        server.close()
    assert isinstance(longest, list), longest
    return longest


def test_h01_a_stalled_upload_resumes_at_once(lab, plan, world):
    """As without weir, and 5 ms at most: no timer, no tick. This machine's own noise is measured first."""
    vm = lab.vm(f"allow {plan.peer} tcp/{UPLOAD_PORT}")
    with undisturbed(vm.weir.process.pid):
        noise = longest_silences(lab, world.ns)
        silences = longest_silences(lab, vm.guest)
    print(f"longest silences without weir {noise}, with weir {silences}")
    assert statistics.median(silences) < statistics.median(noise) + 0.005
    assert max(silences) < max(noise) + 0.150, "once, something waited for a timer"


def wait_for_stall(pid):
    """Until the process has been reading nothing for a while."""
    seen = []

    def stalled():
        with open(f"/proc/{pid}/io", encoding="ascii") as file:
            got, now = int(file.readline().split()[1]), time.monotonic()
        if not seen or seen[0][0] != got:
            seen[:] = [(got, now)]
        return got > 0 and now - seen[0][1] > 0.3
    wait_until(stalled, 20, "a stalled sender")


GREETING = b"220 mail.lab.example ESMTP\r\n"


@pytest.mark.parametrize("rules", [
    ["allow peer.lab.example tcp/{port}"],              # decided by the pin
    ["deny evil.example tcp", "allow any tcp/{port}"],  # a deny rule by name watches what is said
    ["allow peer.lab.example tcp/{port}", "deny evil.example tcp"],
], ids=["name", "deny-name", "both"])
def test_h05_a_server_may_speak_first(lab, plan, rules):
    sent = []

    def script(conn):
        sent.append(time.monotonic())
        conn.sendall(GREETING)
        return servers.swallow(conn)

    server = lab.serve(script)
    vm = lab.vm(*(rule.format(port=server.port) for rule in rules))
    vm.resolve("peer.lab.example")
    with undisturbed(vm.weir.process.pid), vm.connect(plan.peer, server.port) as sock:
        assert sock.recv(100) == GREETING
        assert time.monotonic() - sent[0] < 0.050
        sock.sendall(b"HELO guest\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert server.result() == b"HELO guest\r\n"


def test_h06_dials_that_hang_do_not_slow_others(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp", f"allow {plan.hole} tcp")
    with undisturbed(vm.weir.process.pid):
        alone = statistics.median(echoes(vm, server) for _ in range(41))
        hanging = [start_connect(vm, plan.hole, 80) for _ in range(200)]
        beside = statistics.median(echoes(vm, server) for _ in range(41))
    assert all(outcome(sock, 0) is None for sock in hanging)
    for sock in hanging:
        sock.close()
    assert beside <= max(2 * alone, 0.001)


# ---- F10 ----

def test_f10_shutdown_with_live_flows(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}")
    socks = [vm.connect(plan.peer, server.port) for _ in range(100)]
    for sock in socks:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    start = time.monotonic()
    vm.weir.process.send_signal(signal.SIGTERM)
    assert vm.weir.process.wait(5) == 0
    assert time.monotonic() - start < 1.0
    for _ in socks:
        assert isinstance(server.result(), ConnectionResetError)
    assert len(vm.weir.records(ev="close", close="shutdown", up=1, down=1)) == 100
    for sock in socks:
        sock.close()
