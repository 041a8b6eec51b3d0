"""dns mode fake-ip: every name has an address of its own, and flows there go by that name."""
import ipaddress

import pytest

import servers
from plan import endpoint

POOLS = [ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd77:6569:7265:6661::/64")]
FAKE = ["--dns-mode", "fake-ip"]


def resolve(vm, name):
    """What a guest is told, twice the same."""
    told = vm.resolve(name)
    assert any(ipaddress.ip_address(told) in pool for pool in POOLS)
    assert vm.ask(name).addrs == [told]
    return told


def fetch(vm, scheme, name):
    port = {"http": 80, "https": 443}[scheme]
    told = resolve(vm, name)
    pinned = f"{name}:{port}:{f'[{told}]' if ':' in told else told}"
    return vm.curl("--resolve", pinned, "-o", "/dev/null", "-w", "%{http_code}", f"{scheme}://{name}/")


@pytest.mark.parametrize("scheme,port", [("http", 80), ("https", 443)])
def test_d13_curl_reaches_a_name_by_its_fake_address(lab, plan, scheme, port):
    vm = lab.vm("allow web.lab.example tcp/80,443", args=FAKE)
    done = fetch(vm, scheme, "web.lab.example")
    assert done.stdout == "200", done
    vm.weir.expect(ev="close", reason="ok.rule", name="web.lab.example", peer=endpoint(plan.web, port))


def test_d13_one_of_two_names_on_one_address_by_whatever_protocol(lab, plan):
    """Where real addresses would be ambiguous, the dialled one says which name is meant: a greeting is not waited for."""
    def script(conn):
        conn.sendall(b"hello\r\n")
        return servers.swallow(conn)

    lab.serve(script, plan.shared_trap, 2222)
    vm = lab.vm("allow good.shared.example tcp/2222", "allow evil.shared.example tcp/80", args=FAKE)
    good, evil = resolve(vm, "good.shared.example"), resolve(vm, "evil.shared.example")
    assert good != evil
    with vm.connect(good, 2222) as sock:
        assert sock.recv(100) == b"hello\r\n"
    with pytest.raises(ConnectionRefusedError):
        vm.connect(evil, 2222)
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.shared_trap, 2222)  # that address is nobody's, as far as this guest knows
    vm.weir.expect(ev="deny", stage="open", name="evil.shared.example", dst=endpoint(evil, 2222))
    vm.weir.expect(ev="deny", stage="open", reason="name.unpinned", dst=endpoint(plan.shared_trap, 2222))


def test_d13_datagrams_to_a_fake_address(lab, plan):
    server = lab.serve_udp(plan.trap, 9000)
    vm = lab.vm("allow trap.lab.example udp/9000", args=FAKE)
    with vm.udp(resolve(vm, "trap.lab.example"), 9000) as sock:
        for n in range(20):
            sock.send(b"%d" % n)
            assert sock.recv(100) == b"%d" % n
    assert len({peer for peer, _ in server.seen}) == 1


def test_t101_a_fake_address_leads_nowhere_private(lab, plan):
    vm = lab.vm("allow .lab.example", args=FAKE)
    assert vm.ask("rebind.lab.example").addrs == []
    vm.weir.expect(ev="dns", reason="dns.rebind", name="rebind.lab.example")


def test_d13_a_name_keeps_its_address_over_a_restart(lab):
    def told(key):
        vm = lab.vm(config={"dns": {"mode": "fake-ip", "key": key}, "policy": {"rules": ["allow .lab.example"]}})
        return resolve(vm, "web.lab.example")

    key = f"{lab.fresh_directory()}/key"
    first = told(key)
    assert told(key) == first
    assert told(f"{key}2") != first
