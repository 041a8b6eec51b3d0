"""Limits of rules between real kernels: how many flows, how fast, and how many bytes of each."""
import errno
import socket

import pytest

import frames
import pattern
from servers import echo
from test_reload import policy, rewrite
from waiting import wait_until

LINKS = ["tap", "stream"]
BYTES = 1024 * 1024
SOL_UDP, UDP_SEGMENT = 17, 103


def refused(vm, server):
    sock = vm.socket()
    err = sock.connect_ex((server.addr, server.port))
    sock.close()
    return err == errno.ECONNREFUSED


def ended(vm, count):
    wait_until(lambda: len(vm.weir.records(ev="close")) >= count, what=f"the end of {count} flows")


def read_until_reset(sock):
    """All bytes before the reset; None when there was an orderly end instead."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        return data
    return None


@pytest.mark.parametrize("link", LINKS)
def test_c25_so_many_flows_and_no_more(lab, plan, link):
    server = lab.serve(echo)
    vm = lab.vm(f"allow {plan.peer} tcp conns=2", link=link)
    with vm.connect(server.addr, server.port) as one, vm.connect(server.addr, server.port):
        assert refused(vm, server)
        vm.weir.expect(ev="deny", reason="limit.flows", rule=1, layer="policy")
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
        ended(vm, 1)
        vm.connect(server.addr, server.port).close()
    wait_until(lambda: server.accepted == 3, what="the third one's accept()")


def test_c25_a_reload_counts_live_flows_and_cuts_none(lab, plan):
    server = lab.serve(echo)
    vm = lab.vm(config=policy(f"allow {plan.peer} tcp"))
    with vm.connect(server.addr, server.port) as one, vm.connect(server.addr, server.port) as two:
        assert "0 live flows were ended" in rewrite(vm, policy(f"allow {plan.peer} tcp conns=1"))
        for sock in (one, two):
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert refused(vm, server)
        two.close()
        ended(vm, 1)
        assert refused(vm, server)  # one is still there
    ended(vm, 2)
    vm.connect(server.addr, server.port).close()


def serve_kept(lab):
    """What a server gets, growing; and the server."""
    got = bytearray()

    def keep(conn):
        while chunk := conn.recv(65536):
            got.extend(chunk)

    return got, lab.serve(keep)


@pytest.mark.parametrize("link", LINKS)
def test_c25_exactly_so_many_bytes_up(lab, plan, link):
    got, server = serve_kept(lab)
    vm = lab.vm(f"allow {plan.peer} tcp up=1M", link=link)
    sent = b"".join(pattern.blocks(BYTES))
    with vm.connect(server.addr, server.port) as sock:
        sock.sendall(sent)
        wait_until(lambda: len(got) == BYTES, what="all bytes that may leave")
        sock.sendall(b"!")
        assert read_until_reset(sock) == b""
    assert isinstance(server.result(), ConnectionResetError)
    assert bytes(got) == sent
    vm.weir.expect(ev="close", reason="limit.bytes", close="limit", up=BYTES, rule=1)


@pytest.mark.parametrize("link", LINKS)
def test_c25_t76_a_long_upload_ends_at_its_bound(lab, plan, link):
    got, server = serve_kept(lab)
    vm = lab.vm(f"allow {plan.peer} tcp up=1M", link=link)
    sent = b"".join(pattern.blocks(8 * BYTES))
    with vm.connect(server.addr, server.port) as sock:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.sendall(sent)
            sock.recv(1)
    assert isinstance(server.result(), ConnectionResetError)
    assert len(got) <= BYTES and bytes(got) == sent[:len(got)]
    vm.weir.expect(ev="close", reason="limit.bytes", up=BYTES)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("more", [0, 1, 4 * BYTES])
def test_c25_exactly_so_many_bytes_down(lab, plan, link, more):
    server = lab.serve(lambda conn: pattern.send(conn, BYTES + more))
    vm = lab.vm(f"allow {plan.peer} tcp down=1M", link=link)
    with vm.connect(server.addr, server.port) as sock:
        if more == 0:
            assert pattern.receive(sock) == pattern.digest_of(BYTES)
        else:
            assert read_until_reset(sock) == b"".join(pattern.blocks(BYTES))
    vm.weir.expect(ev="close", down=BYTES, reason="limit.bytes" if more else "ok.rule")


def row(count, size):
    return [bytes([n]) * size for n in range(count)]


@pytest.mark.parametrize("link", LINKS)
def test_c25_whole_datagrams_of_a_row_up(lab, plan, link):
    """The guest's kernel hands them over in one frame where weir's TAP takes that: 12 of 40 fit."""
    server = lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp up=12500", link=link)
    with vm.udp(plan.peer, server.port) as sock:
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        sock.send(b"".join(row(40, 1000)))
        ended(vm, 1)
    vm.weir.stop()  # what was behind them made flows of its own, unless it was part of the same frame
    assert [data for _, data in server.seen[:12]] == row(12, 1000)
    assert vm.weir.records(ev="close")[0]["up"] == 12000
    assert all(record["up"] <= 12000 for record in vm.weir.records(ev="close"))
    assert sum(record["up"] for record in vm.weir.records(ev="close")) == sum(len(data) for _, data in server.seen)


@pytest.mark.parametrize("link", LINKS)
def test_c25_whole_datagrams_of_a_row_down(lab, plan, link):
    def script(data, peer):
        server.sock.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        return b"".join(row(40, 1000))

    server = lab.serve_udp(script=script)
    vm = lab.vm(f"allow {plan.peer} udp down=12500", link=link)
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"?")
        assert [sock.recv(65536) for _ in range(12)] == row(12, 1000)
        vm.weir.expect(ev="close", reason="limit.bytes", down=12000)
        sock.setblocking(False)
        with pytest.raises(OSError):  # nothing more is there
            sock.recv(65536)


# ---- pings ----

def pings(wire, count):
    """Send so many at once. Return: how many were answered; the others were refused."""
    for seq in range(count):
        wire.send_ip(frames.echo(wire.plan.guest, wire.plan.peer, 7, seq, b"x"))
    kinds = frames.ECHO_REPLY.values()
    got = [wire.receive_where(lambda p: p.proto in (frames.ICMP, frames.ICMPV6) and (p.kind in kinds or p.is_error()), 5)
           for _ in range(count)]
    assert {(p.kind, p.code) for p in got if p.kind not in kinds} <= {wire.plan.unreachable_admin}
    return sum(p.kind in kinds for p in got)


@pytest.mark.parametrize("rules,floor,answered", [
    (["allow {} icmp rate=8"], None, 8),              # more than the 5 of a rule without
    (["allow {} icmp rate=2"], None, 2),              # or fewer
    (["allow {} rate=8"], ["allow {} icmp"], 5),      # a floor that says nothing keeps what goes without saying
    (["allow {} icmp rate=8"], ["allow {} rate=6"], 6),
    (["allow {} icmp rate=8 conns=1"], ["allow any udp", "allow {} rate=7"], 7),
])
def test_c25_a16_t147_echoes_a_second(lab, plan, rules, floor, answered):
    config = policy(*(rule.format(plan.peer) for rule in rules))
    if floor:
        config["floor"] = {"rules": [rule.format(plan.peer) for rule in floor]}
    vm = lab.vm(link="wire", config=config, args=["-v"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    assert pings(wire, 10) == answered
    record = vm.weir.expect(ev="deny", proto="icmp", reason="limit.rate", repeat=None)
    assert ("rule" in record) == (answered != 5)
    wire.close()
    vm.weir.stop()
    assert vm.weir.counter("limit.ping") == 10 - answered


def test_c25_a16_bytes_of_a_ping(lab, plan):
    vm = lab.vm(f"allow {plan.peer} icmp up=100 rate=50", link="wire")
    wire = frames.Wire(plan, vm.path).find_gateway()
    kinds = frames.ECHO_REPLY.values()
    for seq, answered in ((1, True), (2, False)):
        wire.send_ip(frames.echo(plan.guest, plan.peer, 7, seq, b"x" * 60))
        got = wire.receive_where(lambda p: p.proto in (frames.ICMP, frames.ICMPV6) and (p.kind in kinds or p.is_error()), 5)
        assert (got.kind in kinds) == answered
    vm.weir.expect(ev="close", proto="icmp", reason="limit.bytes", up=60, down=60)
    wire.close()
