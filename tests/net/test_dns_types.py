"""What guests ask that is no address, and how what is withheld is told."""
import errno
import ipaddress
import socket
import struct

import pytest

import dnsq
import servers
from plan import endpoint

FORGED, CACHED, BLOCKED, NOT_AUTHORITATIVE, NOT_SUPPORTED, NO_AUTHORITY, NETWORK = 4, 13, 15, 20, 21, 22, 23  # RFC 8914
MAIL = struct.pack(">H", 10) + dnsq.wire_name("peer.lab.example")
SIP = struct.pack(">HHH", 0, 0, 5060) + dnsq.wire_name("peer.lab.example")


def listing(*types):
    return {"dns": {"types": [*types]}}


def test_d11_t113_listed_types_go_upstream(lab, plan):
    """Names in them come in full, and addresses that stand beside them are none of the answer: nothing is pinned."""
    vm = lab.vm("allow lab.example any", "allow .lab.example tcp/443", config=listing("MX", "SRV", "TXT"))
    mail = vm.ask("lab.example", dnsq.MX)
    assert (mail.rcode, mail.records, mail.addrs, mail.ede) == (dnsq.NOERROR, [(dnsq.MX, MAIL)], [], None)
    assert vm.ask("_sip._tcp.lab.example", dnsq.SRV).records == [(dnsq.SRV, SIP)]
    assert vm.ask("web.lab.example", dnsq.TXT).records == [(dnsq.TXT, b"\x12secret-of-the-zone")]
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.peer, 443)
    vm.weir.expect(ev="deny", dst=endpoint(plan.peer, 443), reason="name.unpinned")


def test_d10_listed_types_are_cached(lab, world):
    vm = lab.vm("allow lab.example any", config=listing("MX"))
    before = world.upstream_queries("lab.example")
    assert [vm.ask("lab.example", dnsq.MX).records for _ in range(3)] == [[(dnsq.MX, MAIL)]] * 3
    assert world.upstream_queries("lab.example") == before + 1


@pytest.mark.parametrize("kind", [dnsq.TXT, dnsq.MX, dnsq.CAA, dnsq.CNAME, 10, 35, 48, 4711])
def test_t113_other_types_are_withheld(lab, world, kind):
    vm = lab.vm("allow .lab.example any", config=listing("SRV"))
    before = world.upstream_queries("lab.example")
    answer = vm.ask("lab.example", kind)
    assert (answer.rcode, answer.records, answer.ede) == (dnsq.NOERROR, [], FORGED)
    assert vm.ask("web.lab.example", kind, edns=False).ede is None
    assert world.upstream_queries("lab.example") == before
    vm.weir.expect(ev="dns", name="lab.example", reason="dns.type", verdict="deny")


@pytest.mark.parametrize("rules", [["allow lab.example any"], ["--default", "allow"]])
@pytest.mark.parametrize("kind", [dnsq.ANY, dnsq.AXFR, dnsq.IXFR])
def test_t113_transfers_and_any_are_refused(lab, plan, world, rules, kind):
    args = rules if rules[0].startswith("--") else ["--rule", *rules]
    vm = lab.vm(args=args)
    before = world.upstream_queries("lab.example")
    for name in ("lab.example", "gateway.weir.internal"):
        answer = vm.ask(name, kind)
        assert (answer.rcode, answer.records, answer.ede) == (dnsq.REFUSED, [], NOT_SUPPORTED)
        assert dnsq.ask_tcp(vm.guest, plan.gateway, name, kind).rcode == dnsq.REFUSED
    assert world.upstream_queries("lab.example") == before


def test_d11_t113_types_pass_under_default_allow(lab):
    vm = lab.vm(args=["--default", "allow"])
    assert vm.ask("web.lab.example", dnsq.TXT).records == [(dnsq.TXT, b"\x12secret-of-the-zone")]
    assert vm.ask("lab.example", dnsq.CAA).records == [(dnsq.CAA, b"\0\5issueca.example")]
    assert vm.ask("lab.example", dnsq.MX).records == [(dnsq.MX, MAIL)]


def test_d11_a_floor_that_denies_withholds_types(lab, world):
    """Default allow means every layer's default."""
    vm = lab.vm(args=["--default", "allow"], config={"floor": {"rules": ["allow lab.example any"]}})
    before = world.upstream_queries("lab.example")
    assert vm.ask("lab.example", dnsq.MX).records == []
    assert world.upstream_queries("lab.example") == before


def test_t91_https_records_under_default_deny(lab, world):
    """There are none, and nobody is told of a denial: every browser asks."""
    vm = lab.vm("allow web.lab.example any", config=listing("TXT"))
    before = world.upstream_queries("web.lab.example")
    for kind in (dnsq.HTTPS, dnsq.SVCB):
        answer = vm.ask("web.lab.example", kind)
        assert (answer.rcode, answer.records, answer.ede) == (dnsq.NOERROR, [], FORGED)
    assert world.upstream_queries("web.lab.example") == before
    vm.ask("denied.example")
    vm.weir.expect(ev="dns", name="denied.example")
    assert vm.weir.records(reason="dns.type") == []


def test_t91_https_records_under_default_allow(lab):
    """Without ech and addresses."""
    vm = lab.vm(args=["--default", "allow"])
    for _ in range(2):  # from upstream, then from the cache
        answer = vm.ask("web.lab.example", dnsq.HTTPS)
        assert (answer.records, answer.ede) == ([(dnsq.HTTPS, servers.HTTPS_RECORD_TOLD)], FORGED)


def record(kind, data, name=b"\xc0\x0c"):
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def scripted(lab, plan, *records, rcode=0):
    """An upstream with one answer to everything; what `records` returns may depend on the question."""
    def script(data, peer):
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(records), 0, 0)
        return head + data[12:data.index(b"\0", 12) + 5] + b"".join(records)

    return lab.serve_udp(plan.silent_resolver, 53, script=script)


def test_t91_a_record_that_needs_ech_is_none(lab, plan):
    needs = b"\0\1\0" b"\0\0\0\2\0\5" b"\0\5\0\3ech"
    scripted(lab, plan, record(dnsq.HTTPS, needs))
    vm = lab.vm(args=["--default", "allow", "--dns", plan.silent_resolver])
    answer = vm.ask("x.lab.example", dnsq.HTTPS)
    assert (answer.rcode, answer.records, answer.ede) == (dnsq.NOERROR, [], FORGED)


@pytest.mark.parametrize("records,why", [
    ([record(dnsq.MX, b"\0\1\xc0\x2a")], "a name that points to itself"),
    ([record(dnsq.MX, b"\0\1\1a\0x")], "a byte too many"),
    ([record(dnsq.CNAME, dnsq.wire_name("b.example")), record(dnsq.CNAME, b"\xc0\x0c", dnsq.wire_name("b.example"))], "a loop"),
    ([record(dnsq.MX, struct.pack(">HB", n, 0)) for n in range(257)], "too many"),
])
def test_d11_t105_t111_answers_that_cannot_be_read(lab, plan, records, why):
    scripted(lab, plan, *records)
    vm = lab.vm("allow lab.example any", config=listing("MX"), args=["--dns", plan.silent_resolver])
    answer = dnsq.ask_tcp(vm.guest, plan.gateway, "lab.example", dnsq.MX)
    assert (answer.rcode, answer.records, answer.ede) == (dnsq.SERVFAIL, [], NETWORK), why


# ---- how it is told ----

def test_d04_t94_which_error_it_was(lab, plan):
    """Codes of RFC 8914, to those who sent OPT."""
    silent = lab.serve_udp(plan.silent_resolver, 53, script=lambda data, peer: None)
    vm = lab.vm("allow .lab.example any", args=["--dns", plan.silent_resolver])
    assert vm.ask("denied.example").ede == BLOCKED
    answers = [vm.ask("a.lab.example") for _ in range(2)]
    assert [(a.rcode, a.ede) for a in answers] == [(dnsq.SERVFAIL, NO_AUTHORITY), (dnsq.SERVFAIL, CACHED)]
    assert vm.ask("a.lab.example", edns=False).ede is None
    silent.close()
    assert vm.ask("b.lab.example").ede == NO_AUTHORITY  # nobody listens any more
    scripted(lab, plan, rcode=dnsq.SERVFAIL)
    assert vm.ask("c.lab.example").ede == NETWORK


def test_t101_an_answer_with_something_cut_out_says_so(lab, plan):
    vm = lab.vm("allow .lab.example any")
    assert [vm.ask(name).ede for name in ("mixed.lab.example", "rebind.lab.example", "web.lab.example")] == [FORGED, FORGED, None]


def test_t99_the_canary_of_browsers_is_no_name(lab, world):
    vm = lab.vm("allow any", args=["--default", "allow"])
    answer = vm.ask("use-application-dns.net")
    assert (answer.rcode, answer.ede) == (dnsq.NXDOMAIN, BLOCKED)
    assert world.upstream_queries("use-application-dns.net") == 0


def test_t112_questions_that_are_refused(lab, world):
    vm = lab.vm(args=["--default", "allow"])
    before = world.upstream_queries("peer.lab.example")
    assert [(a.rcode, a.ede) for a in (
        vm.ask("peer.lab.example", flags=0),
        vm.ask("peer.lab.example", klass=3),
        vm.ask("peer.lab.example", klass=255),
        vm.ask("peer.lab.example", flags=dnsq.RD | 4 << 11),
    )] == [(dnsq.REFUSED, NOT_AUTHORITATIVE), (dnsq.REFUSED, NOT_SUPPORTED), (dnsq.REFUSED, NOT_SUPPORTED), (dnsq.NOTIMP, None)]
    assert world.upstream_queries("peer.lab.example") == before


@pytest.mark.parametrize("label", [b"a.web", b"a\0web", b"a web", b"a\\web", b"a\xffweb"])
def test_t115_bytes_that_text_could_not_tell(lab, label):
    vm = lab.vm(args=["--default", "allow"])
    answer = vm.ask([label, b"lab", b"example"])
    assert (answer.rcode, answer.ede) == (dnsq.NXDOMAIN, BLOCKED)
    vm.weir.expect(ev="dns", reason="name.invalid")


def test_t121_dnssec_bits_are_taken_and_not_claimed(lab, plan):
    vm = lab.vm("allow web.lab.example any")
    answer = vm.ask("web.lab.example", flags=dnsq.RD | dnsq.AD | dnsq.CD, dnssec=True)
    assert answer.addrs == [plan.web] and len(answer.records) == 1
    assert answer.flags & (dnsq.AD | dnsq.CD) == dnsq.CD
    assert answer.raw.endswith(struct.pack(">BHHHHH", 0, dnsq.OPT, 1232, 0, 0x8000, 0))


def reverse(addr):
    if ":" not in addr:
        return ".".join(reversed(addr.split("."))) + ".in-addr.arpa"
    packed = ipaddress.ip_address(addr).exploded.replace(":", "")
    return ".".join(reversed(packed)) + ".ip6.arpa"


@pytest.mark.parametrize("default", ["deny", "allow"])
def test_t122_reverse_names_are_told_from_pins_alone(lab, plan, world, default):
    vm = lab.vm("allow web.lab.example any", "allow .in-addr.arpa any force=yes", "allow .ip6.arpa any force=yes", args=["--default", default])
    assert vm.ask(reverse(plan.web), dnsq.PTR).rcode == dnsq.NXDOMAIN
    vm.resolve("web.lab.example")
    assert vm.ask(reverse(plan.web), dnsq.PTR).records == [(dnsq.PTR, dnsq.wire_name("web.lab.example"))]
    assert vm.ask(reverse(plan.peer), dnsq.PTR).rcode == dnsq.NXDOMAIN
    assert [world.upstream_queries(reverse(addr)) for addr in (plan.web, plan.peer)] == [0, 0]


def test_t123_search_lists_lead_nowhere(lab, plan, world):
    """glibc asks with each suffix first when a name has few dots: none of that leaves."""
    vm = lab.vm("allow web.lab.example any")
    done = vm.guest.run(["dig", f"@{plan.gateway}", "+search", "+ndots=5", "+short", "+domain=corp.example", "web.lab.example",
                         plan.record_name])
    assert done.returncode == 0, done.stderr
    assert world.upstream_queries("web.lab.example.corp.example") == 0
    vm.weir.expect(ev="dns", name="web.lab.example.corp.example", reason="dns.denied")


# ---- who may say what a name's address is ----

def test_t107_what_a_guest_says_pins_nothing(lab, plan):
    """An answer of its own making, to the gateway's port and from it, under each port that could matter."""
    server = lab.serve(servers.swallow, plan.peer, 443)
    vm = lab.vm("allow web.lab.example tcp/443")
    packed = socket.inet_pton(plan.family, plan.peer)
    forged = struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0) + dnsq.wire_name("web.lab.example")
    forged += struct.pack(">HH", plan.record, 1) + record(plan.record, packed)
    for server_addr in (plan.gateway, plan.foreign_resolver):
        with vm.socket(socket.SOCK_DGRAM) as sock:
            sock.bind((plan.any, 53))
            sock.connect((server_addr, 53))
            sock.send(forged)
    assert vm.resolve("web.lab.example") == plan.web  # behind the forged ones
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.peer, 443)
    vm.weir.expect(ev="deny", dst=endpoint(plan.peer, 443), reason="name.unpinned")
    assert server.accepted == 0


def test_t100_an_address_learned_elsewhere_is_not_pinned(lab, plan):
    """As if DNS over HTTPS on an allowed host had told it: the right address of an allowed name, and yet refused."""
    vm = lab.vm("allow web.lab.example tcp/443")
    with pytest.raises(OSError) as refused:
        vm.connect(plan.web, 443)
    assert refused.value.errno == errno.ECONNREFUSED
    vm.weir.expect(ev="deny", dst=endpoint(plan.web, 443), reason="name.unpinned")


def test_t98_dns_over_quic_is_refused(lab, plan):
    server = lab.serve_udp(plan.foreign_resolver, 853)
    vm = lab.vm("allow public udp", "allow public udp/1-65535")
    with vm.udp(plan.foreign_resolver, 853) as sock:
        sock.setsockopt(plan.level, plan.recverr, 1)
        sock.send(b"hello")
        with pytest.raises(OSError) as refused:
            sock.recv(100)
    assert refused.value.errno == plan.denied_errno
    vm.weir.expect(ev="deny", dst=endpoint(plan.foreign_resolver, 853), reason="dns.bypass")
    assert server.seen == []
