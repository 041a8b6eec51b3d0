"""A decent guest: what its kernel and its clients say while they start is no drop (sim has the same, message by message)."""
import os
import socket
import struct
import subprocess

import pytest

import lab as laboratory
import plan as plans
from waiting import wait_until

# What says how much there was of something. Everything else is a drop, a refusal or a bound that was met.
NO_DROPS = {"frames.in", "frames.out", "group.report", "flows.opened", "dns.queries"}

UDHCPC_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface" && ip route add default via "$router" && touch "$OUT"
"""


def lease(vm, directory):
    """DHCP with a real client, which takes the address and the route."""
    script, bound = f"{directory}/script", f"{directory}/bound"
    with open(script, "w", encoding="ascii") as file:
        file.write(UDHCPC_SCRIPT)
    os.chmod(script, 0o755)
    done = vm.guest.run(["udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", script, "-t", "5", "-T", "1"], env={**os.environ, "OUT": bound})
    assert os.path.exists(bound), done.stdout + done.stderr


def listen_to_groups(vm):
    """A program joins a group of each family, which the kernel reports; and leaves them, which it reports, too."""
    with vm.guest.entered():
        device = socket.if_nametoindex("eth0")
    for family, group, level, option in ((socket.AF_INET, "239.1.2.3", socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP),
                                         (socket.AF_INET6, "ff05::1:3", socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP)):
        interface = struct.pack("@i", device) if family == socket.AF_INET6 else struct.pack("=4si", b"\0" * 4, device)
        with vm.guest.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(level, option, socket.inet_pton(family, group) + interface)


def lease6(vm, directory):
    """DHCPv6 with a real client; SLAAC's address is enough for the rest."""
    leases = f"{directory}/leases"
    client = vm.guest.popen(["dhclient", "-6", "-d", "-sf", "/bin/true", "-lf", leases, "-pf", f"{directory}/pid", "eth0"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(leases) and "iaaddr" in laboratory.read(leases), 15, "a lease of DHCPv6")
    finally:
        client.kill()
        client.wait()


@pytest.mark.parametrize("link", ["tap", "stream"])
def test_f15_a05_a14_a_start_without_a_drop(lab, plan, link):
    vm = lab.vm("allow web.lab.example tcp/80", link=link, addresses="auto", args=["-v"])
    device, directory = ["-I", "eth0"], lab.fresh_directory()
    wait_until(lambda: "default via" in vm.guest.sh("ip -6 route show default"), 10, "a router")
    wait_until(lambda: "tentative" not in vm.guest.sh("ip -6 addr show dev eth0"), 10, "addresses without a twin")
    lease6(vm, directory)
    vm.guest.run(["busybox", "arping", "-D", "-c", "1", "-w", "1", *device, plans.IPV4.guest])  # a probe (RFC 5227)
    lease(vm, directory)
    for how in ("-U", "-A"):  # announcements
        done = vm.guest.run(["busybox", "arping", how, "-c", "1", "-w", "1", *device, plans.IPV4.guest])
        assert "Sent 1 probe" in done.stdout, done
    listen_to_groups(vm)
    for gateway in (plans.IPV4.gateway, plans.IPV6.gateway):
        done = vm.guest.run(["ping", "-n", "-c", "1", "-W", "2", gateway])
        assert done.returncode == 0, done.stdout
    vm.connect(vm.resolve("web.lab.example"), 80).close()
    vm.weir.expect(ev="close", proto="tcp")
    vm.weir.stop()
    counters = vm.weir.counters()
    assert counters["group.report"] > 2 and counters["flows.opened"] == 1, counters
    assert not counters.keys() - NO_DROPS, counters
