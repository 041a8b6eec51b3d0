"""QUIC whose names are read (quic=inspect), with a client and a server people use: HTTP/3 of ngtcp2."""
import os
import re
import shutil
import socket

import pytest

import pattern
import servers
from plan import endpoint
from waiting import wait_until

CLIENT, SERVER = "gtlsclient", "gtlsserver"
GOOD, EVIL = "good.shared.example", "evil.shared.example"  # on one address
READ = f"allow {GOOD} udp/443 quic=inspect"
HERE = os.path.dirname(os.path.abspath(__file__))

pytestmark = pytest.mark.skipif(not (shutil.which(CLIENT) and shutil.which(SERVER)), reason=f"not installed: {CLIENT} {SERVER}")


class Http3:
    """A server of HTTP/3 at the address that two names share. Its log has every byte of every stream."""

    def __init__(self, lab, *options, port=443):
        self.ns, self.directory = lab.world.ns, lab.fresh_directory()
        self.log = f"{self.directory}/log"
        self.port = port
        argv = [SERVER, "--htdocs", self.directory, "--no-http-dump", *options, lab.plan.shared_trap, port, lab.world.key,
                lab.world.cert]
        program = servers.Program(self.ns, argv, self.log, self.listens)
        lab.stack.callback(program.close)

    def listens(self):
        return self.ns.sh(f"ss -Hlun sport = :{self.port}").strip() != ""

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def packets(self):
        return self.said().count("Received packet:")

    def body(self):
        """What the first request carried: its stream as the log dumps it, without the frames of RFC 9114 section 7."""
        stream, wanted = bytearray(), False
        for line in self.said().splitlines():
            dumped = re.match(r"[0-9a-f]{8}  ((?:[0-9a-f]{2} +){1,16})", line)
            if line.startswith("Ordered STREAM data"):
                wanted = line.endswith("stream_id=0x0")
            elif wanted and dumped:
                stream += bytes.fromhex(dumped.group(1))
            elif not re.match(r"[0-9a-f]{8}$", line):
                wanted = False
        return b"".join(data for kind, data in http3_frames(bytes(stream)) if kind == 0)


def varint(data, at):
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + size], "big") & (1 << 8 * size - 2) - 1, at + size


def http3_frames(stream):
    at = 0
    while at < len(stream):
        kind, at = varint(stream, at)
        size, at = varint(stream, at)
        yield kind, stream[at:at + size]
        at += size


def fetch(vm, name, *options, path="file", port=443):
    """A request of a client for `name`, which it finds in a hosts file of its own."""
    hosts = f"{os.path.dirname(vm.path)}/hosts"
    with open(hosts, "w", encoding="ascii") as file:
        file.write(f"{vm.plan.shared_trap} {name}\n")
    return vm.guest.run(["unshare", "--mount", "sh", "-ec", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "sh", hosts,
                         CLIENT, "--quiet", "--exit-on-all-streams-close", "--handshake-timeout=3s", *options, name, port,
                         f"https://{name}/{path}"])


def unreachables(vm):
    """How many ICMP errors of that kind the guest's kernel was sent."""
    if vm.plan.header == 40:
        return int(re.search(r"Icmp6InDestUnreachs\s+(\d+)", vm.guest.sh("cat /proc/net/snmp6")).group(1))
    names, values = re.findall(r"^Icmp: (.*)$", vm.guest.sh("cat /proc/net/snmp"), re.M)
    return int(dict(zip(names.split(), values.split()))["InDestUnreachs"])


def assert_told(vm, name, *options):
    """A client of `name`, who gives up soon, gets nothing but ICMP errors."""
    before = unreachables(vm)
    done = fetch(vm, name, *options, "--handshake-timeout=500ms")
    assert "HANDSHAKE_TIMEOUT" in done.stderr and unreachables(vm) > before, done


def both_names(vm):
    for name in (GOOD, EVIL):
        assert vm.resolve(name) == vm.plan.shared_trap


def chromium(n):
    """The n-th datagram of a browser whose hello takes two of them (tests/fixtures/quic_chromium.h)."""
    with open(f"{HERE}/../fixtures/quic_chromium.h", encoding="ascii") as file:
        rows = re.findall(r"\{([\d,\s]+)\}", file.read())
    return bytes(map(int, rows[n].replace("\n", " ").strip(" ,").split(",")))


@pytest.mark.parametrize("options", [(), ("--validate-addr",)], ids=["at-once", "retry"])
def test_c23_an_allowed_name_is_served_both_ways(lab, plan, options):
    """1 MiB each way; a server that asks for a second Initial (Retry) is served as well."""
    server, data = Http3(lab, *options), b"".join(pattern.blocks(pattern.MIB))
    vm = lab.vm(READ, f"allow {EVIL} tcp/443")
    both_names(vm)
    down, up = lab.fresh_directory(), f"{server.directory}/up"
    for path in (f"{server.directory}/file", up):
        with open(path, "wb") as file:
            file.write(data)
    done = fetch(vm, GOOD, f"--download={down}")
    assert done.returncode == 0, done.stderr
    with open(f"{down}/file", "rb") as file:
        assert file.read() == data
    assert server.body() == b""
    before = len(server.said())
    done = fetch(vm, GOOD, "--http-method=POST", f"--data={up}", path="nothing")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(server.said()) > before and server.body() == data, 10, "the whole body")
    vm.weir.stop()
    records = vm.weir.records(ev="close", proto="udp", sni=GOOD, name=GOOD, name_src="quic", verdict="allow",
                              alpn=lambda protocols: "h3" in protocols)
    assert len(records) == 2 and records[0]["down"] > pattern.MIB and records[1]["up"] > pattern.MIB, records
    assert vm.weir.records(ev="deny") == []


def test_c23_t78_a_denied_name_on_the_same_address_fails_at_once(lab, plan):
    server = Http3(lab)
    vm = lab.vm(READ, f"allow {EVIL} tcp/443")
    both_names(vm)
    assert_told(vm, EVIL)
    vm.weir.expect(ev="deny", proto="udp", sni=EVIL, name=EVIL, reason="name.mismatch", stage="bytes", repeat=None)
    assert server.packets() == 0


def test_c23_t78_without_the_word_it_is_refused(lab, plan):
    server = Http3(lab)
    vm = lab.vm(f"allow {GOOD} udp/443", f"allow {EVIL} tcp/443")
    both_names(vm)
    assert_told(vm, GOOD)
    vm.weir.expect(ev="deny", proto="udp", reason="quic.denied", stage="open", repeat=None)
    assert server.packets() == 0


def test_c23_g06_a_denied_name_under_a_default_that_allows(lab, plan):
    server = Http3(lab)
    vm = lab.vm(f"deny {EVIL} udp/443 quic=inspect", config={"policy": {"default": "allow"}})
    both_names(vm)
    assert fetch(vm, GOOD, path="nothing").returncode == 0
    seen = server.packets()
    assert_told(vm, EVIL)
    vm.weir.expect(ev="deny", proto="udp", sni=EVIL, reason="deny.rule", stage="bytes", repeat=None)
    assert server.packets() == seen


def test_t81_an_unknown_version_is_refused(lab, plan):
    server = Http3(lab)
    vm = lab.vm(READ)
    vm.resolve(GOOD)
    assert_told(vm, GOOD, "--version=0x0a1a2a3a")
    vm.weir.expect(ev="deny", proto="udp", reason="quic.version", stage="bytes", repeat=None)
    assert server.packets() == 0


def test_t82_a_browsers_hello_in_two_datagrams(lab, plan):
    """Nothing leaves and nothing is said before the second; the name in it is another one."""
    server = lab.serve_udp(plan.shared_trap, 443)
    vm = lab.vm(READ)
    vm.resolve(GOOD)
    with vm.udp(plan.shared_trap, 443) as sock:
        sock.send(chromium(0))
        sock.send(chromium(1))
        with pytest.raises(OSError) as told:
            sock.recv(10)
        assert told.value.errno == plan.denied_errno
    vm.weir.expect(ev="deny", proto="udp", sni="sandbox.example.com", reason="name.mismatch", stage="bytes", repeat=None)
    assert server.seen == []


def test_t82_half_a_hello_never_leaves(lab, plan):
    server = lab.serve_udp(plan.shared_trap, 443)
    vm = lab.vm(READ)
    vm.resolve(GOOD)
    with vm.udp(plan.shared_trap, 443) as sock:
        sock.send(chromium(0))
        vm.weir.expect(ev="deny", proto="udp", reason="quic.incomplete", stage="bytes")
    assert server.seen == []


def test_h11_t82_half_a_hello_passes_where_it_is_only_watched(lab, plan):
    """An audit changes nothing: what was held for a name goes on without one, and the guest is told of no error."""
    server = lab.serve_udp(plan.shared_trap, 443)
    vm = lab.vm(f"audit {GOOD} udp/443 quic=inspect", config={"policy": {"default": "allow"}})
    vm.resolve(GOOD)
    before = unreachables(vm)
    with vm.udp(plan.shared_trap, 443) as sock:
        sock.send(chromium(0))
        wait_until(lambda: server.seen, 10, "the datagram")
    assert unreachables(vm) == before
    vm.weir.stop()
    assert len(vm.weir.records(ev="close", proto="udp", dst=endpoint(plan.shared_trap, 443))) == 1
    assert vm.weir.records(ev="deny") == []


def test_t88_a_connection_that_moves_begins_anew(lab, plan):
    """From its new port the guest says no name."""
    server = Http3(lab)
    vm = lab.vm(READ)
    vm.resolve(GOOD)
    fetch(vm, GOOD, "--change-local-addr=50ms", "--nat-rebinding", "--delay-stream=300ms", "--timeout=1s")
    vm.weir.expect(ev="deny", proto="udp", reason="quic.noinitial", stage="bytes", repeat=None)
    assert len(set(re.findall(r"remote=\[\S+", server.said()))) == 1


def test_t90_half_hellos_are_bounded(lab, plan):
    """Beyond 1024 at once, more are refused; when their time is over, others have room."""
    server = Http3(lab)
    vm = lab.vm(f"allow {GOOD} udp/443,7000-7019 quic=inspect")
    vm.resolve(GOOD)
    first, before = chromium(0), vm.weir.fds()
    socks = [vm.socket(socket.SOCK_DGRAM) for _ in range(52)]
    for port in range(7000, 7020):
        for sock in socks:
            sock.sendto(first, (plan.shared_trap, port))
    for sock in socks:
        sock.close()
    vm.weir.expect(ev="deny", proto="udp", reason="limit.peek", repeat=None)
    wait_until(lambda: vm.weir.fds() <= before, 10, "end of all")
    assert fetch(vm, GOOD, path="nothing").returncode == 0
    assert server.packets() > 0
