"""Recipes of docs/policy.md at work."""
import os
import re
import subprocess
import sys

import pytest

import servers
from plan import endpoint, in_url

POLICY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/policy.md")


def learned(log):
    """The rules that the document's own lines make of a log, and their counts."""
    with open(POLICY, encoding="utf-8") as file:
        code = re.search(r"^    python3 -c '\n(.*?)^    ' <", file.read(), re.M | re.S).group(1)
    with open(log, encoding="utf-8") as file:
        done = subprocess.run([sys.executable, "-c", re.sub("^    ", "", code, flags=re.M)], stdin=file, capture_output=True,
                              text=True, timeout=10, check=True)
    found = dict(re.match(r"    - (.*)  # (\d+)$", line).groups() for line in done.stdout.splitlines())
    return {rule: int(count) for rule, count in found.items()}


def work(vm, plan, echo, datagrams):
    """TLS and HTTP by name, something by address, a datagram, a ping."""
    addr = vm.resolve("web.lab.example")
    for _ in range(2):
        done = vm.curl("--resolve", f"web.lab.example:443:{in_url(addr)}", "https://web.lab.example/")
        assert done.returncode == 0, done
    assert vm.curl("--resolve", f"web.lab.example:80:{in_url(addr)}", "http://web.lab.example/").returncode == 0
    with vm.connect(echo.addr, echo.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    with vm.udp(plan.peer2, datagrams.port) as sock:
        sock.send(b"x")
        assert sock.recv(1) == b"x"
    assert vm.guest.run(["ping", "-n", "-c", "1", "-W", "3", plan.peer2]).returncode == 0


def test_h11_learn_then_lock(lab, plan):
    echo, datagrams = lab.serve(servers.echo, addr=plan.peer2), lab.serve_udp(addr=plan.peer2)
    vm = lab.vm("audit .lab.example", "audit any")
    work(vm, plan, echo, datagrams)
    vm.weir.stop()
    rules = learned(vm.weir.log_path)
    assert rules == {
        "allow web.lab.example tcp/443": 2, "allow web.lab.example tcp/80": 1, f"allow {plan.peer2} tcp/{echo.port}": 1,
        f"allow {plan.peer2} udp/{datagrams.port}": 1, f"allow {plan.peer2} icmp": 1,
    }
    locked = lab.vm(*rules)
    work(locked, plan, echo, datagrams)
    with pytest.raises(ConnectionRefusedError):
        locked.connect(plan.peer, echo.port)
    locked.weir.expect(ev="deny", dst=endpoint(plan.peer, echo.port), reason="deny.default")
    assert locked.weir.records(would="deny") == []
