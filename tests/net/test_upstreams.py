"""The resolver between guests and upstreams that are real programs, come and go, lie, or are slow."""
import os
import socket
import struct
import time

import pytest

import dnsq
import servers
from waiting import wait_until

UNHURRIED = {"limits": {"dns_qps": 10000}}  # for tests that ask until something changes


@pytest.fixture(params=["dnsmasq", "unbound"])
def program(request):
    return {"dnsmasq": servers.start_dnsmasq, "unbound": servers.start_unbound}[request.param]


def asked(upstream, name):
    """How often a server that is a program was asked for a name; both log every question."""
    with open(upstream.log, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    return sum(("query[" in line and f" {name} from " in line) or f" {name}. " in line for line in lines)


def answer_to(plan, query, addr, ttl=60):
    packed = socket.inet_pton(plan.family, addr)
    question = query[12:query.index(b"\0", 12) + 5]
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
    return head + question + struct.pack(">HHHIH", 0xC00C, plan.record, 1, ttl, len(packed)) + packed


# ---- programs ----

def test_d01_d02_d10_through_a_real_resolver(lab, plan, program):
    """Addresses, an alias, a name that is none, a type that is none, what needs TCP; each asked once however often."""
    upstream = lab.start(program, plan.silent_resolver)
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    for _ in range(3):
        assert vm.ask("web.lab.example").addrs == [plan.web]
        assert vm.ask("alias.lab.example").addrs == [plan.peer]
        assert vm.ask("none.lab.example").rcode == dnsq.NXDOMAIN
        nothing = vm.ask("web.lab.example", plan.other_record)
        assert (nothing.rcode, nothing.addrs) == (dnsq.NOERROR, [])
        assert len(dnsq.ask_tcp(vm.guest, plan.gateway, "many.lab.example", plan.record).addrs) == 64
    assert [asked(upstream, f"{name}.lab.example") for name in ("alias", "none", "web", "many")] == [1, 1, 2, 2]


def test_d11_t91_types_through_a_real_resolver(lab, plan, program):
    lab.start(program, plan.silent_resolver)
    vm = lab.vm(args=["--default", "allow", "--dns", plan.silent_resolver])
    mail = struct.pack(">H", 10) + dnsq.wire_name("peer.lab.example")
    assert vm.ask("lab.example", dnsq.MX).records == [(dnsq.MX, mail)]
    assert vm.ask("web.lab.example", dnsq.TXT).records == [(dnsq.TXT, b"\x12secret-of-the-zone")]
    assert vm.ask("web.lab.example", dnsq.HTTPS).records == [(dnsq.HTTPS, servers.HTTPS_RECORD_TOLD)]


def test_h08_d07_a_resolver_is_restarted(lab, plan, program):
    """Gone for a moment, nobody notices; gone for longer, the next name is found as soon as it is back."""
    upstream = lab.start(program, plan.silent_resolver)
    vm = lab.vm("allow .lab.example any", "allow .cdn.example any", args=["--dns", plan.silent_resolver])
    assert vm.ask("web.lab.example").addrs == [plan.web]
    upstream.close()
    assert vm.ask("web.lab.example").addrs == [plan.web]  # kept
    assert vm.ask("peer.lab.example").rcode == dnsq.SERVFAIL
    lab.start(program, plan.silent_resolver)
    assert vm.ask("trap.lab.example").addrs == [plan.trap]
    assert vm.ask("one.cdn.example").addrs == [plan.cdn]


# ---- resolv.conf ----

@pytest.fixture
def etc(scratch, request):
    """A directory for weir to see as /etc, and how to replace the resolvers in it."""
    path = f"{scratch}/etc-{request.node.name.replace('/', '_')}"
    os.mkdir(path)

    def write(*addrs, text=None):
        with open(f"{path}/new", "w", encoding="ascii") as file:
            file.write(text if text is not None else "".join(f"nameserver {addr}\n" for addr in addrs))
        os.rename(f"{path}/new", f"{path}/resolv.conf")

    write.path = path
    return write


def system(**more):
    return {"dns": {"upstream": ["system"]}, **UNHURRIED, **more}


def test_d08_h08_resolv_conf_is_replaced(lab, plan, etc):
    """The new resolvers are asked within 2 s, and what the old ones said is forgotten."""
    first = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: answer_to(plan, data, plan.web, ttl=3600))
    lab.serve_udp(plan.foreign_resolver, 53, script=lambda data, peer: answer_to(plan, data, plan.peer, ttl=3600))
    etc(plan.silent_resolver)
    vm = lab.vm("allow .lab.example any", config=system(), etc=etc.path)
    assert vm.ask("x.lab.example").addrs == [plan.web]
    etc(plan.foreign_resolver)
    start = time.monotonic()
    wait_until(lambda: vm.ask("x.lab.example").addrs == [plan.peer], 5, "an answer of the new resolver")
    assert time.monotonic() - start <= 2
    assert len(first.seen) == 1
    with open(f"{etc.path}/resolv.conf", "w", encoding="ascii") as file:  # in place
        file.write(f"search lab.example\nnameserver {plan.silent_resolver}\n")
    wait_until(lambda: vm.ask("x.lab.example").addrs == [plan.web], 2, "an answer of the first one again")


@pytest.mark.parametrize("text", ["", "search lab.example\n", "nameserver nowhere\n", None])
def test_d08_a_resolv_conf_without_resolvers_changes_nothing(lab, plan, etc, text):
    """Half-written, empty or gone: the resolvers known last stay, and no other is made up."""
    seen = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: answer_to(plan, data, plan.web)).seen
    etc(plan.silent_resolver)
    vm = lab.vm("allow .lab.example any", config=system(), etc=etc.path)
    assert vm.ask("n0.lab.example").addrs == [plan.web]
    if text is None:
        os.unlink(f"{etc.path}/resolv.conf")
    else:
        etc(text=text)
    start, n = time.monotonic(), 0
    while time.monotonic() - start < 2.1:  # longer than it may take to be noticed
        n += 1
        assert vm.ask(f"n{n % 90}.lab.example").addrs == [plan.web]
    assert len(seen) == min(n + 1, 90)


def test_d08_a_late_answer_of_the_old_resolver_is_not_kept(lab, plan, etc):
    """It is told to whoever asked then, and to nobody else."""
    def is_held(query):
        return query[13:14] == b"x"

    old = lab.serve_udp(plan.silent_resolver, 53,
                        script=lambda data, peer: None if is_held(data) else answer_to(plan, data, plan.web))
    lab.serve_udp(plan.foreign_resolver, 53, script=lambda data, peer: answer_to(plan, data, plan.peer))
    etc(plan.silent_resolver)
    vm = lab.vm("allow .lab.example any", config=system(), etc=etc.path)
    with vm.udp(plan.gateway, 53) as waiting:
        waiting.send(dnsq.query_bytes("x.lab.example", plan.record))
        wait_until(lambda: old.seen, what="the question at the old resolver")
        etc(plan.foreign_resolver)
        wait_until(lambda: vm.ask("y.lab.example").addrs == [plan.peer], 2, "an answer of the new resolver")
        peer, query = [item for item in old.seen if is_held(item[1])][-1]
        old.sock.sendto(answer_to(plan, query, plan.web), peer)
        assert dnsq.parse(waiting.recv(4096)).addrs == [plan.web]
    assert vm.ask("x.lab.example").addrs == [plan.peer]


# ---- lies, and faults ----

def swap_case(answer):
    answer[13:] = answer[13:].replace(b"web", b"wEb", 1)


def flip_id(answer):
    answer[1] ^= 1


def other_question(answer):
    answer[13:] = answer[13:].replace(b"web", b"wab", 1)


def other_type(answer):
    at = answer.index(b"\0", 12)
    answer[at + 2] ^= 1


LIES = {"id": flip_id, "case": swap_case, "question": other_question, "type": other_type, "port": None, "address": None}


@pytest.mark.parametrize("lie", LIES)
def test_d09_t108_a_liar_beside_an_honest_resolver(lab, plan, program, lie):
    """Each lie is there before the truth; it says an address of its own, which nobody may hear of."""
    lab.start(program, plan.foreign_resolver)
    other_port = lab.serve_udp(plan.silent_resolver)
    other_addr = lab.serve_udp(plan.peer2)
    false = plan.numbered % 66

    def script(query, peer):
        forged = bytearray(answer_to(plan, query, false))
        if LIES[lie]:
            LIES[lie](forged)
        sender = {"port": other_port, "address": other_addr}.get(lie, liar)
        sender.sock.sendto(forged, peer)
        with lab.world.ns.socket(plan.family, socket.SOCK_DGRAM) as honest:
            honest.settimeout(5)
            honest.connect((plan.foreign_resolver, 53))
            honest.send(query)
            return honest.recv(65535)

    liar = lab.serve_udp(plan.silent_resolver, 53, script=script)
    vm = lab.vm("allow web.lab.example tcp/443", args=["--dns", plan.silent_resolver])
    assert vm.ask("web.lab.example").addrs == [plan.web]
    with pytest.raises(ConnectionRefusedError):
        vm.connect(false, 443)
    assert len(liar.seen) == 1


def truncated(data):
    return data[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + data[12:data.index(b"\0", 12) + 5]


def test_h08_t109_an_upstream_closes_its_tcp(lab, plan):
    """Says "ask over TCP", closes the first connection, answers on the second."""
    def script(conn):
        if server.accepted == 1:
            return
        query = dnsq.receive_exactly(conn, int.from_bytes(dnsq.receive_exactly(conn, 2), "big"))
        answer = answer_to(plan, query, plan.web)
        for byte in len(answer).to_bytes(2, "big") + answer:
            conn.sendall(bytes([byte]))

    lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: truncated(data))
    server = lab.serve(script, plan.silent_resolver, 53)
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    assert vm.ask("x.lab.example").addrs == [plan.web]
    assert server.accepted == 2


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\0", b"\xff\xff", b"\0\x0c" + bytes(12)])
def test_t109_an_upstream_that_talks_nonsense_over_tcp(lab, plan, said):
    """The next one is asked."""
    def script(conn):
        conn.recv(512)
        conn.sendall(said)

    lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: truncated(data))
    lab.serve(script, plan.silent_resolver, 53)
    vm = lab.vm("allow web.lab.example any", args=["--dns", plan.silent_resolver, "--dns", plan.resolver])
    start = time.monotonic()
    assert vm.ask("web.lab.example").addrs == [plan.web]
    assert time.monotonic() - start <= 2.5


def test_t104_t101_an_answer_that_turns_inward(lab, plan):
    """Public at first, then loopback, TTL 0: what was told stays what is dialled, the second is not told."""
    rotation = [plan.peer, plan.loopback]
    upstream = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: answer_to(
        plan, data, rotation[min(len(upstream.seen) - 1, 1)], ttl=0))
    server = lab.serve(servers.echo)
    vm = lab.vm("allow x.lab.example any", args=["--dns", plan.silent_resolver], config=UNHURRIED)
    assert vm.ask("x.lab.example").addrs == [plan.peer]
    wait_until(lambda: vm.ask("x.lab.example").addrs == [], 10, "the second answer, when the first is no longer kept")
    vm.weir.expect(ev="dns", name="x.lab.example", reason="dns.rebind", repeat=None)
    assert len(upstream.seen) == 2
    with vm.connect(plan.peer, server.port) as sock:  # within the pin's grace (H7)
        sock.sendall(b"\0opaque")
        assert dnsq.receive_exactly(sock, 7) == b"\0opaque"


def test_h07_rotating_answers(lab, plan):
    """TTL 0 and another address each time: every one that was told can be used."""
    addrs = [plan.peer, plan.peer2]
    upstream = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: answer_to(
        plan, data, addrs[(len(upstream.seen) - 1) % 2], ttl=0))
    ports = {addr: lab.serve(servers.echo, addr).port for addr in addrs}
    vm = lab.vm("allow x.lab.example any", args=["--dns", plan.silent_resolver], config=UNHURRIED)
    for addr in addrs:  # each is kept for 5 s
        wait_until(lambda wanted=addr: vm.ask("x.lab.example").addrs == [wanted], 10, f"{addr} in an answer")
    for addr in addrs:
        with vm.connect(addr, ports[addr]) as sock:
            sock.sendall(b"\0opaque")
            assert dnsq.receive_exactly(sock, 7) == b"\0opaque"


# ---- many questions ----

def test_d05_t95_names_under_a_wildcard_are_counted(lab, plan):
    """A hundred of them; the next is told so, and nothing of it leaves. Those asked before, and exact names, go on."""
    upstream = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: answer_to(plan, data, plan.web))
    vm = lab.vm("allow *.lab.example any", "allow exact.example any", args=["--dns", plan.silent_resolver], config=UNHURRIED)
    for n in range(100):
        assert vm.ask(f"n{n}.lab.example").addrs == [plan.web]
    answer = vm.ask("n100.lab.example")
    assert (answer.rcode, answer.ede) == (dnsq.NXDOMAIN, 15)
    vm.weir.expect(ev="dns", name="n100.lab.example", reason="dns.budget")
    assert vm.ask("n7.lab.example").addrs == vm.ask("exact.example").addrs == [plan.web]
    assert len(upstream.seen) == 101



def test_t117_equal_questions_go_up_once(lab, plan):
    """However many ask meanwhile, over UDP and TCP; all of them are answered."""
    upstream = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: None)
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    queries = [dnsq.query_bytes("x.lab.example", plan.record, ident=n) for n in range(60)]
    with vm.udp(plan.gateway, 53) as udp, vm.connect(plan.gateway, 53) as tcp:
        for query in queries[:50]:
            udp.send(query)
        tcp.sendall(b"".join(len(q).to_bytes(2, "big") + q for q in queries[50:]))
        wait_until(lambda: upstream.seen, what="the question upstream")
        vm.ask("gateway.weir.internal")  # behind all of those over UDP
        peer, query = upstream.seen[0]
        upstream.sock.sendto(answer_to(plan, query, plan.web), peer)
        answers = [udp.recv(4096) for _ in range(50)]
        answers += [dnsq.receive_exactly(tcp, int.from_bytes(dnsq.receive_exactly(tcp, 2), "big")) for _ in range(10)]
    assert sorted(answer[:2] for answer in answers) == sorted(query[:2] for query in queries)
    assert {addr for answer in answers for addr in dnsq.parse(answer).addrs} == {plan.web}
    assert len(upstream.seen) == 1


def test_t117_a_flood_is_cut(lab, plan, world):
    """limits.dns_qps: four seconds' worth at once, and then as they come; the rest is told so, and recorded once."""
    vm = lab.vm("allow web.lab.example any", config={"limits": {"dns_qps": 5}})
    before = world.upstream_queries("web.lab.example")
    with vm.udp(plan.gateway, 53) as sock:
        start = time.monotonic()
        for n in range(40):
            sock.send(dnsq.query_bytes("web.lab.example", plan.record, ident=n))
        rcodes = [dnsq.parse(sock.recv(4096)).rcode for _ in range(40)]
        took = time.monotonic() - start
    answered = rcodes.count(dnsq.NOERROR)
    assert 20 <= answered <= 21 + 5 * took
    assert rcodes.count(dnsq.SERVFAIL) == 40 - answered
    assert world.upstream_queries("web.lab.example") == before + 1
    vm.weir.expect(ev="dns", reason="limit.dns", repeat=None)
