"""Pings beyond the gateway, and what the network says about datagrams."""
import errno
import os
import socket

import pytest

import frames
import neterr
import plan as plans
from waiting import wait_until

LINKS = ["tap", "stream"]
BURST, PAYLOAD_MAX = 5, 64


def icmp_rule(addr):
    return f"allow {addr} icmp"


@pytest.fixture
def pinger(lab, plan):
    """A guest of bytes that may ping one peer."""
    vm = lab.vm(icmp_rule(plan.peer), link="wire", args=["-v"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    wire.vm = vm
    yield wire
    wire.close()


def ping(wire, seq, data=b"", ident=0x1234, target=None):
    wire.send_ip(frames.echo(wire.plan.guest, target or wire.plan.peer, ident, seq, data))


def is_reply(packet):
    return packet.proto in (frames.ICMP, frames.ICMPV6) and packet.kind in frames.ECHO_REPLY.values()


def answer(wire, timeout=5):
    """The next reply or error."""
    return wire.receive_where(lambda p: is_reply(p) or p.is_error(), timeout)


# ---- A16: pings ----

@pytest.mark.parametrize("link", LINKS)
def test_a16_a_real_ping_to_an_allowed_host(lab, plan, link):
    vm = lab.vm(icmp_rule(plan.peer), link=link)
    done = vm.guest.run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", plan.peer])
    assert done.returncode == 0 and " 3 received" in done.stdout, done.stdout


@pytest.mark.parametrize("size", [0, 1, PAYLOAD_MAX])
def test_a16_the_reply_has_the_id_the_number_and_the_bytes(pinger, plan, size):
    data = os.urandom(size)
    for ident, seq in ((0x1234, 1), (0xFFFF, 0xFFFF), (0, 0)):
        ping(pinger, seq, data, ident)
        got = answer(pinger)
        assert is_reply(got) and (got.src, got.dst) == (plan.peer, plan.guest)
        assert got.payload[4:] == ident.to_bytes(2, "big") + seq.to_bytes(2, "big") + data


def test_a16_two_programs_with_one_host_do_not_get_each_others_replies(pinger, plan):
    for ident in (7, 8):
        ping(pinger, ident * 10, b"of %d" % ident, ident)
    got = {answer(pinger).payload[4:] for _ in range(2)}
    assert got == {frames.struct.pack(">HH", ident, ident * 10) + b"of %d" % ident for ident in (7, 8)}


def test_a16_t147_a_ping_to_a_denied_host_quotes_what_was_refused(pinger, plan):
    ping(pinger, 1, b"secret", target=plan.web)
    got = answer(pinger)
    assert (got.kind, got.code, got.src) == (*plan.unreachable_admin, plan.gateway)
    quoted = got.payload[8:]
    assert frames.packed(plan.web) in quoted[:plan.header] and quoted[plan.header + 4:].startswith(b"\x12\x34\0\1")
    pinger.vm.weir.expect(ev="deny", proto="icmp", reason="deny.default", dst=lambda d: plan.web in d)


def test_a16_t147_a_ping_carries_64_bytes_at_most(pinger, plan):
    ping(pinger, 1, b"x" * (PAYLOAD_MAX + 1))
    got = answer(pinger)
    assert (got.kind, got.code) == plan.unreachable_admin
    pinger.vm.weir.expect(ev="deny", proto="icmp", reason="limit.rate")
    ping(pinger, 2, b"x" * PAYLOAD_MAX)
    assert is_reply(answer(pinger))
    pinger.vm.weir.stop()
    assert pinger.vm.weir.counter("limit.ping") == 1


def test_a16_t147_five_pings_at_once_then_one_a_second(pinger, plan):
    for seq in range(BURST + 3):
        ping(pinger, seq)
    got = [answer(pinger) for _ in range(BURST + 3)]
    # Refusals overtake replies, which come through the host: only the numbers count.
    assert sum(map(is_reply, got)) == BURST
    assert {(p.kind, p.code) for p in got if not is_reply(p)} == {plan.unreachable_admin}
    pinger.vm.weir.expect(ev="deny", proto="icmp", reason="limit.rate", repeat=None)

    def again():
        ping(pinger, 100)
        try:
            return is_reply(answer(pinger, 0.1))
        except TimeoutError:  # refusals are limited, too
            return False
    wait_until(again, 2, "one more ping after a second")
    ping(pinger, 101)
    assert not is_reply(answer(pinger)), "a second of waiting earned more than one"


def test_a16_a_host_that_forbids_pings_is_warned_of_once(own_lab):
    lab, plan = own_lab, own_lab.plan
    lab.world.ns.sysctl("net.ipv4.ping_group_range", "1 0")
    vm = lab.vm(icmp_rule(plan.peer), link="wire", args=["-v"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    for seq in range(3):
        ping(wire, seq)
        got = answer(wire)
        assert (got.kind, got.code) == plan.unreachable_admin
    ping(wire, 9, target=plan.gateway)  # which is weir's own
    assert is_reply(answer(wire))
    wire.close()
    vm.weir.stop()
    assert vm.weir.stderr().count("ping_group_range") == 1
    assert vm.weir.counter("ping.forbidden") == 3


def test_a16_t147_the_gateways_reply_needs_no_rule(lab, plan):
    vm = lab.vm(link="wire")
    wire = frames.Wire(plan, vm.path).find_gateway()
    data = os.urandom(1400)
    ping(wire, 5, data, target=plan.gateway)
    got = answer(wire)
    assert is_reply(got) and got.payload[4:] == b"\x12\x34\0\5" + data
    wire.close()


@pytest.mark.parametrize("where,icmp", [("unreachable", {4: (3, 1), 6: (1, 3)}), ("unrouted", {4: (3, 0), 6: (1, 0)})])
def test_a16_a_ping_nobody_can_deliver_is_answered_by_the_gateway(lab, plan, where, icmp):
    target = getattr(plan, where)
    vm = lab.vm(icmp_rule(target), link="wire")
    wire = frames.Wire(plan, vm.path).find_gateway()
    ping(wire, 3, b"data", target=target)
    got = answer(wire)
    assert (got.kind, got.code) == icmp[6 if ":" in target else 4]
    assert frames.packed(target) in got.payload[8:8 + plan.header]
    wire.close()


@pytest.mark.parametrize("how", ["-I", "-U"])
def test_a16_traceroute_sees_the_host_at_once(lab, plan, how):
    """No hop is shown: weir's sockets are where the guest's packets end, and the host's begin."""
    vm = lab.vm(f"allow {plan.peer} any")
    done = vm.guest.run(["traceroute", "-n", how, "-p", "33434", "-q", "1", "-N", "1", "-w", "2", "-m", "3", plan.peer])
    assert done.returncode == 0, done
    hops = done.stdout.splitlines()[1:]
    assert len(hops) == 1 and hops[0].split()[1] in (plan.peer, plan.gateway), done.stdout


# ---- A17, H15: errors of UDP ----

@pytest.mark.parametrize("link", LINKS)
def test_a17_h15_a_closed_port_is_told_as_refused(lab, plan, link):
    vm = lab.vm(f"allow {plan.peer} udp", link=link)
    with vm.udp(plan.peer, 9) as sock:
        sock.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)
    with neterr.listen(vm.udp(plan.peer, 9), plan) as sock:
        sock.send(b"anyone?")
        told = neterr.told(sock)
        assert (told.errno, told.icmp) == (errno.ECONNREFUSED, plan.unreachable_port)
        assert (told.about, told.data) == ((plan.peer, 9), b"anyone?")


NO_WAY = {
    "unreachable": ((errno.EHOSTUNREACH, (3, 1)), (errno.EHOSTUNREACH, (1, 3))),
    "prohibited": ((errno.EHOSTUNREACH, (3, 13)), (errno.EACCES, (1, 1))),
    "unrouted": ((errno.ENETUNREACH, (3, 0)), (errno.ENETUNREACH, (1, 0))),
}


@pytest.mark.parametrize("link", LINKS)
def test_a17_h15_where_the_host_cannot_go(lab, plan, link):
    vm = lab.vm(*(f"allow {getattr(plan, where)} udp" for where in NO_WAY), link=link)
    for where, told_as in NO_WAY.items():
        with neterr.listen(vm.udp(getattr(plan, where), 9), plan) as sock:
            for n in range(3):  # the first datagram of a flow, and later ones
                sock.send(b"n%d" % n)
                told = neterr.told(sock)
                assert (told.errno, told.icmp) == told_as[plan.family == socket.AF_INET6], where
                assert told.data == b"n%d" % n


@pytest.mark.parametrize("link", LINKS)
def test_h15_the_error_of_one_destination_is_not_anothers(lab, plan, link):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.peer2} udp", f"allow {plan.unreachable} udp", link=link)
    with neterr.listen(vm.socket(socket.SOCK_DGRAM), plan) as sock:
        for n in range(20):
            for target, number in ((plan.peer2, errno.ECONNREFUSED), (plan.unreachable, errno.EHOSTUNREACH)):
                sock.sendto(b"%d" % n, (server.addr, server.port))
                sock.sendto(b"into the blue", (target, 9))
                told = neterr.told(sock)
                assert (told.errno, told.about) == (number, (target, 9))
                data, peer = sock.recvfrom(10)
                assert (data, peer[:2]) == (b"%d" % n, (server.addr, server.port))
        assert neterr.quiet(sock)
    assert len(server.seen) == 40 and len({peer for peer, _ in server.seen}) == 1


def test_h15_an_error_does_not_end_the_flow(lab, plan):
    """A server that comes up later is heard, from the same socket."""
    vm = lab.vm(f"allow {plan.peer} udp/7000")
    with vm.udp(plan.peer, 7000) as sock:
        sock.send(b"too early")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)
        lab.serve_udp(port=7000)
        sock.send(b"now")
        assert sock.recv(10) == b"now"


# ---- H16: path MTU ----

@pytest.fixture
def narrow(lab, plan, world):
    """A device of the world's with a small MTU, and its wire: what is sent there is read by the test."""
    lab.narrow = world.ns.tun("narrow0")
    lab.stack.callback(os.close, lab.narrow)
    world.ns.sh(f"""
        ip link set narrow0 up mtu 1300
        {plan.ip} route add {plan.hole} dev narrow0 src {plan.source}""")
    return lab


def datagrams(lab, plan, size):
    """UDP packets to the hole, until `size` bytes of payload came: how long each IP packet was."""
    lengths, got = [], 0
    fragment = plan.header + (8 if plan.header == 40 else 0)
    while got < size + 8:
        packet = os.read(lab.narrow, 65536)
        v6 = packet[0] >> 4 == 6
        proto = packet[6] if v6 else packet[9]
        if frames.packed(plan.hole) not in packet[:40] or proto not in (frames.UDP, frames.FRAGMENT):
            continue
        lengths.append(len(packet))
        got += len(packet) - (fragment if proto == frames.FRAGMENT else plan.header)
    assert got == size + 8
    return lengths


@pytest.mark.parametrize("link", LINKS)
def test_h16_a_datagram_too_big_for_the_way_is_told(narrow, plan, link):
    vm = narrow.vm(f"allow {plan.hole} udp", link=link)
    size = 1500 - plan.header - 8
    with neterr.listen(vm.udp(plan.hole, 9), plan) as sock:
        sock.setsockopt(plan.level, plan.mtu_discover, neterr.PMTUDISC_DO)
        sock.send(b"x" * size)
        told = neterr.told(sock)
        assert (told.errno, told.mtu) == (errno.EMSGSIZE, 1300)
        assert sock.getsockopt(plan.level, plan.mtu) == 1300
        with pytest.raises(OSError) as caught:  # from here on the guest's own kernel knows
            sock.send(b"x" * size)
        assert caught.value.errno == errno.EMSGSIZE
        fits = 1300 - plan.header - 8
        sock.send(b"y" * fits)
        assert datagrams(narrow, plan, fits) == [1300]


@pytest.mark.parametrize("link", LINKS)
def test_h16_a_datagram_that_may_be_fragmented_passes(narrow, plan, link):
    """IPv6 has no such bit: the guest's own fragments say so, which it makes as soon as it knows."""
    vm = narrow.vm(f"allow {plan.hole} udp", link=link)
    size = 1500 - plan.header - 8
    with neterr.listen(vm.udp(plan.hole, 9), plan) as sock:
        if plan.family == socket.AF_INET6:
            sock.setsockopt(plan.level, plan.mtu_discover, neterr.PMTUDISC_WANT)
            sock.send(b"x" * size)
            assert neterr.told(sock).mtu == 1300
        else:
            sock.setsockopt(plan.level, plan.mtu_discover, neterr.PMTUDISC_DONT)
        sock.send(b"x" * size)
        lengths = datagrams(narrow, plan, size)
        assert len(lengths) == 2 and max(lengths) <= 1300
        assert neterr.quiet(sock)


@pytest.mark.parametrize("link", LINKS)
def test_h16_8000_bytes_pass_in_fragments(narrow, plan, link):
    vm = narrow.vm(f"allow {plan.hole} udp", link=link)
    with neterr.listen(vm.udp(plan.hole, 9), plan) as sock:
        for _ in range(3):
            sock.send(b"x" * 8000)
            lengths = datagrams(narrow, plan, 8000)
            assert len(lengths) == 7 and max(lengths) <= 1300
        assert neterr.quiet(sock)


def test_h16_a_routers_too_big_reaches_the_guest(narrow, plan, world):
    """The device takes 1500 bytes; a router behind it does not."""
    world.ns.sh("ip link set narrow0 mtu 1500")
    vm = narrow.vm(f"allow {plan.hole} udp")
    size = 1500 - plan.header - 8
    with neterr.listen(vm.udp(plan.hole, 9), plan) as sock:
        sock.setsockopt(plan.level, plan.mtu_discover, neterr.PMTUDISC_DO)
        sock.send(b"x" * size)
        packet = b""
        while frames.packed(plan.hole) not in packet[:40]:
            packet = os.read(narrow.narrow, 65536)
        body = (1400).to_bytes(4, "big") + packet[:500]
        kind = (2, 0) if plan.header == 40 else (3, 4)
        os.write(narrow.narrow, frames.icmp(plan.hole, plan.source, *kind, body))
        told = neterr.told(sock)
        assert (told.errno, told.mtu, told.about) == (errno.EMSGSIZE, 1400, (plan.hole, 9))
        with pytest.raises(OSError):
            sock.send(b"x" * size)
