"""The wire: framing, ARP, the guest's addresses, DHCP, ping, and monitors that come and go."""
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

import frames
import pattern
import servers
from lab import WEIR
from plan import endpoint, in_url
from waiting import undisturbed, wait_until

LINKS = ["tap", "stream"]
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
FRAME_BYTES_MAX = 14 + 40 + 65535  # IPv6 counts its header apart


@pytest.fixture
def wire(lab, plan):
    """A guest of bytes on a stream link whose weir allows one peer; `wire.vm` is the rest."""
    vm = lab.vm(f"allow {plan.peer} any", link="wire")
    made = frames.Wire(plan, vm.path)
    made.vm = vm
    yield made
    made.close()


def asked(wire, target):
    """Ask for the gateway after `target`: whose answer comes first. Answers come in order."""
    wire.send(wire.solicitation(target))
    wire.send(wire.solicitation(wire.plan.gateway))
    return wire.neighbour()[0]


# ---- TAP devices ----

def queues(vm):
    """How many queues the guest's device has; a device of the ordinary kind does not say."""
    found = re.search(r"numqueues (\d+)", vm.guest.sh("ip -d link show eth0"))
    return int(found.group(1)) if found else 1


def try_link(spec):
    """What a weir that does not start says about its link."""
    done = subprocess.run([WEIR, "run", "--link", spec], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0, done
    return done.stderr


def test_a01_a_tap_of_weirs_own_has_a_queue_for_bulk_data_and_one_reader(lab, plan):
    server, bulk = lab.serve(servers.echo), lab.serve(servers.swallow)
    vm = lab.vm(f"allow {plan.peer} tcp")
    assert queues(vm) == 1
    with vm.connect(plan.peer, bulk.port) as sock:
        sock.sendall(bytes(8 << 20))
        assert queues(vm) == 2
    assert "noqueue" in vm.guest.sh("ip link show eth0")
    assert "it is no TAP, or has several queues: another weir made it" in try_link(f"tap,name=eth0,netns={vm.guest.path}")
    with vm.connect(plan.peer, server.port) as sock:
        sock.sendall(b"mine alone")
        assert sock.recv(10) == b"mine alone"


def test_a01_a_tap_that_is_there_is_taken_as_it_is(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}", prepare="ip tuntap add dev eth0 mode tap vnet_hdr")
    assert queues(vm) == 1
    assert "another process has it open" in try_link(f"tap,name=eth0,netns={vm.guest.path}")
    with vm.connect(plan.peer, server.port) as sock:
        sock.sendall(b"as it is")
        assert sock.recv(10) == b"as it is"


# ---- A1: framing ----

def test_a01_a02_a_frame_split_at_every_offset(wire, plan):
    data = wire.framed(wire.solicitation(plan.gateway))
    for at in range(1, len(data)):
        wire.send_split(data, at)
        assert wire.neighbour()[0] == plan.gateway, f"split at {at}"


def test_a01_many_frames_in_one_write_and_a_piece_of_the_next(wire, plan):
    one = wire.framed(wire.solicitation(plan.gateway))
    wire.send_split(one * 100, len(one) * 57 + 3)
    for _ in range(100):
        assert wire.neighbour()[0] == plan.gateway


@pytest.mark.parametrize("length", [0, 13, FRAME_BYTES_MAX + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a01_a_length_no_frame_has_ends_that_connection_only(wire, plan, length):
    wire.find_gateway()
    wire.sock.sendall(struct.pack(">I", length))
    while wire.receive():  # what weir had sent before
        pass
    again = frames.Wire(plan, wire.vm.path)
    again.find_gateway()
    again.close()


def test_a01_the_longest_frame_is_a_frame(wire, plan):
    wire.find_gateway()
    wire.send(wire.eth(0x88B5, b"\0" * (FRAME_BYTES_MAX - 14)))  # an experimental type: dropped, not fatal
    wire.send(wire.solicitation(plan.gateway))
    assert wire.neighbour()[0] == plan.gateway


def test_a01_a_monitor_that_goes_in_the_middle_of_a_frame(wire, plan):
    whole = wire.framed(wire.solicitation(plan.gateway))
    wire.sock.sendall(whole[:20])
    wire.close()
    again = frames.Wire(plan, wire.vm.path)
    again.find_gateway()  # the half frame was not glued to these
    again.close()


@pytest.mark.parametrize("link", LINKS)
def test_a01_both_links_carry_the_same_bytes(lab, plan, link):
    server = lab.serve(lambda conn: (pattern.receive(conn), pattern.send(conn, pattern.MIB))[0])
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}", link=link)
    with vm.connect(plan.peer, server.port) as sock:
        pattern.send(sock, pattern.MIB)
        sock.shutdown(socket.SHUT_WR)
        assert pattern.receive(sock) == pattern.digest_of(pattern.MIB)
    assert server.result() == pattern.digest_of(pattern.MIB)
    vm.weir.expect(ev="close", proto="tcp", dst=endpoint(plan.peer, server.port), verdict="allow", reason="ok.rule",
                   up=pattern.MIB, down=pattern.MIB)


# ---- A3, A4, A5: who is who on the wire ----

def test_a03_a14_the_gateway_says_where_it_is_and_nobody_else(wire, plan):
    with undisturbed(wire.vm.weir.process.pid):
        start = time.monotonic()
        wire.send(wire.solicitation(plan.gateway))
        answer = wire.receive_where(lambda p: p.neighbour)
        assert time.monotonic() - start < 0.010
    assert (answer.neighbour[0], answer.dst_mac) == (plan.gateway, wire.mac)
    assert answer.neighbour[1] == answer.src_mac
    for target in (plan.stranger, plan.alias, plan.peer, plan.guest):
        assert asked(wire, target) == plan.gateway, target


@pytest.mark.families("ipv4")
def test_a03_arp_for_the_broadcast_address(wire):
    assert asked(wire, "192.168.127.255") == wire.plan.gateway


def test_a03_a14_the_alias_says_where_it_is_while_a_rule_opens_host(lab, plan):
    vm = lab.vm("allow host tcp/5432", link="wire")
    wire = frames.Wire(plan, vm.path)
    assert asked(wire, plan.alias) == plan.alias
    wire.close()


def test_a04_a_changed_mac_is_followed(lab, plan, wire):
    server = lab.serve_udp()
    wire.find_gateway()
    for mac in (b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x03"):
        wire.mac = mac
        wire.udp(plan.peer, 4000, server.port, b"x")
        assert wire.receive_where(lambda p: p.proto == frames.UDP).dst_mac == mac


def test_a04_a_pinned_mac_is_the_only_one(lab, plan):
    pinned, other = "02:00:00:00:00:02", "02:00:00:00:00:03"
    vm = lab.vm(f"allow {plan.peer} any", link="wire", link_options=f",mac={pinned}")
    wire = frames.Wire(plan, vm.path, mac=other)
    wire.send(wire.solicitation(plan.gateway))
    wire.mac = bytes.fromhex(pinned.replace(":", ""))
    wire.send(wire.solicitation(plan.gateway))
    answer = wire.receive_where(lambda p: p.neighbour)
    assert answer.dst_mac == wire.mac, "the other address was answered"
    wire.close()


@pytest.mark.per_family(
    "source",
    ipv4=["192.168.127.77", "192.168.127.1", "203.0.113.20", "127.0.0.1"],
    ipv6=["fd77:6569:72:1::2", "fd77:6569:72::1", "fd77:6569:72:0:ffff:ffff:ffff:fffe", "2001:db8:113::20", "::1",
          "ff02::1", "fe80::1", "fe80::2", "::ffff:192.168.127.2"])
def test_a05_t125_a_source_that_is_not_the_guests_goes_nowhere(lab, plan, wire, source):
    server = lab.serve_udp()
    wire.find_gateway()
    wire.udp(plan.peer, 4000, server.port, b"spoofed", src=source)
    wire.tcp(plan.peer, 4001, server.port, frames.SYN, src=source)
    wire.udp(plan.peer, 4002, server.port, b"own")
    assert wire.receive_where(lambda p: p.proto in (frames.TCP, frames.UDP)).data == b"own"
    assert [data for _, data in server.seen] == [b"own"]
    assert wire.vm.weir.records(src=lambda s: s and s.startswith(endpoint(source, ""))) == []


# ---- A6: DHCP ----

UDHCPC_SCRIPT = """#!/bin/sh
case "$1" in
bound|renew)
    ip addr flush dev $interface
    ip addr add $ip/$mask dev $interface
    ip route replace default via $router
    { echo event=$1; env; } >"$OUT.new" && mv "$OUT.new" "$OUT.$1" ;;
esac
"""


def read_environment(path):
    with open(path, encoding="utf-8") as file:
        return dict(line.rstrip("\n").partition("=")[::2] for line in file)


@pytest.mark.families("ipv4")
@pytest.mark.parametrize("link", LINKS)
def test_a06_a_real_client_gets_a_lease_and_renews_it(lab, plan, link):
    vm = lab.vm(f"allow {plan.web} tcp/80", link=link, addresses=None, args=["--mtu", "1400"])
    directory = lab.fresh_directory()
    script, out = f"{directory}/script", f"{directory}/lease"
    with open(script, "w", encoding="ascii") as file:
        file.write(UDHCPC_SCRIPT)
    os.chmod(script, 0o755)
    client = vm.guest.popen(["udhcpc", "-f", "-i", "eth0", "-s", script, "-O", "mtu", "-t", "5", "-T", "1"],
                            env={**os.environ, "OUT": out}, **QUIET)
    try:
        wait_until(lambda: os.path.exists(out + ".bound"), 10, "a lease")
        lease = read_environment(out + ".bound")
        assert lease["ip"] == plan.guest
        assert lease["mask"] == str(plan.prefix_len)
        assert lease["subnet"] == "255.255.255.0"
        assert lease["router"] == plan.gateway
        assert lease["dns"] == plan.gateway
        assert lease["mtu"] == "1400"
        assert lease["serverid"] == plan.gateway
        assert int(lease["lease"]) > 0
        done = vm.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{in_url(plan.web)}/")
        assert done.stdout == "200", done
        client.send_signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(out + ".renew"), 10, "a renewed lease")
        assert read_environment(out + ".renew")["ip"] == plan.guest
    finally:
        client.kill()
        client.wait()


@pytest.mark.families("ipv4")
def test_a06_a_request_for_a_foreign_address_gets_nak(plan, wire):
    wire.find_gateway()
    for address, kind in (("10.9.8.7", frames.REFUSE), (plan.stranger, frames.REFUSE),
                          (plan.guest, frames.ACKNOWLEDGE)):
        wanted = b"\x32\x04" + socket.inet_aton(address)
        wire.send(wire.eth(frames.IPV4, frames.dhcp(wire.mac, frames.REQUEST, wanted), frames.BROADCAST))
        answer = wire.receive_where(lambda p: p.proto == frames.UDP and p.dport == 68)
        assert frames.dhcp_options(answer.data)[53] == bytes([kind]), address


# ---- A16: ping ----

@pytest.mark.parametrize("link", LINKS)
def test_a16_the_gateway_answers_ping(lab, plan, link):
    vm = lab.vm(link=link)
    done = vm.guest.run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", "1000", plan.gateway])
    assert done.returncode == 0 and " 3 received" in done.stdout, done.stdout


def test_a16_ping_to_a_denied_host_is_refused_by_icmp(lab, plan):
    vm = lab.vm(f"allow {plan.peer} tcp/80")
    done = vm.guest.run(["ping", "-n", "-c", "1", "-W", "2", plan.web])
    assert done.returncode == 1 and plan.ping_denied in done.stdout, done.stdout
    vm.weir.expect(ev="deny", proto="icmp", reason="deny.default", dst=lambda d: plan.web in d)


# ---- H18: monitors come and go ----

def test_h18_link_loss_and_return(lab, plan):
    server = lab.serve(servers.echo)
    vm = lab.vm(f"allow {plan.peer} tcp/{server.port}", link="stream")
    sock = vm.connect(plan.peer, server.port)
    sock.sendall(b"before")
    assert sock.recv(6) == b"before"
    vm.unplug()
    assert isinstance(server.result(), ConnectionResetError), "the flow's host side was not reset"
    vm.weir.expect(ev="close", src=endpoint(plan.guest, sock.getsockname()[1]), close="shutdown")
    vm.plug()
    sock.sendall(b"stale")  # a connection weir no longer knows
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    sock.close()
    with vm.connect(plan.peer, server.port) as fresh:
        fresh.sendall(b"after")
        assert fresh.recv(5) == b"after"


def test_h18_a_second_monitor_waits_for_the_first_to_go(lab, plan, wire):
    wire.find_gateway()
    second = frames.Wire(plan, wire.vm.path)
    second.send(second.solicitation(plan.gateway))
    wire.send(wire.solicitation(plan.gateway))
    assert wire.neighbour()[0] == plan.gateway
    wire.close()
    assert second.neighbour()[0] == plan.gateway
    second.close()


# ---- H20: a guest that is restored from an old snapshot ----

def hand_shake(wire, plan, sport, dport, seq):
    """Open a connection; returns weir's next sequence number."""
    wire.tcp(plan.peer, sport, dport, frames.SYN, seq=seq)
    answer = wire.tcp_reply(sport)
    assert answer.flags == frames.SYN | frames.ACK and answer.ack == seq + 1
    wire.tcp(plan.peer, sport, dport, frames.ACK, seq=seq + 1, ack=answer.seq + 1)
    return answer.seq + 1


@pytest.mark.parametrize("monitor", ["the same monitor", "a new monitor"])
def test_h20_a_restored_guest_works_at_once(lab, plan, wire, monitor):
    """
    Two flows are open when the snapshot is taken; behind it one goes on and the other ends. The restored guest knows neither: what it
    sends on the first is old, what it sends on the second belongs to nothing.
    """
    server = lab.serve(servers.echo)
    wire.find_gateway()
    live, over = hand_shake(wire, plan, 4000, server.port, 1000), hand_shake(wire, plan, 4001, server.port, 2000)
    wire.tcp(plan.peer, 4000, server.port, frames.ACK, seq=1001, ack=live, data=b"behind the snapshot")
    assert wire.receive_where(lambda p: p.proto == frames.TCP and p.data).data == b"behind the snapshot"
    wire.tcp(plan.peer, 4001, server.port, frames.RST | frames.ACK, seq=2001, ack=over)
    wire.vm.weir.expect(ev="close", src=endpoint(plan.guest, 4001))
    if monitor == "a new monitor":
        wire.close()
        wire.vm.weir.expect(ev="close", src=endpoint(plan.guest, 4000))
        wire = frames.Wire(plan, wire.vm.path)
        lab.stack.callback(wire.close)
        wire.find_gateway()
    wire.tcp(plan.peer, 4001, server.port, frames.ACK, seq=2001, ack=over, data=b"stale")
    assert wire.tcp_reply(4001).flags & frames.RST
    wire.tcp(plan.peer, 4000, server.port, frames.ACK, seq=1001, ack=live, data=b"stale")
    reply = wire.tcp_reply(4000)
    if monitor == "a new monitor":
        assert reply.flags & frames.RST
    else:  # old bytes are acknowledged as such, and never go up twice
        assert reply.flags == frames.ACK and reply.ack == 1001 + len(b"behind the snapshot")
    if ":" in plan.guest:
        wire.send_ip(frames.icmp(plan.guest, "ff02::2", frames.ROUTER_SOLICITATION, 0, b"\0" * 4 + b"\1\1" + wire.mac, 255))
        assert wire.receive_where(lambda p: p.proto == frames.ICMPV6).kind == frames.ROUTER_ADVERTISEMENT
    else:
        options = bytes([50, 4]) + socket.inet_aton(plan.guest)
        wire.send_ip(frames.dhcp(wire.mac, frames.REQUEST, options))
        answer = wire.receive_where(lambda p: p.proto == frames.UDP and p.dport == 68)
        assert frames.dhcp_options(answer.data)[53] == bytes([frames.ACKNOWLEDGE])
    fresh = hand_shake(wire, plan, 4002, server.port, 3000)
    wire.tcp(plan.peer, 4002, server.port, frames.ACK, seq=3001, ack=fresh, data=b"new")
    assert wire.receive_where(lambda p: p.proto == frames.TCP and p.dport == 4002 and p.data).data == b"new"
