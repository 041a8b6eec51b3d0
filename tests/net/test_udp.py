"""UDP flows: echo, mapping, expiry, bounds, fragments."""
import errno
import socket

import pytest

import pattern
from plan import endpoint
from waiting import wait_until


def test_f01_echo_idle_expiry_and_after_it(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "1s"}})
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"one")
        assert sock.recv(10) == b"one"
        vm.weir.expect(ev="close", proto="udp", close="idle", up=3, down=3, dst=endpoint(plan.peer, server.port))
        sock.send(b"again")
        assert sock.recv(10) == b"again"
        vm.weir.expect(ev="close", proto="udp", close="idle", up=5, down=5)


def test_f01_a_thousand_flows(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "2s"}})
    before = vm.weir.fds()
    socks = [vm.udp(plan.peer, server.port) for _ in range(1000)]
    for sock in socks:
        sock.send(b"x")
        assert sock.recv(10) == b"x"
    assert vm.weir.fds() <= before + 1000
    for sock in socks:
        sock.close()
    wait_until(lambda: vm.weir.fds() == before, 10, "expiry of all")
    assert len({peer for peer, _ in server.seen}) == 1000


def test_f01_flows_are_bounded(lab, plan):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"flows": 200}})
    before, answered, refused = vm.weir.fds(), 0, 0
    socks = [vm.udp(plan.peer, server.port) for _ in range(300)]
    for sock in socks:
        sock.send(b"x")
        try:
            answered += sock.recv(10) == b"x"
        except OSError as error:
            assert error.errno == plan.denied_errno
            refused += 1
    assert (answered, refused) == (200, 100)
    assert vm.weir.fds() <= before + 200
    for sock in socks:
        sock.close()
    vm.weir.expect(ev="deny", proto="udp", reason="limit.flows", repeat=None)


def test_f02_t93_one_host_port_for_two_servers(lab, plan):
    one, two = lab.serve_udp(), lab.serve_udp(plan.peer2)
    stranger = lab.world.ns.socket(plan.family, socket.SOCK_DGRAM)
    stranger.bind((plan.peer2, 0))
    vm = lab.vm(f"allow {plan.peer} udp", f"allow {plan.peer2} udp")
    with vm.socket(socket.SOCK_DGRAM) as sock:
        sock.sendto(b"a", (plan.peer, one.port))
        assert sock.recvfrom(10) == (b"a", (plan.peer, one.port))
        mapped = one.seen[0][0]
        # Judged and allowed, but the guest never wrote there: these must not pass.
        stranger.sendto(b"uninvited", mapped)
        two.sock.sendto(b"uninvited", mapped)
        sock.sendto(b"b", (plan.peer2, two.port))
        assert sock.recvfrom(10) == (b"b", (plan.peer2, two.port))
        assert two.seen[0][0] == mapped
        two.sock.sendto(b"invited", mapped)
        assert sock.recvfrom(10) == (b"invited", (plan.peer2, two.port))
    stranger.close()


def test_h15_a_flow_that_only_receives_lives_on(lab, plan):
    """The guest wrote once; the server goes on for three times the idle time."""
    server = lab.serve_udp(script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", config={"limits": {"udp_idle": "1s"}})
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(b"start")
        wait_until(lambda: server.seen)
        sock.settimeout(0.4)
        for n in range(8):
            server.sock.sendto(bytes([n]), server.seen[0][0])
            assert sock.recv(10) == bytes([n])
            with pytest.raises(TimeoutError):
                sock.recv(10)  # 0.4 s of silence
    assert vm.weir.records(ev="close") == []
    vm.weir.expect(ev="close", proto="udp", close="idle", up=5, down=8)


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 8000, 60 * 1024, 65507])
@pytest.mark.parametrize("link", ["tap", "stream"])
def test_a09_a10_datagrams_of_every_size(lab, plan, link, size):
    server = lab.serve_udp()
    vm = lab.vm(f"allow {plan.peer} udp/{server.port}", link=link)
    data = b"".join(pattern.blocks(size))
    with vm.udp(plan.peer, server.port) as sock:
        sock.send(data)
        assert sock.recv(65536) == data
    assert server.seen[0][1] == data
