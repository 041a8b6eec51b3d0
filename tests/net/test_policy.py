"""Rules: what is allowed, what is not, and how a refusal looks from the guest and in the log."""
import dataclasses
import errno
import statistics
import time

import pytest

import dnsq
import frames
import lab as laboratory
import servers
from plan import endpoint
from waiting import undisturbed, wait_until


def listen(lab, plan, *ports):
    """Something accepts on these ports of every local address, until its client goes."""
    return [lab.serve(servers.swallow, plan.any, port) for port in ports]


def try_tcp(vm, addr, port):
    try:
        vm.connect(addr, port).close()
        return True
    except ConnectionRefusedError:
        return False


def try_udp(vm, addr, port):
    with vm.udp(addr, port) as sock:
        sock.send(b"x")
        try:
            return sock.recv(10) == b"x"
        except OSError as error:
            assert error.errno == vm.plan.denied_errno, error  # by ICMP; silence would be a timeout
            return False


# ---- C5, C7 ----

def test_c05_an_empty_policy_denies_everything_and_says_so(lab, plan):
    listen(lab, plan, 7000)
    lab.serve_udp(port=7000)
    vm = lab.vm()
    assert not try_tcp(vm, plan.peer, 7000)
    assert not try_udp(vm, plan.peer, 7000)
    assert vm.ask("web.lab.example").rcode == dnsq.NXDOMAIN
    for proto in ("tcp", "udp"):
        vm.weir.expect(ev="deny", proto=proto, reason="deny.default", dst=endpoint(plan.peer, 7000), verdict="deny",
                       stage="open")
    assert "everything is denied" in vm.weir.stderr()


MATRIX = [
    # why, the rules, what passes, what does not (protocol, server, port)
    ("one rule opens only its address, port and protocol", ["allow {peer} tcp/7000"],
     [("tcp", "peer", 7000)],
     [("tcp", "peer", 7001), ("tcp", "peer2", 7000), ("udp", "peer", 7000)]),
    ("a network, lists and ranges of ports", ["allow {block} tcp/7000-7001,7003"],
     [("tcp", "in_block", 7000), ("tcp", "in_block", 7001), ("tcp", "in_block", 7003)],
     [("tcp", "in_block", 7002), ("tcp", "peer", 7000), ("udp", "in_block", 7000)]),
    ("UDP alone", ["allow {peer} udp/7000"], [("udp", "peer", 7000)],
     [("tcp", "peer", 7000), ("udp", "peer2", 7000)]),
    ("a missing protocol is any", ["allow {peer}"], [("udp", "peer", 7000), ("tcp", "peer", 7000)],
     [("tcp", "peer2", 7000)]),
    ("first match wins: deny", ["deny {peer2} any", "allow {public} any"],
     [("tcp", "peer", 7000), ("udp", "peer", 7000)], [("tcp", "peer2", 7000), ("udp", "peer2", 7000)]),
    ("first match wins: allow", ["allow {peer2} tcp/7000", "deny {public} tcp", "allow any"],
     [("tcp", "peer2", 7000), ("udp", "peer", 7000)], [("tcp", "peer2", 7001), ("tcp", "peer", 7000)]),
    ("a group", ["allow public tcp/7000"], [("tcp", "peer", 7000)],
     [("tcp", "peer", 7001), ("tcp", "host_interface", 7000)]),
    ("an audit rule lets pass", ["audit {peer} tcp/7000"], [("tcp", "peer", 7000)], [("tcp", "peer", 7001)]),
    ("an expired rule is none", ["allow {peer} tcp/7000 expires=2020-01-01T00:00:00Z"], [],
     [("tcp", "peer", 7000)]),
]


@pytest.mark.parametrize("why,rules,passes,refused", MATRIX, ids=[row[0] for row in MATRIX])
def test_c07_rule_matrix(lab, plan, why, rules, passes, refused):
    where = dataclasses.asdict(plan)
    listen(lab, plan, 7000, 7001, 7002, 7003)
    for name in ("peer", "peer2"):
        lab.serve_udp(where[name], 7000)
    vm = lab.vm(*(rule.format(**where) for rule in rules))
    for wanted, cases in ((True, passes), (False, refused)):
        for proto, name, port in cases:
            probe = try_tcp if proto == "tcp" else try_udp
            assert probe(vm, where[name], port) == wanted, f"{why}: {proto} {name}:{port}"
            if not wanted:
                vm.weir.expect(ev="deny", proto=proto, dst=endpoint(where[name], port))


def test_c07_default_allow_with_a_deny(lab, plan):
    listen(lab, plan, 7000)
    vm = lab.vm(f"deny {plan.peer} tcp/7000 tag=because", args=["--default", "allow"])
    assert try_tcp(vm, plan.peer2, 7000)
    assert not try_tcp(vm, plan.peer, 7000)
    vm.weir.expect(ev="close", dst=endpoint(plan.peer2, 7000), reason="ok.default", rule=None)
    vm.weir.expect(ev="deny", dst=endpoint(plan.peer, 7000), reason="deny.rule", rule=1, layer="policy",
                   tag="because")


def test_h11_audit_says_what_a_deny_would_have_done(lab, plan):
    listen(lab, plan, 7000)
    vm = lab.vm(f"audit {plan.peer} tcp/7000")
    assert try_tcp(vm, plan.peer, 7000)
    vm.weir.expect(ev="close", dst=endpoint(plan.peer, 7000), verdict="audit", would="deny", rule=1)


# ---- C8: the floor ----

@pytest.mark.per_family("target,reason", ipv4=[
    ("127.0.0.1", "deny.floor.loopback"),
    ("127.9.9.9", "deny.floor.loopback"),
    ("169.254.10.10", "deny.floor.link-local"),
    ("169.254.169.254", "deny.floor.metadata"),
    ("100.100.100.200", "deny.floor.metadata"),
    ("10.0.0.5", "deny.floor.private"),
    ("172.16.9.9", "deny.floor.private"),
    ("192.168.1.1", "deny.floor.private"),
    ("100.64.0.1", "deny.floor.private"),
    ("198.51.100.7", "deny.floor.host"),       # an address of the host's own interface
    ("192.168.127.1", "deny.floor.guest"),     # the gateway: no service but DNS
    ("192.168.127.77", "deny.floor.guest"),
    ("192.168.127.254", "deny.floor.host"),    # the host alias
    ("198.18.0.1", "deny.floor.reserved"),
    ("240.0.0.1", "deny.floor.reserved"),
], ipv6=[
    ("::1", "deny.floor.loopback"),
    ("fe80::77", "deny.floor.link-local"),
    ("fec0::1", "deny.floor.reserved"),
    ("fd00:ec2::254", "deny.floor.metadata"),
    ("64:ff9b::a9fe:a9fe", "deny.floor.metadata"),     # T130: an IPv4 address in another form
    ("64:ff9b::a00:5", "deny.floor.private"),
    ("64:ff9b:1::1", "deny.floor.reserved"),
    ("fd00:1::5", "deny.floor.private"),
    ("fc00::9", "deny.floor.private"),
    ("2001:db8:100::7", "deny.floor.host"),            # an address of the host's own interface
    ("fd77:6569:72::1", "deny.floor.guest"),           # the gateway: no service but DNS
    ("fd77:6569:72::77", "deny.floor.guest"),
    ("fd77:6569:72:9::2", "deny.floor.guest"),         # another guest's
    ("fd77:6569:72:0:ffff:ffff:ffff:fffe", "deny.floor.host"),
    ("2001:db8:100::8", "deny.floor.reserved"),
    ("100::1", "deny.floor.reserved"),
])
def test_c08_the_floor_holds_under_allow_any(lab, plan, target, reason):
    listen(lab, plan, 7000)
    vm = lab.vm("allow any any", f"allow {plan.any}/0 any", link="wire", args=["--default", "allow"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    wire.tcp(target, 4000, 7000, frames.SYN, seq=1)
    assert wire.tcp_reply(4000).flags & frames.RST
    vm.weir.expect(ev="deny", proto="tcp", dst=endpoint(target, 7000), reason=reason)
    wire.udp(target, 4000, 7000, b"x")
    answer = wire.receive_where(lambda p: p.is_error())
    assert (answer.kind, answer.code) == plan.unreachable_admin
    wire.close()


@pytest.mark.per_family(
    "target", ipv4=["224.0.0.251", "239.255.255.250", "255.255.255.255", "192.168.127.255", "0.0.0.0"],
    ipv6=["ff02::fb", "ff02::1", "ff05::c", "ff0e::1", "::", "::ffff:203.0.113.20", "::203.0.113.20"])
def test_c08_t116_groups_and_broadcasts_go_nowhere(lab, plan, target):
    vm = lab.vm("allow any any", link="wire", args=["--default", "allow"])
    wire = frames.Wire(plan, vm.path).find_gateway()
    wire.udp(target, 5353, 5353, b"x")
    wire.tcp(target, 4000, 7000, frames.SYN, seq=1)
    wire.send(wire.solicitation(plan.gateway))
    wire.neighbour()  # weir is through with both
    assert vm.weir.records(verdict="allow") == []
    wire.close()


def test_c08_an_address_the_host_gets_later_is_closed_too(lab, plan, world):
    server = lab.serve(servers.swallow, plan.any, 7000)
    vm = lab.vm("allow any any", args=["-v"])
    lab.stack.callback(world.ns.run, ["ip", "addr", "del", plan.late_interface, "dev", "lo"])
    world.ns.sh(f"ip addr add {plan.late_interface} dev lo {plan.nodad}")
    wait_until(lambda: "addresses changed" in vm.weir.stderr(), what="weir's notice")
    assert not try_tcp(vm, plan.late_interface, 7000)
    vm.weir.expect(ev="deny", reason="deny.floor.host", dst=endpoint(plan.late_interface, 7000))
    assert server.accepted == 0


def test_c08_t101_t102_rebinding_answers_are_stripped(lab, plan):
    vm = lab.vm("allow rebind.lab.example any", "allow mixed.lab.example any")
    gone = vm.ask("rebind.lab.example")
    assert (gone.rcode, gone.addrs) == (dnsq.NOERROR, [])
    vm.weir.expect(ev="dns", name="rebind.lab.example", reason="dns.rebind")
    assert vm.ask("mixed.lab.example").addrs == [plan.peer]


def test_c08_private_is_opened_by_the_rule_that_says_so(lab, plan):
    vm = lab.vm(f"allow mixed.lab.example any private={plan.private}")
    assert sorted(vm.ask("mixed.lab.example").addrs) == sorted([plan.private_host, plan.peer])


def test_f11_the_host_alias_opens_one_port_of_the_hosts_loopback(lab, plan):
    opened = lab.serve(servers.echo, addr=plan.loopback)
    closed = lab.serve(servers.echo, addr=plan.loopback)
    vm = lab.vm(f"allow host tcp/{opened.port}")
    assert vm.resolve("host.weir.internal") == plan.alias
    with vm.connect(plan.alias, opened.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    assert not try_tcp(vm, plan.alias, closed.port)
    assert closed.accepted == 0


def test_f12_egress_opens_no_alias_and_the_alias_no_egress(lab, plan):
    inside = lab.serve(servers.echo, addr=plan.loopback)
    outside = lab.serve(servers.echo, port=inside.port)
    lab.serve_udp(addr=plan.loopback, port=inside.port)
    everything = lab.vm("allow any any", args=["--default", "allow"])
    everything.guest.sh(f"{plan.ip} route add {plan.alias} via {plan.gateway}")  # nobody says where it is
    assert try_tcp(everything, plan.peer, inside.port)
    assert not try_tcp(everything, plan.alias, inside.port) and not try_udp(everything, plan.alias, inside.port)
    for proto in ("tcp", "udp"):
        everything.weir.expect(ev="deny", proto=proto, dst=endpoint(plan.alias, inside.port), reason="deny.floor.host")
    assert everything.ask("host.weir.internal").addrs == []
    only_host = lab.vm(f"allow host any/{inside.port}")
    assert try_tcp(only_host, plan.alias, inside.port) and try_udp(only_host, plan.alias, inside.port)
    assert not try_tcp(only_host, plan.peer, inside.port)
    only_host.weir.expect(ev="deny", dst=endpoint(plan.peer, inside.port), reason="deny.default")
    assert (inside.accepted, outside.accepted) == (1, 1)


# ---- C13 ----

@pytest.mark.families("ipv4")
@pytest.mark.parametrize("rule,says", [
    ("", "rule"),
    ("allow", "target"),
    ("permit web.lab.example tcp/443", "permit"),
    ("allow web.lab.example tcp/70000", "70000"),
    ("allow web.lab.example tcp/10-5", "10-5"),
    ("allow *.com tcp/443", "*.com"),
    ("allow web..example tcp/443", "web..example"),
    ("allow 10.0.0.0/33 tcp", "10.0.0.0/33"),
    ("allow web.lab.example icmp/8", "icmp"),
    ("allow web.lab.example tcp/443 colour=red", "colour"),
    ("allow web.lab.example tcp/443 tag=a tag=b", "tag"),
    ("allow web.lab.example tcp/443 expires=tomorrow", "tomorrow"),
])
def test_c13_a_bad_rule_refuses_everything(lab, world, rule, says):
    path = f"{lab.fresh_directory()}/sock"
    done = world.ns.run([laboratory.WEIR, "run", "--link", f"stream,path={path}",
                         "--rule", "allow web.lab.example", "--rule", rule])
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and "ready" not in done.stderr
    check = world.ns.run([laboratory.WEIR, "check", "--rule", rule])
    assert check.returncode == 2, check.stderr


@pytest.mark.families("ipv4")
@pytest.mark.parametrize("arguments", [
    ["--link", "tap"], ["--link", "carrier-pigeon"], ["--link", "stream,path=/tmp/x,colour=red"],
    ["--group", "public=127.0.0.0/8"], ["--group", "public=169.254.169.254/32"], ["--default", "maybe"],
    ["--dns", "not-an-address"], ["--config", "/nonexistent"], ["--colour", "red"],
])
def test_c13_bad_usage_is_exit_2(world, arguments):
    done = world.ns.run([laboratory.WEIR, "run", *arguments])
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()


# ---- C15, H9: refusals ----

def test_c15_a_denied_syn_is_refused_within_10_ms(lab, plan):
    vm = lab.vm("deny public tcp tag=shut")
    took = []
    for port in range(7000, 7011):
        with undisturbed(vm.weir.process.pid):
            start = time.monotonic()
            assert not try_tcp(vm, plan.peer, port)
            took.append(time.monotonic() - start)
        vm.weir.expect(ev="deny", proto="tcp", dst=endpoint(plan.peer, port), reason="deny.rule", rule=1,
                       tag="shut", verdict="deny", stage="open", src=lambda s: s.startswith(endpoint(plan.guest, "")))
    assert statistics.median(took) < 0.010


def test_c15_repeats_become_one_record(lab, plan):
    vm = lab.vm(args=["-v"])
    for _ in range(5):
        assert not try_tcp(vm, plan.peer, 7000)
    vm.weir.stop()
    assert vm.weir.counter("flows.denied") == 5
    first, *rest = vm.weir.records(dst=endpoint(plan.peer, 7000))
    assert "repeat" not in first and [r["repeat"] for r in rest] == [4]


def test_c15_refusal_by_icmp_when_configured(lab, plan):
    vm = lab.vm(config={"policy": {"refuse": "icmp"}})
    with pytest.raises(OSError) as caught:
        vm.connect(plan.peer, 7000)
    assert caught.value.errno == plan.denied_errno
    vm.weir.expect(ev="deny", proto="tcp", reason="deny.default")


def test_h09_denied_udp_is_refused_by_icmp(lab, plan):
    vm = lab.vm()
    with undisturbed(vm.weir.process.pid):
        start = time.monotonic()
        assert not try_udp(vm, plan.peer, 7000)
        assert time.monotonic() - start < 0.050
    vm.weir.expect(ev="deny", proto="udp", reason="deny.default", dst=endpoint(plan.peer, 7000))


def test_c23_t78_quic_under_a_name_rule_is_refused_by_icmp(lab, plan):
    server = lab.serve_udp(plan.trap, 443)
    vm = lab.vm("allow trap.lab.example any")
    vm.resolve("trap.lab.example")
    assert not try_udp(vm, plan.trap, 443)
    vm.weir.expect(ev="deny", proto="udp", reason="quic.denied")
    assert server.seen == []
