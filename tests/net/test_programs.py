"""Programs people use over UDP and ICMP, unchanged."""
import json
import os
import socket
import struct
import subprocess

import pytest

import pattern
import servers
from plan import endpoint
from waiting import wait_until


def start(lab, argv, ready, log_name="program"):
    """A server program in the world, until the test ends."""
    log = f"{lab.fresh_directory()}/{log_name}"
    program = servers.Program(lab.world.ns, argv, log, lambda: ready in open(log, encoding="utf-8").read())
    lab.stack.callback(program.close)
    return program


@pytest.mark.parametrize("direction", [[], ["-R"]], ids=["up", "down"])
def test_f01_iperf3_over_udp(lab, plan, direction):
    start(lab, ["iperf3", "-s", "-B", plan.peer, "-p", "5202", "--forceflush"], "listening")
    vm = lab.vm(f"allow {plan.peer} any")
    done = vm.guest.run(["iperf3", "-c", plan.peer, "-p", "5202", "-u", "-b", "20M", "-t", "1", "-J", *direction], timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    end = json.loads(done.stdout)["end"]["sum"]
    assert end["packets"] > 1000 and end["lost_percent"] < 2, end


# ---- STUN (RFC 8489) ----

MAGIC, XOR_MAPPED_ADDRESS = 0x2112A442, 0x0020


def stun_response(data, peer):
    kind, _, magic = struct.unpack(">HHI", data[:8])
    assert (kind, magic) == (1, MAGIC)
    v6 = ":" in peer[0]
    addr = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, peer[0])
    key = data[4:20]  # the cookie and the transaction's id
    value = struct.pack(">BBH", 0, 2 if v6 else 1, peer[1] ^ MAGIC >> 16) + bytes(a ^ k for a, k in zip(addr, key))
    attribute = struct.pack(">HH", XOR_MAPPED_ADDRESS, len(value)) + value
    return struct.pack(">HH", 0x0101, len(attribute)) + key + attribute


def stun_mapped(plan, sock, server):
    """Ask a STUN server who we are."""
    request = struct.pack(">HHI", 1, 0, MAGIC) + os.urandom(12)
    sock.sendto(request, (server.addr, server.port))
    answer = sock.recv(1000)
    assert answer[:2] == b"\1\1" and answer[4:20] == request[4:20]
    port, = struct.unpack(">H", answer[26:28])
    size = 16 if plan.header == 40 else 4
    addr = bytes(a ^ k for a, k in zip(answer[28:28 + size], answer[4:20]))
    return socket.inet_ntop(plan.family, addr), port ^ MAGIC >> 16


def test_f02_stun_finds_one_mapping_and_peers_that_were_written_to_get_through(lab, plan, world):
    """Endpoint-independent mapping (RFC 4787 section 4.1): what STUN says is where a peer's packets arrive."""
    one, two = lab.serve_udp(script=stun_response), lab.serve_udp(plan.peer2, script=stun_response)
    friend = lab.serve_udp(plan.trap, script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.peer2} udp", f"allow {plan.trap} udp")
    with vm.socket(socket.SOCK_DGRAM) as sock:
        mapped = stun_mapped(plan, sock, one)
        assert mapped[0] == plan.source and stun_mapped(plan, sock, two) == mapped
        sock.sendto(b"punch", (friend.addr, friend.port))
        wait_until(lambda: friend.seen)
        assert friend.seen[0][0][:2] == mapped
        friend.sock.sendto(b"through", mapped)
        assert sock.recv(10) == b"through"


# ---- TFTP (RFC 1350) ----

RRQ, DATA, ACKNOWLEDGE = 1, 3, 4
BLOCK = 512


def tftp_script(content):
    """A server that answers from the port it was asked at: from another one, which the RFC has it choose, its packets
    would be those of a stranger."""
    def script(data, _):
        kind, block = struct.unpack(">HH", data[:4])
        if kind == RRQ:
            block = 0
        elif kind != ACKNOWLEDGE or block * BLOCK > len(content):
            return None
        return struct.pack(">HH", DATA, block + 1) + content[block * BLOCK:(block + 1) * BLOCK]
    return script


def test_f01_tftp(lab, plan):
    content = b"".join(pattern.blocks(300_000))
    lab.serve_udp(plan.trap, 69, script=tftp_script(content))
    vm = lab.vm(f"allow {plan.trap} udp/69")
    got = f"{lab.fresh_directory()}/got"
    done = vm.guest.run(["busybox", "tftp", "-g", "-r", "image", "-l", got, plan.trap])
    assert done.returncode == 0, done.stdout + done.stderr
    with open(got, "rb") as file:
        assert file.read() == content


# ---- WireGuard ----

def wireguard_key():
    private = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
    public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, check=True).stdout
    return private, public.decode().strip()


def wireguard_up(lab, ns, name, key, addr, *settings):
    """wireguard-go's device in a namespace: the kernel's module may be missing."""
    process = ns.popen(["wireguard-go", "-f", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "WG_PROCESS_FOREGROUND": "1"})

    def end():
        process.terminate()
        process.wait()
    lab.stack.callback(end)
    wait_until(lambda: os.path.exists(f"/var/run/wireguard/{name}.sock") and process.poll() is None, 10, name)
    path = f"{lab.fresh_directory()}/key"
    with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(key)
    done = ns.run(["wg", "set", name, "private-key", path, *settings])
    assert done.returncode == 0, done.stderr
    ns.sh(f"ip addr add {addr}/24 dev {name}; ip link set {name} up mtu 1380")


def test_f01_wireguard_through_weir(lab, plan, world):
    """A tunnel whose packets are weir's UDP flow: a transfer and a ping inside it."""
    mine, theirs = wireguard_key(), wireguard_key()
    names = [f"wgw{os.getpid() % 100000}", f"wgg{os.getpid() % 100000}"]
    wireguard_up(lab, world.ns, names[0], theirs[0], "10.99.0.1", "listen-port", "51820",
                 "peer", mine[1], "allowed-ips", "10.99.0.2/32")
    vm = lab.vm(f"allow {plan.peer} udp/51820")
    wireguard_up(lab, vm.guest, names[1], mine[0], "10.99.0.2", "peer", theirs[1], "allowed-ips", "10.99.0.1/32",
                 "endpoint", endpoint(plan.peer, 51820))
    done = vm.guest.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "3", "10.99.0.1"])
    assert done.returncode == 0, done.stdout
    server = lab.serve(pattern.receive, addr="10.99.0.1")
    with vm.guest.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(20)
        sock.connect((server.addr, server.port))
        pattern.send(sock, pattern.MIB)
        sock.shutdown(socket.SHUT_WR)
        assert server.result() == pattern.digest_of(pattern.MIB)
