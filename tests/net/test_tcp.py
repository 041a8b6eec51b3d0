"""TCP bridging: bytes, ends, refusals."""
import errno
import os
import socket
import statistics
import threading
import time

import pytest

import pattern
import servers
from plan import endpoint
from waiting import undisturbed, wait_until

LINKS = ["tap", "stream"]
MIB = pattern.MIB
BIG = int(os.environ.get("WEIR_NET_MIB", "64")) * MIB


def close_record(vm, server, **fields):
    return vm.weir.expect(ev="close", proto="tcp", dst=endpoint(server.addr, server.port), **fields)


def allowed(lab, script, link="tap", config=None, **kwargs):
    """A server with this script and a guest that may reach it."""
    server = lab.serve(script, **kwargs)
    return server, lab.vm(f"allow {server.addr} tcp/{server.port}", link=link, config=config)


# ---- B1 ----

@pytest.mark.parametrize("link", LINKS)
def test_b01_up(lab, link):
    server, vm = allowed(lab, pattern.receive, link)
    with vm.connect(server.addr, server.port) as sock:
        pattern.send(sock, BIG)
        sock.shutdown(socket.SHUT_WR)
        assert server.result(120) == pattern.digest_of(BIG)
        assert sock.recv(1) == b""
    close_record(vm, server, up=BIG, down=0)


@pytest.mark.parametrize("link", LINKS)
def test_b01_down(lab, link):
    server, vm = allowed(lab, lambda conn: pattern.send(conn, BIG), link)
    with vm.connect(server.addr, server.port) as sock:
        assert pattern.receive(sock) == pattern.digest_of(BIG)
    close_record(vm, server, up=0, down=BIG)


def test_b01_real_programs(lab, plan, world):
    """nginx serves a file to curl, byte for byte."""
    path = f"{world.directory}/www/files/big"
    with open(path, "wb") as file:
        file.writelines(pattern.blocks(16 * MIB))
    vm = lab.vm("allow web.lab.example tcp/443")
    vm.resolve("web.lab.example")
    done = vm.guest.run(["sh", "-c", f"curl -sS --cacert {world.ca} --resolve web.lab.example:443:{plan.web} "
                         "https://web.lab.example/files/big | sha256sum"])
    assert done.stdout.split()[0] == pattern.digest_of(16 * MIB)[1], done.stderr


def test_b01_iperf3(lab, plan, world):
    log = f"{lab.fresh_directory()}/iperf3"
    program = servers.Program(world.ns, ["iperf3", "-s", "-B", plan.peer, "-p", "5201", "--forceflush"], log,
                              lambda: "listening" in open(log, encoding="utf-8").read())
    try:
        vm = lab.vm(f"allow {plan.peer} tcp/5201")
        for direction in ([], ["-R"], ["--bidir"]):
            done = vm.guest.run(["iperf3", "-c", plan.peer, "-n", "16M", "-P", "2", *direction], timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        program.close()


# ---- B2: nothing is accepted before the dial ----

def test_b02_closed_port_is_refused_at_once(lab, plan):
    vm = lab.vm(f"allow {plan.peer} tcp")
    took = []
    for port in range(2001, 2012):
        with undisturbed(vm.weir.process.pid):
            start = time.monotonic()
            with pytest.raises(ConnectionRefusedError):  # a SYN-ACK first would make connect() succeed
                vm.connect(plan.peer, port)
            took.append(time.monotonic() - start)
        vm.weir.expect(reason="dial.refused", dst=endpoint(plan.peer, port))
    assert max(took) < 0.100


@pytest.mark.parametrize("where", ["unreachable", "prohibited"])
def test_b02_unreachable_is_told_as_unreachable(lab, plan, where):
    target = getattr(plan, where)
    vm = lab.vm(f"allow {target} tcp")
    start = time.monotonic()
    with pytest.raises(OSError) as caught:
        vm.connect(target, 80)
    assert caught.value.errno == (plan.denied_errno if where == "prohibited" else errno.EHOSTUNREACH)
    assert time.monotonic() - start < 0.5
    vm.weir.expect(reason="dial.unreachable", dst=endpoint(target, 80))


def test_b02_black_hole_ends_with_the_dial_timeout(lab, plan):
    vm = lab.vm(f"allow {plan.hole} tcp", config={"limits": {"dial_timeout": "1s"}})
    start = time.monotonic()
    with pytest.raises(OSError) as caught:
        vm.connect(plan.hole, 80)
    took = time.monotonic() - start
    assert caught.value.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ECONNREFUSED)
    assert 0.9 < took < 2.0
    vm.weir.expect(reason="dial.timeout", dst=endpoint(plan.hole, 80))


# ---- B4: a slow reader ----

def test_b04_a_reader_that_pauses_loses_nothing_and_costs_little(lab):
    size, pause = 32 * MIB, threading.Event()

    def script(conn):
        first = conn.recv(1)
        pause.wait(lab.plan.pause_s)
        count, digest = pattern.receive(PrefixedSocket(first, conn))
        return count, digest

    server, vm = allowed(lab, script, rcvbuf=256 * 1024)
    before = vm.weir.rss()
    with vm.connect(server.addr, server.port) as sock:
        sock.settimeout(60)
        sender = lab.spawn(pattern.send, sock, size)
        most = 0

        def paused():
            nonlocal most
            most = max(most, vm.weir.rss())
            return sender.done() or server.results.qsize() > 0
        wait_until(paused, 60, "the upload")
        sender.result(60)
        sock.shutdown(socket.SHUT_WR)
        assert server.result(60) == pattern.digest_of(size)
    # What one flow may hold is limits.flow_buffer, 4 MiB; as much again for what the frames around it weigh, and
    # the sanitizer's shadow of both.
    assert most - before < 12 * MIB


class PrefixedSocket:
    """A socket whose first bytes were read already."""

    def __init__(self, prefix, sock):
        self.prefix, self.sock = prefix, sock

    def recv(self, size):
        if self.prefix:
            data, self.prefix = self.prefix, b""
            return data
        return self.sock.recv(size)


# ---- B9, H3: half close ----

@pytest.mark.parametrize("link", LINKS)
def test_b09_the_guest_says_fin_and_then_gets_10_mib(lab, link):
    def script(conn):
        request = servers.swallow(conn)  # returns at the guest's FIN
        pattern.send(conn, 10 * MIB)
        return request

    server, vm = allowed(lab, script, link)
    with vm.connect(server.addr, server.port) as sock:
        sock.sendall(b"all I have to say")
        sock.shutdown(socket.SHUT_WR)
        assert pattern.receive(sock) == pattern.digest_of(10 * MIB)
    assert server.result() == b"all I have to say"
    close_record(vm, server, close="guest_fin", up=17, down=10 * MIB)


@pytest.mark.parametrize("link", LINKS)
def test_b09_h03_the_server_says_fin_and_then_gets_10_mib(lab, link):
    def script(conn):
        conn.sendall(b"all I have to say")
        conn.shutdown(socket.SHUT_WR)
        return pattern.receive(conn)

    server, vm = allowed(lab, script, link)
    with vm.connect(server.addr, server.port) as sock:
        assert pattern.receive(sock)[0] == 17  # returns at the server's FIN
        pattern.send(sock, 10 * MIB)
        sock.shutdown(socket.SHUT_WR)
        assert server.result(60) == pattern.digest_of(10 * MIB)
    close_record(vm, server, close="peer_fin", up=10 * MIB, down=17)


def test_h02_both_directions_at_once(lab):
    size = 16 * MIB

    def both(sock):
        writer = lab.spawn(pattern.send, sock, size)
        got = pattern.receive(sock, size)
        writer.result(60)
        return got

    server, vm = allowed(lab, both)
    with vm.connect(server.addr, server.port) as sock:
        sock.settimeout(60)
        assert both(sock) == pattern.digest_of(size)
    assert server.result(60) == pattern.digest_of(size)


# ---- B10: death is not an end ----

@pytest.mark.parametrize("count", [0, 1, 1000, MIB])
@pytest.mark.parametrize("link", LINKS)
def test_b10_a_server_that_resets_is_never_a_fin(lab, link, count):
    def script(conn):
        pattern.send(conn, count)
        conn.recv(1)  # until the guest has everything
        servers.close_with_reset(conn)

    server, vm = allowed(lab, script, link)
    with vm.connect(server.addr, server.port) as sock:
        assert pattern.receive(sock, count) == pattern.digest_of(count)
        sock.sendall(b"!")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    close_record(vm, server, close="peer_rst", down=count)


def test_b10_a_reset_right_behind_the_bytes(lab):
    """Last bytes and RST may reach weir in one turn of its loop; even so the guest sees no FIN. Hence the tries."""
    def script(conn):
        conn.recv(1)
        pattern.send(conn, MIB)
        servers.close_with_reset(conn)

    tries = 8
    server, vm = allowed(lab, script)
    for _ in range(tries):
        with vm.connect(server.addr, server.port) as sock:
            got = 0
            sock.sendall(b"!")
            with pytest.raises(ConnectionResetError):
                while chunk := sock.recv(65536):
                    got += len(chunk)
            assert got <= MIB
    close_record(vm, server, close="peer_rst", count=tries)


def test_b10_a_guest_that_resets_resets_the_server(lab):
    server, vm = allowed(lab, servers.swallow)
    sock = vm.connect(server.addr, server.port)
    sock.sendall(b"x")
    wait_until(lambda: server.accepted == 1)
    servers.close_with_reset(sock)
    assert isinstance(server.result(), ConnectionResetError)
    close_record(vm, server, close="guest_rst")


def test_h04_the_last_byte_comes_before_the_end(lab):
    """The server sends 4 MiB, closes and is gone; a guest that reads late still gets every byte."""
    server, vm = allowed(lab, lambda conn: pattern.send(conn, 4 * MIB))
    with vm.connect(server.addr, server.port) as sock:
        threading.Event().wait(lab.plan.pause_s)  # the scenario: a guest that does not read
        assert pattern.receive(sock) == pattern.digest_of(4 * MIB)
    close_record(vm, server, down=4 * MIB)


def test_b05_a_guest_that_does_not_read_stops_the_server(lab):
    server, vm = allowed(lab, lambda conn: pattern.send(conn, 256 * MIB))
    with vm.connect(server.addr, server.port) as sock:
        assert sock.recv(1)
        wait_until(lambda: switches(vm, 0.5) < 10, 20, "the pipe to fill up")
        before = vm.weir.rss()
        threading.Event().wait(lab.plan.pause_s)
        assert vm.weir.rss() - before < MIB
        assert server.results.empty()
        servers.close_with_reset(sock)
    assert isinstance(server.result(), ConnectionError)


# ---- B14, B15, B17: many, parallel, quick ----

def test_b14_sequential_connections_leave_nothing_behind(lab):
    server, vm = allowed(lab, servers.echo)
    fds, took = vm.weir.fds() + 1, []  # one spare descriptor belongs to the event loop from the first flow on
    for _ in range(500):
        start = time.monotonic()
        with vm.connect(server.addr, server.port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        took.append(time.monotonic() - start)
    assert statistics.median(took[-50:]) <= 3 * statistics.median(took[:50])
    wait_until(lambda: vm.weir.fds() <= fds, 5, "descriptors given back")
    close_record(vm, server, count=500, close="guest_fin", up=1, down=1)


@pytest.mark.parametrize("link", LINKS)
def test_b15_parallel_flows_share(lab, link):
    flows, size = 64, 4 * MIB
    server, vm = allowed(lab, lambda conn: pattern.send(conn, size), link)
    start_together = threading.Barrier(flows)

    def fetch():
        start_together.wait(30)
        start = time.monotonic()
        with vm.connect(server.addr, server.port, timeout=60) as sock:
            return pattern.receive(sock), time.monotonic() - start

    results = [future.result(120) for future in [lab.spawn(fetch) for _ in range(flows)]]
    assert all(got == pattern.digest_of(size) for got, _ in results)
    took = sorted(seconds for _, seconds in results)
    assert took[-1] <= 4 * statistics.median(took)


def test_b17_an_idle_loop_wakes_up_fast(lab):
    server, vm = allowed(lab, servers.echo)
    took = []
    with undisturbed(vm.weir.process.pid):
        for _ in range(101):
            start = time.monotonic()
            with vm.connect(server.addr, server.port) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                took.append(time.monotonic() - start)
    assert statistics.median(took) < 0.002


def test_b17_an_idle_weir_does_not_wake_up(lab):
    """No poll tick: in a second without traffic not one voluntary context switch."""
    server, vm = allowed(lab, servers.echo)
    with vm.connect(server.addr, server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        # Neighbour discovery and delayed ACKs end first.
        wait_until(lambda: switches(vm, 1.0) == 0, 20, "a quiet second")


def switches(vm, seconds):
    def count():
        with open(f"/proc/{vm.weir.process.pid}/status", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if "voluntary_ctxt_switches" in line)
    before = count()
    threading.Event().wait(seconds)  # what is measured
    return count() - before


def test_b10_an_early_answer_reaches_the_guest_before_the_reset(lab):
    """A server that answers and closes with unread bytes resets (413, 401): the answer comes first, as it does without weir."""
    answer = b"HTTP/1.1 413 too much\r\n\r\n"

    def script(conn):
        conn.recv(1)
        conn.sendall(answer)
        conn.close()  # with bytes unread: RST

    tries, got = 8, []
    server, vm = allowed(lab, script)
    for _ in range(tries):
        with vm.connect(server.addr, server.port) as sock:
            try:
                sock.sendall(b"x" * 100000)
            except (ConnectionResetError, BrokenPipeError):
                pass
            data = b""
            try:
                while chunk := sock.recv(4096):
                    data += chunk
            except ConnectionResetError:
                pass
            got.append(data)
    assert got.count(answer) == tries, f"{tries - got.count(answer)} answers lost"
