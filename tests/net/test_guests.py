"""Several guests: what one says, asks and opens is nothing to another, and none reaches another."""
import dataclasses
import socket

import pytest

import dnsq
import frames
import lab as laboratory
import plan as plans
import servers
from namespaces import Namespace
from plan import ROUTER6, endpoint

SECOND = {"192.168.127.2": "192.168.127.3", "fd77:6569:72::2": "fd77:6569:72:1::2"}  # by the first link's guest
SECOND_MAC = "02:00:00:00:00:03"


# ---- T152 ----

@pytest.fixture(name="wires", params=["public", "guest"])
def two_wires(request, lab, plan):
    """Two guests of one weir, whose rules allow everything; and name the group `guest` as well."""
    path = f"{lab.fresh_directory()}/second.sock"
    rules = {"public": ["allow any any"], "guest": ["allow any any", f"allow {plan.network} any", "allow guest any"]}
    vm = lab.vm(*rules[request.param], link="wire", args=["-v", "--default", "allow", "--link", f"stream,path={path}"])
    first = frames.Wire(plan, vm.path).find_gateway()
    second = frames.Wire(dataclasses.replace(plan, guest=SECOND[plan.guest]), path, SECOND_MAC).find_gateway()
    first.vm = second.vm = vm
    yield first, second
    first.close()
    second.close()


def nothing_came(wire):
    """The next thing that wire hears is the answer to what it asks now."""
    wire.send(wire.solicitation(wire.plan.gateway))
    assert wire.receive().neighbour, "something came"


def test_t152_f13_no_flow_from_guest_to_guest(plan, wires):
    first, second = wires
    there = second.plan.guest
    first.tcp(there, 4000, 7000, frames.SYN, seq=1)
    assert first.tcp_reply(4000).flags & frames.RST
    first.udp(there, 4001, 7000, b"psst")
    assert first.receive_where(frames.Packet.is_error).code == plan.unreachable_admin[1]
    first.send_ip(frames.echo(plan.guest, there, 1, 1, b"psst"))
    assert first.receive_where(frames.Packet.is_error).code == plan.unreachable_admin[1]
    nothing_came(second)
    for proto, where in (("tcp", endpoint(there, 7000)), ("udp", endpoint(there, 7000)), ("icmp", endpoint(there, 0))):
        first.vm.weir.expect(ev="deny", proto=proto, dst=where, reason="deny.floor.guest")


def test_t152_f13_no_frame_from_guest_to_guest(plan, wires):
    """Not to the other's MAC, not to all of them, and nobody says that the other is there."""
    first, second = wires
    everyone = "ff02::1" if ":" in plan.guest else "255.255.255.255"
    datagram = frames.udp(plan.guest, second.plan.guest, 4000, 7000, b"psst")
    ethertype = frames.IPV6 if ":" in plan.guest else frames.IPV4
    first.send(first.eth(ethertype, datagram, second.mac))
    first.send(first.eth(ethertype, frames.udp(plan.guest, everyone, 4000, 7000, b"psst"), frames.BROADCAST))
    first.send(first.solicitation(second.plan.guest))
    nothing_came(first)
    nothing_came(second)
    first.vm.weir.stop()
    counters = first.vm.weir.counters()
    assert counters["frame.ethertype"] == 1 and counters["multicast"] == 1, counters
    assert first.vm.weir.records(dst=lambda d: d and second.plan.guest in d) == []


def test_t152_f13_nobody_takes_the_others_address(plan, wires):
    """Not as a source, and an answer goes to the guest that asked, whoever else says to have its address."""
    first, second = wires
    second.udp(plan.gateway, 4000, 53, dnsq.query_bytes("host.weir.internal", ident=1), src=plan.guest)
    second.udp(plan.gateway, 4000, 53, dnsq.query_bytes("host.weir.internal", ident=2))
    answer = second.receive_where(lambda p: p.proto == frames.UDP)
    assert answer.data[:2] == b"\0\2" and answer.dst_mac == second.mac
    nothing_came(first)
    nothing_came(second)
    second.vm.weir.stop()
    assert second.vm.weir.counter("spoof.src") == 1


# ---- F13 ----

@pytest.fixture(name="guests", params=["one weir", "two weirs"])
def two_guests(request, lab, plan):
    """Two guests with a rule for one name and one server: links of one weir, or of two, whose networks are the same then."""
    rules = ["allow web.lab.example tcp/443", f"allow {plan.peer} any"]
    if request.param == "two weirs":
        first, second = lab.vm(*rules), lab.vm(*rules)
        return [(vm.guest, plan.guest, vm.weir) for vm in (first, second)]
    ns = Namespace()
    lab.stack.callback(ns.close)
    laboratory.only_static(ns)
    vm = lab.vm(*rules, args=["--link", f"tap,name=eth0,netns={ns.path}"])
    ns.sh(f"""
        {plan.ip} addr add {SECOND[plan.guest]}/{plan.prefix_len} dev eth0 {plan.nodad}
        {plan.ip} route add default via {ROUTER6 if plan.family == socket.AF_INET6 else plan.gateway} dev eth0""")
    return [(vm.guest, plan.guest, vm.weir), (ns, SECOND[plan.guest], vm.weir)]


def from_port(ns, plan, kind, guest, port, where):
    sock = ns.socket(plan.family, kind)
    sock.settimeout(10)
    sock.bind((guest, port))
    sock.connect(where)
    return sock


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_f13_the_same_ports_at_the_same_time(lab, plan, guests, kind):
    server = lab.serve(servers.echo) if kind == socket.SOCK_STREAM else lab.serve_udp()
    socks = [from_port(ns, plan, kind, guest, 4000, (plan.peer, server.port)) for ns, guest, _ in guests]
    for turn in range(3):
        said = [f"guest {number}, turn {turn}".encode() for number in range(len(socks))]
        for sock, text in zip(socks, said):
            sock.send(text)
        assert [sock.recv(100) for sock in reversed(socks)] == said[::-1]
    for sock in socks:
        sock.close()


def test_f13_a_name_is_told_to_the_guest_that_asked(plan, guests):
    (ns, guest, weir), (other, other_guest, other_weir) = guests
    assert dnsq.ask(ns, plan.gateway, "web.lab.example", plan.record).addrs == [plan.web]
    with pytest.raises(ConnectionRefusedError):
        from_port(other, plan, socket.SOCK_STREAM, other_guest, 4000, (plan.web, 443))
    from_port(ns, plan, socket.SOCK_STREAM, guest, 4000, (plan.web, 443)).close()
    other_weir.expect(ev="deny", src=endpoint(other_guest, 4000), dst=endpoint(plan.web, 443), reason="name.unpinned")
    assert weir.records(ev="deny", src=endpoint(guest, 4000)) == []
