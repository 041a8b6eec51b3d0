"""UDP flows: echo, mapping, expiry, bounds, fragments."""
import random
import socket
import struct

import pytest

import frames
import pattern
import servers
from plan import endpoint
from waiting import wait_until


def test_f01_echo_idle_expiry_and_after_it(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "1s"}})
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"one")
        assert sock.recv(10) == b"one"
        vm.weir.expect(ev="close", proto="udp", close="idle", up=3, down=3, dst=endpoint(plan.peer, server.port))
        sock.send(b"again")
        assert sock.recv(10) == b"again"
        vm.weir.expect(ev="close", proto="udp", close="idle", up=5, down=5)


def test_f01_a_thousand_flows(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "2s"}})
    before = vm.weir.fds()
    socks = [vm.udp(plan.peer, server.port) for _ in range(1000)]
    for sock in socks:
        sock.send(b"x")
        assert sock.recv(10) == b"x"
    assert vm.weir.fds() <= before + 1000
    for sock in socks:
        sock.close()
    wait_until(lambda: vm.weir.fds() == before, 10, "expiry of all")
    assert len({peer for peer, _ in server.seen}) == 1000


def test_f01_flows_are_bounded(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"flows": 200}})
    before, answered, refused = vm.weir.fds(), 0, 0
    socks = [vm.udp(plan.peer, server.port) for _ in range(300)]
    for sock in socks:
        sock.send(b"x")
        try:
            answered += sock.recv(10) == b"x"
        except OSError as error:
            assert error.errno == plan.denied_errno
            refused += 1
    assert (answered, refused) == (200, 100)
    assert vm.weir.fds() <= before + 200
    for sock in socks:
        sock.close()
    vm.weir.expect(ev="deny", proto="udp", reason="limit.flows", repeat=None)


def received(sock):
    data, peer = sock.recvfrom(65536)
    return data, *peer[:2]


def test_f02_t93_one_host_port_for_two_servers(lab, plan):
    one, two = lab.serve_udp(), lab.serve_udp(plan.peer2)
    stranger = lab.world.ns.socket(plan.family, socket.SOCK_DGRAM)
    stranger.bind((plan.peer2, 0))
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.peer2} udp")
    with vm.socket(socket.SOCK_DGRAM) as sock:
        sock.sendto(b"a", (plan.peer, one.port))
        assert received(sock) == (b"a", plan.peer, one.port)
        mapped = one.seen[0][0]
        # Judged and allowed, but the guest never wrote there: these must not pass.
        stranger.sendto(b"uninvited", mapped)
        two.sock.sendto(b"uninvited", mapped)
        sock.sendto(b"b", (plan.peer2, two.port))
        assert received(sock) == (b"b", plan.peer2, two.port)
        assert two.seen[0][0] == mapped
        two.sock.sendto(b"invited", mapped)
        assert received(sock) == (b"invited", plan.peer2, two.port)
    stranger.close()


# ---- F2, H15: sockets of busy flows ----

BUSY = 20  # exchanges, more than it takes to be one


def exchange(sock, server, first=0):
    for n in range(first, first + BUSY):
        sock.sendto(b"%d" % n, (server.addr, server.port))
        assert received(sock) == (b"%d" % n, server.addr, server.port)


def test_f02_t93_busy_flows_of_one_port_keep_it(lab, plan):
    """Each has a host socket of its own, on the local port that all share; none lets a stranger in."""
    one, two, three = lab.serve_udp(), lab.serve_udp(plan.peer2), lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.peer2} udp", config={"limits": {"udp_idle": "2s"}})
    before = vm.weir.fds()
    with vm.socket(socket.SOCK_DGRAM) as sock:
        exchange(sock, one)
        assert vm.weir.fds() == before + 2
        mapped = one.seen[0][0]
        two.sock.sendto(b"uninvited", mapped)
        three.sock.sendto(b"uninvited", mapped)
        exchange(sock, one, BUSY)
        exchange(sock, two)
        three.sock.sendto(b"uninvited", mapped)
        exchange(sock, one, 2 * BUSY)
        sock.sendto(b"a question", (three.addr, three.port))
        assert received(sock) == (b"a question", three.addr, three.port)
        assert vm.weir.fds() == before + 3
        assert {peer for server in (one, two, three) for peer, _ in server.seen} == {mapped}
        for server in (three, one, two):
            server.sock.sendto(b"by the way", mapped)
            assert received(sock) == (b"by the way", server.addr, server.port)
        vm.weir.expect(ev="close", close="idle", count=3)
    wait_until(lambda: vm.weir.fds() == before, 10, "their sockets closed")
    vm.weir.stop()
    assert vm.weir.counter("udp.not_contacted") == 3


def test_h15_a_busy_flow_is_told_that_its_server_is_gone(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp")
    with vm.udp(plan.peer, server.port) as sock:
        for _ in range(BUSY):
            sock.send(b"x")
            assert sock.recv(1) == b"x"
        server.close()
        with pytest.raises(ConnectionRefusedError):
            sock.send(b"anyone?")
            sock.recv(1)
        lab.serve_udp(port=server.port)
        for _ in range(2):
            sock.send(b"y")
            assert sock.recv(1) == b"y"


def test_h15_a_busy_flow_outlives_the_address_it_left_from(lab, plan, world):
    """The host moves to another network: what the guest sends arrives, from where the host is now."""
    server, address = lab.serve_udp(plan.numbered % 99), f"{plan.late_interface}/{32 if plan.header == 20 else 128}"
    world.ns.sh(f"""
        {plan.ip} address add {address} dev lo {plan.nodad}
        {plan.ip} route add local {server.addr} dev lo table local src {plan.late_interface}""")
    vm = lab.vm(f"allow {server.addr} udp")
    with vm.udp(server.addr, server.port) as sock:
        for _ in range(BUSY):
            sock.send(b"x")
            assert sock.recv(1) == b"x"
        assert {peer[0] for peer, _ in server.seen} == {plan.late_interface}
        world.ns.sh(f"""
            {plan.ip} route del local {server.addr} dev lo table local
            {plan.ip} address del {address} dev lo""")

        def heard():
            sock.send(b"y")
            try:
                return sock.recv(1) == b"y"
            except TimeoutError:
                return False

        sock.settimeout(0.2)
        wait_until(heard, 5, "an answer")
        assert server.seen[-1][0][0] == plan.source


def test_h15_a_flow_that_only_receives_lives_on(lab, plan):
    """The guest wrote once; the server goes on for three times the idle time."""
    server = lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "1s"}})
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"start")
        wait_until(lambda: server.seen)
        sock.settimeout(0.4)
        for n in range(8):
            server.sock.sendto(bytes([n]), server.seen[0][0])
            assert sock.recv(10) == bytes([n])
            with pytest.raises(TimeoutError):
                sock.recv(10)  # 0.4 s of silence
    assert vm.weir.records(ev="close") == []
    vm.weir.expect(ev="close", proto="udp", close="idle", up=5, down=8)


# ---- F1, F2: classes and caps ----

@pytest.mark.parametrize("key,port", [("udp_idle_dns", 123), ("udp_idle_quic", 443)])
def test_f01_f02_ports_with_an_idle_time_of_their_own(lab, plan, key, port):
    servers_of = {number: lab.serve_udp(port=number) for number in (port, 7000)}
    vm = lab.vm(f"allow {plan.peer} udp", config={"limits": {key: "1s"}})
    for number in servers_of:
        with vm.udp(plan.peer, number) as sock:
            sock.send(b"x")
            assert sock.recv(1) == b"x"
    vm.weir.expect(ev="close", close="idle", dst=endpoint(plan.peer, port), dur_ms=lambda ms: 1000 <= ms < 3000)
    assert vm.weir.records(dst=endpoint(plan.peer, 7000)) == [], "the other one ended, too"


def test_f01_udp_flows_have_a_cap_of_their_own(lab, plan):
    server, tcp = lab.serve_udp(), lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} any", config={"limits": {"udp_flows": 20}})
    answered, refused = 0, 0
    socks = [vm.udp(plan.peer, server.port) for _ in range(30)]
    for sock in socks:
        sock.send(b"x")
        try:
            answered += sock.recv(10) == b"x"
        except OSError as error:
            assert error.errno == plan.denied_errno
            refused += 1
    assert (answered, refused) == (20, 10)
    vm.weir.expect(ev="deny", proto="udp", reason="limit.flows", repeat=None)
    with vm.connect(plan.peer, tcp.port) as sock:  # TCP is not concerned
        sock.sendall(b"y")
        assert sock.recv(1) == b"y"
    socks[0].send(b"still mine")  # nobody was evicted
    assert socks[0].recv(10) == b"still mine"
    for sock in socks:
        sock.close()


# ---- A9, A10: large ones ----

SIZES = (0, 1, 8000, 60 * 1024, 65507)


@pytest.mark.parametrize("link", ["tap", "stream"])
def test_a09_a10_datagrams_of_every_size(lab, plan, link):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", link=link)
    for size in (*SIZES, 1500 - plan.header - 8, 1501 - plan.header - 8, plan.udp_max):
        data = b"".join(pattern.blocks(size))
        with vm.udp(plan.peer, server.port) as sock:
            sock.send(data)
            assert sock.recv(65536) == data, f"{size} bytes"
        assert server.seen[-1][1] == data


@pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
def test_a09_fragments_in_any_order(lab, plan, order):
    """On a wire without a kernel."""
    server = lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp", link="wire")
    wire = frames.Wire(plan, vm.path).find_gateway()
    for ident in range(20):
        data = b"".join(pattern.blocks(60 * 1024 - ident))
        packet = frames.udp(plan.guest, plan.peer, 4000, server.port, data)
        pieces = list(frames.fragments(packet, 1448, ident))
        if order == "backwards":
            pieces.reverse()
        elif order == "shuffled":
            random.Random(ident).shuffle(pieces)
        for piece in pieces:
            wire.send_ip(piece)
        wait_until(lambda: len(server.seen) == ident + 1, what="the datagram")
        assert server.seen[ident][1] == data
    wire.close()


# ---- datagrams in a row (UDP_SEGMENT, UDP_GRO) ----

SOL_UDP, UDP_SEGMENT = 17, 103


def rows(count, size, last):
    """Datagrams of one size and a shorter last one, each with its number."""
    return [struct.pack(">I", n) + bytes([n]) * ((size if n < count else last) - 4) for n in range(1, count + 1)]


@pytest.mark.parametrize("link", ["tap", "stream"])
@pytest.mark.parametrize("count,size,last", [(50, 1000, 1000), (44, 1400, 7), (2, 1200, 1199)])
def test_a12_segments_of_the_guest_arrive_one_by_one(lab, plan, link, count, size, last):
    """The guest's kernel hands them over in one frame where weir's TAP takes that."""
    server = lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp", link=link)
    sent = rows(count, size, last)
    with vm.udp(plan.peer, server.port) as sock:
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        sock.send(b"".join(sent))
        wait_until(lambda: len(server.seen) >= count, what="all datagrams")
    assert [data for _, data in server.seen] == sent
    vm.weir.stop()
    assert vm.weir.records(ev="close", up=sum(map(len, sent)))


@pytest.mark.parametrize("link", ["tap", "stream"])
@pytest.mark.parametrize("count,size,last", [(40, 1000, 1000), (44, 1400, 7), (2, 1200, 1199)])
def test_a12_segments_of_a_server_reach_the_guest_one_by_one(lab, plan, link, count, size, last):
    """weir gets them in one piece; their order is kept, and so are their ends."""
    sent = rows(count, size, last)

    def script(data, peer):
        server.sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        return b"".join(sent)

    server = lab.serve_udp(script=script)
    vm = lab.vm(f"allow {plan.peer} udp", link=link)
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"?")
        assert [sock.recv(65536) for _ in sent] == sent


def test_a12_datagrams_in_a_row_of_several_flows(lab, plan):
    """What is gathered for one system call keeps to one flow and one size."""
    one, two = lab.serve_udp(script=lambda data, peer: None), lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp", link="wire")
    wire = frames.Wire(plan, vm.path).find_gateway()
    sent, stream = {one.port: [], two.port: []}, b""
    for n in range(400):
        port = (one.port, two.port)[n // 7 % 2]
        data = struct.pack(">H", n) + b"z" * (n % 5 * (n % 3))
        sent[port].append(data)
        stream += wire.framed(wire.eth(frames.IPV6 if plan.header == 40 else frames.IPV4,
                                       frames.udp(plan.guest, plan.peer, 4000, port, data)))
    wire.sock.sendall(stream)
    wait_until(lambda: len(one.seen) + len(two.seen) >= 400, what="all datagrams")
    for server in (one, two):
        assert [data for _, data in server.seen] == sent[server.port]
    wire.close()
