"""SIGHUP: the file is read again; what it says now holds for live flows, and a broken one changes nothing."""
import json
import signal

import pytest

import servers
from waiting import wait_until


def rewrite(vm, config):
    with open(f"{vm.weir.directory}/config.yaml", "w", encoding="utf-8") as file:
        file.write(config if isinstance(config, str) else json.dumps(config))
    said = len(vm.weir.stderr())
    vm.weir.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(word in vm.weir.stderr()[said:] for word in ("read again", "in force stays")), 5, "an answer")
    return vm.weir.stderr()[said:]


def policy(*rules, **more):
    return {"policy": {"rules": list(rules)}, **more}


def test_c14_h10_rules_are_swapped_and_live_flows_judged_again(lab, plan):
    """One rule goes, one stays, one comes: the flow of the first is reset with policy.revoked, the second's goes on."""
    one, two = lab.serve(servers.echo), lab.serve(servers.echo, addr=plan.peer2)
    vm = lab.vm(config=policy(f"allow {plan.peer} tcp/{one.port}", f"allow {plan.peer2} tcp/{two.port}"))
    with vm.connect(one.addr, one.port) as revoked, vm.connect(two.addr, two.port) as kept:
        for sock in (revoked, kept):
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        said = rewrite(vm, policy(f"allow {plan.peer2} tcp/{two.port}"))
        assert "1 rules, 1 live flows were ended" in said
        with pytest.raises(ConnectionResetError):
            revoked.recv(1)
        kept.sendall(b"y")
        assert kept.recv(1) == b"y"
        with pytest.raises(ConnectionRefusedError):
            vm.connect(one.addr, one.port)
        vm.weir.expect(ev="close", reason="policy.revoked", close="policy")
        rewrite(vm, policy(f"allow {plan.peer} tcp/{one.port}", f"allow {plan.peer2} tcp/{two.port}"))
        vm.connect(one.addr, one.port).close()


def test_h10_quic_that_was_not_read_cannot_be_read_from_now_on(lab, plan):
    """A flow to QUIC's port was open when a name came to be denied there: nobody knows what it said."""
    server, other = lab.serve_udp(port=443), lab.serve_udp(plan.peer2, port=4430)
    deny = {"policy": {"default": "allow", "rules": ["deny evil.example udp/443 quic=inspect"]}}
    vm = lab.vm(config={"policy": {"default": "allow"}})
    with vm.udp(plan.peer, server.port) as quic, vm.udp(plan.peer2, other.port) as kept:
        for sock in (quic, kept):
            sock.send(b"x")
            assert sock.recv(10) == b"x"
        assert "1 rules, 1 live flows were ended" in rewrite(vm, deny)
        kept.send(b"y")
        assert kept.recv(10) == b"y"
    vm.weir.expect(ev="close", proto="udp", reason="policy.revoked")


@pytest.mark.parametrize("text,where", [
    ("policy: {rules: ['alow any']}", "1:19"),
    ("policy: [", "config.yaml"),
    ("polcy: {}", "1:1"),
])
def test_h10_c13_a_broken_file_changes_nothing_and_says_why(lab, plan, text, where):
    server = lab.serve(servers.echo)
    vm = lab.vm(config=policy(f"allow {plan.peer} tcp/{server.port}"))
    with vm.connect(server.addr, server.port) as sock:
        said = rewrite(vm, text)
        assert where in said and "the configuration in force stays" in said
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    vm.connect(server.addr, server.port).close()


def test_h10_limits_hold_for_what_lives(lab, plan):
    """An idle limit that was not there ends a flow that is open; what needs a new start is named."""
    server = lab.serve(servers.echo)
    rule = f"allow {plan.peer} tcp/{server.port}"
    vm = lab.vm(config=policy(rule))
    with vm.connect(server.addr, server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        said = rewrite(vm, policy(rule, limits={"idle": "1s", "flows": 99}, network={"mtu": 1400}))
        assert "limits.flows is another now: that takes effect at the next start" in said
        assert "network is another now" in said
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    vm.weir.expect(ev="close", close="idle")
