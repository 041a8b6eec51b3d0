"""The gateway's resolver, asked by real clients and by hand, with a real upstream."""
import socket
import struct
import time

import pytest

import dnsq
import servers
from plan import endpoint
from waiting import wait_until


def dig(vm, *arguments, server=None):
    done = vm.guest.run(["dig", f"@{server or vm.plan.gateway}", "+tries=1", "+time=5", *arguments, vm.plan.record_name])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- D1, D2 ----

def test_d01_real_clients_get_answers(lab, plan):
    vm = lab.vm("allow web.lab.example tcp/443", "allow alias.lab.example tcp/443")
    assert dig(vm, "+short", "web.lab.example") == f"{plan.web}\n"
    assert plan.peer in dig(vm, "+short", "alias.lab.example")
    done = vm.guest.run(["busybox", "nslookup", "web.lab.example", plan.gateway])
    assert plan.web in done.stdout, done.stdout + done.stderr
    assert dig(vm, "+short", "+tcp", "web.lab.example") == f"{plan.web}\n"


def test_d01_answers_are_weirs_own(lab, plan):
    """AA and AD clear, RA set, nothing in Authority or Additional but OPT, the question as it was asked."""
    vm = lab.vm("allow web.lab.example tcp/443")
    answer = vm.ask("wEb.LaB.example")
    flags = int.from_bytes(answer.raw[2:4], "big")
    assert flags & 0x8000 and flags & 0x0080 and not flags & 0x0420
    assert b"\3wEb\3LaB\7example\0" in answer.raw
    assert answer.addrs == [plan.web] and 0 < answer.ttls[0] <= 300


def test_d02_a_long_answer_is_truncated_and_asked_again_over_tcp(lab, plan):
    """40 addresses: more than 512 bytes, less than weir's own 1232."""
    vm = lab.vm("allow few.lab.example any")
    assert vm.ask("few.lab.example", edns=False).truncated
    assert len(vm.ask("few.lab.example").addrs) == 40
    assert len(dig(vm, "+short", "+noedns", "few.lab.example").split()) == 40  # dig goes to TCP on its own


def test_d02_t109_a_truncated_upstream_answer_is_fetched_over_tcp(lab, plan):
    """80 addresses do not fit 1232 bytes between weir and its upstream; 64 are what weir takes."""
    vm = lab.vm("allow many.lab.example any")
    answer = dnsq.ask_tcp(vm.guest, plan.gateway, "many.lab.example", plan.record)
    assert (answer.rcode, len(answer.addrs)) == (dnsq.NOERROR, 64)


def test_d02_t97_tcp_queries_in_pieces_and_in_one_segment(lab, plan):
    vm = lab.vm("allow web.lab.example any", "allow peer.lab.example any")
    queries = [dnsq.query_bytes(name, plan.record) for name in ("web.lab.example", "peer.lab.example") * 4]
    stream = b"".join(len(q).to_bytes(2, "big") + q for q in queries)
    with vm.connect(plan.gateway, 53) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in stream[:70]:
            sock.sendall(bytes([byte]))
        sock.sendall(stream[70:])
        answers = {}
        for _ in queries:
            raw = dnsq.receive_exactly(sock, int.from_bytes(dnsq.receive_exactly(sock, 2), "big"))
            answers[raw[:2]] = dnsq.parse(raw)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert [answers[q[:2]].addrs for q in queries] == [[plan.web], [plan.peer]] * 4


# ---- D3 ----

def test_d03_t96_every_resolver_is_weirs(lab, plan):
    """weir answers a query to any resolver, with that resolver's address; the resolver hears nothing."""
    udp = lab.serve_udp(plan.foreign_resolver, 53)
    tcp = lab.serve(servers.swallow, plan.foreign_resolver, 53)
    vm = lab.vm("allow web.lab.example tcp/443")
    answer = vm.ask("web.lab.example", server=plan.foreign_resolver)
    assert (answer.addrs, answer.source) == ([plan.web], plan.foreign_resolver)
    assert dnsq.ask_tcp(vm.guest, plan.foreign_resolver, "web.lab.example", plan.record).addrs == [plan.web]
    assert vm.ask("secret.elsewhere.example", server=plan.foreign_resolver).rcode == dnsq.NXDOMAIN
    assert udp.seen == [] and tcp.accepted == 0


def test_d03_t98_dns_over_tls_is_refused(lab, plan):
    server = lab.serve(servers.swallow, plan.foreign_resolver, 853)
    vm = lab.vm("allow public tcp/443")
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.foreign_resolver, 853)
    vm.weir.expect(ev="deny", dst=endpoint(plan.foreign_resolver, 853))
    assert server.accepted == 0


def test_d03_a_rule_by_address_opens_that_resolver(lab, plan):
    """Port 53 elsewhere is reached only by an address rule that lists 53."""
    server = lab.serve_udp(plan.foreign_resolver, 53, script=lambda data, peer: None)
    vm = lab.vm(f"allow {plan.foreign_resolver} udp/53")
    with vm.udp(plan.foreign_resolver, 53) as sock:
        sock.send(dnsq.query_bytes("secret.elsewhere.example"))
        wait_until(lambda: server.seen, what="the query at the resolver the rule names")


# ---- D4 ----

def test_d04_t94_a_name_off_the_list_never_goes_upstream(lab, plan, world):
    vm = lab.vm("allow web.lab.example tcp/443", "allow .cdn.example tcp/443")
    off_list = ("secret.elsewhere.example", "web.lab.example.evil.example")
    before = [world.upstream_queries(name) for name in off_list]
    said = dig(vm, "secret.elsewhere.example")
    assert "status: NXDOMAIN" in said and "EDE: 15" in said and "SOA" in said, said
    assert "EDE" not in dig(vm, "+noedns", "web.lab.example.evil.example")
    for kind in (plan.other_record, dnsq.TXT, 255):
        assert vm.ask("secret.elsewhere.example", kind).rcode == dnsq.NXDOMAIN
    assert vm.resolve("one.cdn.example") == plan.cdn  # upstream works, and this came after the others
    assert [world.upstream_queries(name) for name in off_list] == before
    vm.weir.expect(ev="dns", name="web.lab.example.evil.example", reason="dns.denied")


def test_d04_t113_other_types_of_an_allowed_name_are_empty(lab, plan, world):
    vm = lab.vm("allow web.lab.example tcp/443")
    for kind in (dnsq.TXT, 64, 65):
        answer = vm.ask("web.lab.example", kind)
        assert answer.rcode in (dnsq.NOERROR, dnsq.REFUSED) and b"secret-of-the-zone" not in answer.raw


def test_h09_a_denied_name_leaves_one_record(lab, plan):
    vm = lab.vm("allow web.lab.example tcp/443")
    assert vm.ask("secret.elsewhere.example").rcode == dnsq.NXDOMAIN
    vm.weir.expect(ev="dns", name="secret.elsewhere.example", reason="dns.denied", verdict="deny")


# ---- D6 ----

def test_d06_static_names(lab, plan, world):
    vm = lab.vm("allow public any", config={"dns": {"hosts": {"db.static.example": plan.peer}}})
    before = world.upstream_queries("db.static.example")
    assert vm.ask("db.static.example").addrs == [plan.peer]
    nodata = vm.ask("db.static.example", plan.other_record)
    assert (nodata.rcode, nodata.addrs) == (dnsq.NOERROR, [])
    assert world.upstream_queries("db.static.example") == before


# ---- D7, D9 ----

def test_d07_a_dead_first_upstream(lab, plan):
    silent = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: None)
    vm = lab.vm("allow web.lab.example tcp/443", args=["--dns", plan.silent_resolver, "--dns", plan.resolver])
    start = time.monotonic()
    assert vm.resolve("web.lab.example") == plan.web
    assert time.monotonic() - start <= 2.5
    assert silent.seen


def test_d07_all_upstreams_dead(lab, plan):
    lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: None)
    vm = lab.vm("allow web.lab.example tcp/443", args=["--dns", plan.silent_resolver])
    start = time.monotonic()
    answer = vm.ask("web.lab.example")
    assert answer.rcode == dnsq.SERVFAIL
    assert time.monotonic() - start <= 3.0


def test_d07_a_closed_upstream_port_is_passed_over_at_once(lab, plan):
    vm = lab.vm("allow web.lab.example tcp/443", args=["--dns", plan.silent_resolver, "--dns", plan.resolver])
    assert vm.resolve("web.lab.example") == plan.web


def forged(plan, data, mutate=lambda answer: None, addr=None):
    """An answer to a query that says number 66, or something wrong."""
    end = data.index(b"\0", 12) + 5
    addr = socket.inet_pton(plan.family, addr or plan.numbered % 66)
    answer = bytearray(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end])
    answer += struct.pack(">HHHIH", 0xC00C, plan.record, 1, 60, len(addr)) + addr
    mutate(answer)
    return bytes(answer)


def test_h08_an_upstream_that_comes_back(lab, plan):
    """Its port closed, all is SERVFAIL; open again, the next name is found."""
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    assert vm.ask("one.lab.example").rcode == dnsq.SERVFAIL
    lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: forged(plan, data))
    assert vm.ask("two.lab.example").addrs == [plan.numbered % 66]


def test_d09_t108_answers_to_other_questions_are_ignored(lab, plan):
    """Wrong id, wrong question, no response bit: each sent before the true answer, none believed."""
    def flip_id(answer):
        answer[0] ^= 0xFF

    def other_name(answer):
        answer[13] ^= 1

    def no_response(answer):
        answer[2] &= 0x7F

    def script(data, peer):
        for mutate in (flip_id, other_name, no_response):
            server.sock.sendto(forged(plan, data, mutate), peer)
        return forged(plan, data, addr=plan.web)

    server = lab.serve_udp(plan.silent_resolver, 53, script=script)
    vm = lab.vm("allow web.lab.example tcp/443", args=["--dns", plan.silent_resolver])
    assert vm.ask("web.lab.example").addrs == [plan.web]


def test_d09_ports_and_ids_differ(lab, plan):
    def script(data, peer):
        return forged(plan, data)

    server = lab.serve_udp(plan.silent_resolver, 53, script=script)
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    for n in range(32):
        assert vm.ask(f"n{n}.lab.example").addrs == [plan.numbered % 66]
    ports = {peer[1] for peer, _ in server.seen}
    ids = {data[:2] for _, data in server.seen}
    assert len(ports) >= 28 and len(ids) >= 30
    numbers = [int.from_bytes(data[:2], "big") for _, data in server.seen]
    assert len({b - a for a, b in zip(numbers, numbers[1:])}) > 16, "ids have a constant step"


def test_t97_a_bad_length_ends_a_session_whose_questions_wait(lab, plan):
    """The session dies of the bad length while the first of its equal questions is being answered."""
    vm = lab.vm("allow web.lab.example tcp/443")
    query = dnsq.query_bytes("web.lab.example", plan.record)
    with vm.connect(plan.gateway, 53) as sock:
        sock.sendall((len(query).to_bytes(2, "big") + query) * 16 + b"\0\1x")
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert vm.ask("web.lab.example").addrs == [plan.web]


def test_t60_answers_nobody_reads_are_bounded(lab, plan):
    """A guest that asks over TCP and reads no answer is not asked to stop, only not listened to."""
    vm = lab.vm("allow web.lab.example tcp/443")
    query = dnsq.query_bytes("web.lab.example", plan.record)
    with vm.connect(plan.gateway, 53) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(2)
        with pytest.raises(TimeoutError):
            while True:
                sock.sendall((len(query).to_bytes(2, "big") + query) * 1000)
    assert vm.ask("web.lab.example").addrs == [plan.web]
