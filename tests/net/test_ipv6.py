"""IPv6 alone: what routers say, addresses, neighbours and their enemies; and hosts that lack a family."""
import errno
import os
import re
import socket
import struct
import subprocess
import time

import pytest

import dnsq
import frames
import lab as laboratory
import neterr
import plan as plans
import servers
from namespaces import Namespace
from plan import ROUTER6, endpoint
from waiting import undisturbed, wait_until

LINKS = ["tap", "stream"]
only_ipv6 = pytest.mark.families("ipv6")
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def addresses(ns):
    """A guest's addresses beyond its link, without those that still look for a twin."""
    return re.findall(r"inet6 ([0-9a-f:]+)/", ns.sh("ip -6 -o addr show dev eth0 scope global -tentative"))


def link_local(ns):
    """Wait for a link-local address that is ready."""
    wait_until(lambda: "fe80" in ns.sh("ip -6 addr show dev eth0 scope link -tentative"), 5, "a link-local address")


def slaac_address(ns):
    """Wait for what the kernel makes of an advertised prefix."""
    found = wait_until(lambda: addresses(ns), 10, "an address of the guest's own making")
    wait_until(lambda: "default via" in ns.sh("ip -6 route show default"), 5, "a default route")
    return found[0]


# ---- A14: router advertisements ----

@only_ipv6
@pytest.mark.parametrize("link", LINKS)
def test_a14_what_the_router_says(lab, plan, link):
    vm = lab.vm(link=link, args=["--mtu", "1400"])
    link_local(vm.guest)
    done = vm.guest.run(["rdisc6", "-1", "-r", "3", "-w", "2000", "eth0"])
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(re.findall(r"^ *([A-Z][^:\n]*?) *: +(.*?) *$", done.stdout, re.M))
    assert re.search(rf"^ from {ROUTER6}$", done.stdout, re.M), done.stdout
    assert said["Prefix"] == plan.network and said["MTU"].startswith("1400 ")
    assert said["Recursive DNS server"] == plan.gateway
    assert said["Stateful address conf."] == "Yes" and said["Autonomous address conf."] == "Yes"
    assert int(said["Router lifetime"].split()[0], 0) > 0 and said["Hop limit"].split()[0] != "0"


@only_ipv6
@pytest.mark.parametrize("link", LINKS)
def test_a14_slaac_is_all_a_guest_needs(lab, plan, link):
    tcp, udp = lab.serve(servers.echo), lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} any", "allow web.lab.example tcp/443", link=link, addresses="auto",
                args=["--mtu", "1400"])
    own = slaac_address(vm.guest)
    assert own.startswith("fd77:6569:72:")
    assert f"default via {ROUTER6} dev eth0 proto ra" in vm.guest.sh("ip -6 route show default")
    assert vm.guest.run(["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"]).stdout == "1400\n"
    with vm.connect(plan.peer, tcp.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x" and sock.getsockname()[0] == own
    with vm.udp(plan.peer, udp.port) as sock:
        sock.send(b"y")
        assert sock.recv(1) == b"y"
    done = vm.guest.run(["ping", "-n", "-c", "1", "-W", "2", plan.peer])
    assert done.returncode == 0, done.stdout
    assert vm.resolve("web.lab.example") == plan.web
    vm.weir.expect(ev="close", proto="tcp", src=lambda s: s.startswith(endpoint(own, "")))


DHCLIENT_SCRIPT = """#!/bin/sh
env >"$OUT.new" && mv "$OUT.new" "$OUT.$reason"
"""


@only_ipv6
@pytest.mark.parametrize("how,reason", [([], "BOUND6"), (["-S"], "RENEW6")], ids=["address", "stateless"])
def test_a14_dhcpv6_with_a_real_client(lab, plan, how, reason):
    vm = lab.vm(addresses="auto")
    link_local(vm.guest)
    directory = lab.fresh_directory()
    script, out = f"{directory}/script", f"{directory}/lease"
    with open(script, "w", encoding="ascii") as file:
        file.write(DHCLIENT_SCRIPT)
    os.chmod(script, 0o755)
    client = vm.guest.popen(["dhclient", "-6", *how, "-d", "-sf", script, "-lf", f"{directory}/leases", "-pf",
                             f"{directory}/pid", "-e", f"OUT={out}", "eth0"], **QUIET)
    try:
        bound = f"{out}.{reason}"
        wait_until(lambda: os.path.exists(bound), 15, "a lease")
    finally:
        client.kill()
        client.wait()
    with open(bound, encoding="utf-8") as file:
        lease = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    assert lease["new_dhcp6_name_servers"] == plan.gateway
    if not how:
        assert lease["new_ip6_address"] == plan.guest and int(lease["new_max_life"]) > 0


@only_ipv6
@pytest.mark.parametrize("target", ["gateway", "alias"])
def test_a14_t145_an_address_of_weirs_is_defended(lab, plan, target):
    """The guest's kernel looks for a twin (RFC 4862) and finds one."""
    vm = lab.vm("allow host tcp/5432")
    taken, free = getattr(plan, target), "fd77:6569:72::abcd:1:2"
    vm.guest.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
    vm.guest.sh(f"ip addr add {taken}/64 dev eth0; ip addr add {free}/64 dev eth0")
    wait_until(lambda: f"{taken}/" in vm.guest.sh("ip -6 -o addr show dev eth0 dadfailed"), 5, "the conflict")
    wait_until(lambda: free in addresses(vm.guest), 5, "the address that is nobody's")
    assert taken not in addresses(vm.guest)


@pytest.mark.families("ipv4")
@pytest.mark.parametrize("how", ["mtu", "off"])
def test_a14_without_ipv6_nothing_of_it_is_there(lab, plan, how):
    network = {"mtu": {"mtu": 1000}, "off": {"ipv6": "off"}}[how]
    vm = lab.vm(link="wire", args=["-v"], config={"network": network})
    v6 = plans.IPV6
    wire = frames.Wire(plans.IPV4, vm.path).find_gateway()
    mac = wire.mac
    for packet in (frames.neighbour_solicitation(mac, v6.guest, v6.gateway),
                   frames.icmp("fe80::2", "ff02::2", frames.ROUTER_SOLICITATION, 0, b"\0" * 4, 255),
                   frames.echo(v6.guest, v6.gateway, 1, 1, b"")):
        wire.send_ip(packet)
    wire.send(wire.solicitation(wire.plan.gateway))
    assert wire.receive().ethertype == frames.ARP, "IPv6 was answered"
    wire.close()
    vm.weir.stop()
    assert vm.weir.counter("ipv6.off") == 3
    said = [line for line in vm.weir.stderr().splitlines() if "IPv6" in line]
    assert len(said) == (1 if how == "mtu" else 0) and all("1280" in line for line in said)


@pytest.mark.families("ipv4")
def test_a14_an_mtu_too_small_for_a_given_network_is_a_mistake(lab, world):
    config = f"{lab.fresh_directory()}/config.yaml"
    with open(config, "w", encoding="ascii") as file:
        file.write("network: {mtu: 1000, ipv6: 'fd00:9::/48'}\n")
    done = world.ns.run([laboratory.WEIR, "check", "--config", config])
    assert done.returncode == 2 and "1280" in done.stderr, done


@only_ipv6
def test_a14_two_links_have_a_network_each(lab, plan, world):
    second = Namespace()
    lab.stack.callback(second.close)
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.network} any", "allow guest any", addresses="auto",
                args=["--link", f"tap,name=eth0,netns={second.path}"])
    nets = {}
    for name, ns in (("first", vm.guest), ("second", second)):
        nets[name] = slaac_address(ns)
        with ns.socket(plan.family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(b"hello", (server.addr, server.port))
            assert sock.recv(10) == b"hello"
    prefixes = {frames.packed(a)[:8] for a in nets.values()}
    assert len(prefixes) == 2 and all(p[:6] == frames.packed(plan.network[:-3])[:6] for p in prefixes)
    with neterr.listen(second.socket(plan.family, socket.SOCK_DGRAM), plan) as sock:  # no guest reaches another
        sock.sendto(b"psst", (nets["first"], 9))
        assert neterr.told(sock).icmp == plan.unreachable_admin
    vm.weir.expect(ev="deny", proto="udp", dst=endpoint(nets["first"], 9), reason="deny.floor.guest")


# ---- T145: hostile neighbour discovery ----

def advertisement(src, dst, target, mac, flags):
    body = struct.pack(">I", flags << 24) + frames.packed(target) + b"\2\1" + mac
    return frames.icmp(src, dst, frames.NEIGHBOUR_ADVERTISEMENT, 0, body, hop_limit=255)


def router_advertisement(src, mac):
    prefix = struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + frames.packed("fd00:bad::")
    body = struct.pack(">BBHII", 64, 0, 9000, 0, 0) + b"\1\1" + mac + prefix
    return frames.icmp(src, "ff02::1", frames.ROUTER_ADVERTISEMENT, 0, body, hop_limit=255)


def redirect(src, dst, target, destination):
    body = b"\0" * 4 + frames.packed(target) + frames.packed(destination)
    return frames.icmp(src, dst, frames.REDIRECT, 0, body, hop_limit=255)


HOSTILE = {
    # what, a frame of the guest's, the counter that says so
    "router advertisement": (lambda p, mac: router_advertisement("fe80::2", mac), "spoof.src"),
    "router advertisement as the router": (lambda p, mac: router_advertisement(ROUTER6, mac), "spoof.src"),
    "neighbour advertisement for the gateway":
        (lambda p, mac: advertisement(p.guest, "ff02::1", p.gateway, b"\2\0\0\0\0\x66", 0x20), "spoof.src"),
    "neighbour advertisement for the router":
        (lambda p, mac: advertisement("fe80::2", "ff02::1", ROUTER6, b"\2\0\0\0\0\x66", 0xA0), "spoof.src"),
    "neighbour advertisement as the gateway":
        (lambda p, mac: advertisement(p.gateway, "ff02::1", p.gateway, b"\2\0\0\0\0\x66", 0xA0), "spoof.src"),
    "redirect": (lambda p, mac: redirect("fe80::2", p.gateway, "fe80::2", p.peer), "spoof.src"),
    "redirect as the router": (lambda p, mac: redirect(ROUTER6, p.guest, "fe80::2", p.peer), "spoof.src"),
    "hop limit 254":
        (lambda p, mac: frames.icmp(p.guest, p.gateway, frames.NEIGHBOUR_SOLICITATION, 0,
                                    b"\0" * 4 + frames.packed(p.gateway) + b"\1\1" + mac, 254), "nd.bad"),
    "an option of length zero":
        (lambda p, mac: frames.icmp(p.guest, p.gateway, frames.NEIGHBOUR_SOLICITATION, 0,
                                    b"\0" * 4 + frames.packed(p.gateway) + b"\1\0" + mac, 255), "nd.bad"),
}


@only_ipv6
@pytest.mark.parametrize("what", HOSTILE)
def test_a14_t145_hostile_neighbour_discovery(lab, plan, what):
    """Counted, without an answer, and without effect on a flow that is open."""
    make, counter = HOSTILE[what]
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp", link="wire", args=["-v"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    wire.udp(plan.peer, 4000, server.port, b"before")
    assert wire.receive_where(lambda p: p.proto == frames.UDP).data == b"before"
    wire.send_ip(make(plan, wire.mac))
    wire.udp(plan.peer, 4000, server.port, b"after")
    answer = wire.receive()
    assert answer.proto == frames.UDP and answer.data == b"after" and answer.dst_mac == wire.mac
    server.sock.sendto(b"later", server.seen[0][0])
    answer = wire.receive()
    assert answer.data == b"later" and answer.dst_mac == wire.mac and answer.src_mac == wire.gateway_mac
    wire.close()
    vm.weir.stop()
    assert vm.weir.counter(counter) == 1


@only_ipv6
def test_a14_t145_neighbour_discovery_in_fragments(lab, plan):
    """RFC 6980: not answered, while the same message whole is."""
    vm = lab.vm(link="wire", args=["-v"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    message = frames.neighbour_solicitation(wire.mac, plan.guest, plan.gateway, dst=plan.gateway)
    for piece in frames.fragments(message, 16):
        wire.send_ip(piece)
    wire.send_ip(frames.echo(plan.guest, plan.gateway, 1, 1, b""))
    answer = wire.receive()
    assert answer.proto == frames.ICMPV6 and answer.kind == frames.ECHO_REPLY[6], "the fragments were answered"
    wire.send_ip(message)
    assert wire.neighbour()[0] == plan.gateway
    wire.close()
    vm.weir.stop()
    assert vm.weir.counter("nd.bad") == 1


# ---- H17: a host without a way ----

def other_family(plan):
    return plans.IPV4 if plan.family == socket.AF_INET6 else plans.IPV6


@pytest.mark.parametrize("which", ["unrouted", "the other family"])
def test_h17_a_connect_without_a_way_fails_at_once(lab, plan, which):
    """Either the host has other routes of the family, or none at all."""
    where = plan if which == "unrouted" else other_family(plan)
    vm = lab.vm(f"allow {where.unrouted} tcp/443", args=["--group", f"public={where.public}"])
    if where is not plan:
        nodad = "nodad" if where is plans.IPV6 else ""
        vm.guest.sh(f"""{where.ip} addr replace {where.guest}/{where.prefix_len} dev eth0 {nodad}
                        {where.ip} route replace default via {where.gateway} metric 1""")
    took = []
    for _ in range(5):
        with undisturbed(vm.weir.process.pid), vm.guest.socket(where.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            start = time.monotonic()
            with pytest.raises(OSError) as caught:
                sock.connect((where.unrouted, 443))
            took.append(time.monotonic() - start)
        assert caught.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
    assert sorted(took)[2] < 0.050, took
    vm.weir.expect(reason="dial.unreachable", dst=endpoint(where.unrouted, 443), count=5)


def test_h17_an_address_without_a_way_is_not_told(lab, plan):
    vm = lab.vm("allow nowhere.lab.example tcp/443", "allow web.lab.example tcp/443", args=["-v"])
    answer = vm.ask("nowhere.lab.example")
    assert (answer.rcode, answer.addrs) == (dnsq.NOERROR, [])
    assert vm.resolve("web.lab.example") == plan.web
    vm.weir.stop()
    assert vm.weir.counter("dns.unrouted") == 1


def test_h17_an_address_without_a_way_is_told_to_who_wants_it(lab, plan):
    vm = lab.vm("allow nowhere.lab.example tcp/443", config={"dns": {"unrouted": "keep"}})
    assert vm.ask("nowhere.lab.example").addrs == [plan.unrouted]


# ---- frames ----

@only_ipv6
@pytest.mark.parametrize("target", ["::", "::1", "::ffff:203.0.113.20", "fd77:6569:72::1"])
def test_a13_t128_a_syn_to_what_is_no_destination(lab, plan, target):
    """Refused or dropped, and weir lives."""
    vm = lab.vm("allow any any", "allow ::/0 any", link="wire", args=["--default", "allow"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    wire.tcp(target, 4000, 7000, frames.SYN, seq=1)
    wire.udp(target, 4000, 7000, b"x")
    wire.send_ip(frames.echo(plan.guest, target, 1, 1, b"x"))
    wire.send(wire.solicitation(plan.gateway))
    wire.neighbour()
    assert vm.weir.records(verdict="allow") == []
    wire.close()
