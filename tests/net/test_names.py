"""Flows decided by name: TLS server names, HTTP hosts, pins, and what is refused before a byte leaves."""
import socket
import ssl
import subprocess
import time

import pytest

import servers
import tls
from plan import endpoint

SILENCE_S = 3  # the peek budget
once = pytest.mark.families("ipv4")  # a long wait, the same in every family


def read_to_end(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def http(host, path="/"):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def shared(lab, plan):
    """A trap whose address has two names: only one may be used with TLS, only the other with HTTP."""
    made = {port: lab.serve(servers.swallow, plan.shared_trap, port) for port in (80, 443)}
    vm = lab.vm("allow good.shared.example tcp/443", "allow evil.shared.example tcp/80")
    vm.resolve("good.shared.example")
    vm.resolve("evil.shared.example")
    vm.traps = made
    return vm


def refused_by_alert(sock):
    """The whole answer is the alert, then FIN."""
    answer = read_to_end(sock)
    return answer[:2] == b"\x15\3" and answer[3:] == b"\0\2" + tls.ALERT_ACCESS_DENIED


def saw_nothing(server):
    """The one connection that came ended without a byte."""
    result = server.result()
    return result == b"" or isinstance(result, ConnectionResetError)


# ---- C9 ----

@pytest.mark.parametrize("said", ["evil.example", "peer.lab.example", "sub.trap.lab.example",
                                  "trap.lab.example.evil.example"])
def test_c09_t03_another_name_on_a_pinned_address(lab, plan, said):
    server = lab.serve(servers.swallow, plan.trap, 443)
    vm = lab.vm("allow trap.lab.example tcp/443", "allow peer.lab.example tcp/443")
    vm.resolve("trap.lab.example")
    with vm.connect(plan.trap, 443) as sock:
        sock.sendall(tls.client_hello(said))
        assert refused_by_alert(sock)
    vm.weir.expect(ev="deny", reason="name.mismatch", stage="bytes", sni=said, dst=endpoint(plan.trap, 443))
    assert saw_nothing(server)


@pytest.mark.parametrize("said,reason", [
    ("evil.shared.example", "name.mismatch"), ("evil.example", "name.mismatch"), (None, "name.missing")])
def test_c09_a_shared_address_gets_no_syn_for_a_wrong_name(shared, plan, said, reason):
    with shared.connect(plan.shared_trap, 443) as sock:
        sock.sendall(tls.client_hello(said))
        assert refused_by_alert(sock)
    shared.weir.expect(ev="deny", reason=reason, stage="bytes")
    assert shared.traps[443].accepted == 0


def test_c09_g08_the_hello_arrives_byte_for_byte_however_it_was_cut(shared, plan):
    hello = tls.client_hello("good.shared.example")
    for cut in (1, 5, 6, 43, len(hello) // 2, len(hello) - 1):
        with shared.connect(plan.shared_trap, 443) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(hello[:cut])
            sock.sendall(hello[cut:] + b"and more")
            sock.shutdown(socket.SHUT_WR)
            assert shared.traps[443].result() == hello + b"and more"
    shared.weir.expect(ev="close", verdict="allow", name="good.shared.example", name_src="sni", count=6)


@once
def test_c09_t50_half_a_hello_is_not_silence_and_not_opaque(shared, plan):
    with shared.connect(plan.shared_trap, 443) as sock:
        sock.sendall(tls.client_hello("good.shared.example")[:40])
        start = time.monotonic()
        read_to_end_or_reset(sock)
        assert SILENCE_S - 0.5 < time.monotonic() - start < SILENCE_S + 1
    shared.weir.expect(ev="deny", reason="peek.timeout")
    assert shared.traps[443].accepted == 0


def read_to_end_or_reset(sock):
    try:
        return read_to_end(sock)
    except ConnectionResetError:
        return None


# ---- C10 ----

@once
def test_c10_silence_on_an_ambiguous_address_is_refused(shared, plan):
    with shared.connect(plan.shared_trap, 443) as sock:
        start = time.monotonic()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert SILENCE_S - 0.5 < time.monotonic() - start < SILENCE_S + 1
    shared.weir.expect(ev="deny", reason="name.ambiguous")
    assert shared.traps[443].accepted == 0


@pytest.mark.parametrize("bytes_said", [b"SSH-2.0-client\r\n", bytes(range(64))], ids=["ssh", "binary"])
def test_c10_bytes_without_a_name_are_judged_at_once(shared, plan, bytes_said):
    with shared.connect(plan.shared_trap, 443) as sock:
        start = time.monotonic()
        sock.sendall(bytes_said)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert time.monotonic() - start < 0.5
    shared.weir.expect(ev="deny", reason=lambda r: r in ("name.ambiguous", "proto.unknown"))
    assert shared.traps[443].accepted == 0


def test_c10_t61_plain_http_is_judged_by_host(shared, plan):
    request = http("evil.shared.example")
    with shared.connect(plan.shared_trap, 80) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        assert shared.traps[80].result() == request
    shared.weir.expect(ev="close", verdict="allow", name="evil.shared.example", name_src="host")
    seen = shared.traps[80].accepted
    for host in ("good.shared.example", "elsewhere.example"):
        with shared.connect(plan.shared_trap, 80) as sock:
            sock.sendall(http(host))
            answer = read_to_end(sock)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403 ") and b"\r\nX-Egress-Reason: name.mismatch" in head
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
        shared.weir.expect(ev="deny", reason="name.mismatch", host=host)
    assert shared.traps[80].accepted == seen


@pytest.mark.parametrize("request_bytes,reason", [
    (b"GET / HTTP/1.0\r\n\r\n", "name.missing"),                                                        # T64
    (b"GET http://elsewhere.example/ HTTP/1.1\r\nHost: evil.shared.example\r\n\r\n", "host.mismatch"),  # T62
    (b"GET / HTTP/1.1\r\nHost: evil.shared.example\r\nHost: evil.shared.example\r\n\r\n", "http.malformed"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "proto.unknown"),                                             # T67
], ids=["no host", "two authorities", "two hosts", "h2c"])
def test_c10_t62_t64_t67_http_that_cannot_be_judged(shared, plan, request_bytes, reason):
    with shared.connect(plan.shared_trap, 80) as sock:
        sock.sendall(request_bytes)
        read_to_end_or_reset(sock)
    shared.weir.expect(ev="deny", reason=reason)
    assert shared.traps[80].accepted == 0


def test_c10_h05_a_greeting_first_and_a_wrong_name_after_it(lab, plan):
    """The server's bytes come at once; the guest's first ones are judged all the same, and RST is what is left."""
    def script(conn):
        conn.sendall(b"hello\r\n")
        return servers.swallow(conn)

    server = lab.serve(script, plan.trap)
    vm = lab.vm(f"allow trap.lab.example tcp/{server.port}")
    vm.resolve("trap.lab.example")
    with vm.connect(plan.trap, server.port) as sock:
        assert sock.recv(100) == b"hello\r\n"
        sock.sendall(tls.client_hello("evil.example"))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert isinstance(server.result(), ConnectionResetError), "the server saw bytes, or an orderly end"
    vm.weir.expect(ev="deny", reason="name.mismatch", sni="evil.example")


# ---- C11, C12 ----

def test_c11_t01_an_address_without_a_name(lab, plan):
    server = lab.serve(servers.swallow, plan.trap, 443)
    vm = lab.vm("allow trap.lab.example tcp/443")
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.trap, 443)
    vm.weir.expect(ev="deny", reason="name.unpinned", stage="open", dst=endpoint(plan.trap, 443), repeat=None)
    done = vm.curl("--resolve", f"trap.lab.example:443:{plan.trap}", "https://trap.lab.example/")
    assert done.returncode == 7, done  # could not connect
    assert server.accepted == 0


def test_c12_two_names_on_one_address_with_real_programs(lab, plan, world):
    vm = lab.vm("allow one.cdn.example tcp/443", "allow two.cdn.example tcp/80")
    vm.resolve("one.cdn.example")
    vm.resolve("two.cdn.example")

    def fetch(url, name, port):
        return vm.curl("--resolve", f"{name}:{port}:{plan.cdn}", url)

    good = fetch("https://one.cdn.example/", "one.cdn.example", 443)
    assert good.stdout == "host=one.cdn.example sni=one.cdn.example\n", good
    bad = fetch("https://two.cdn.example/", "two.cdn.example", 443)
    assert bad.returncode == 35 and "access denied" in bad.stderr, bad  # CURLE_SSL_CONNECT_ERROR
    plain = fetch("http://two.cdn.example/", "two.cdn.example", 80)
    assert plain.stdout == "host=two.cdn.example sni=\n", plain
    forbidden = fetch("http://one.cdn.example/", "one.cdn.example", 80)
    assert "refused by network policy" in forbidden.stdout, forbidden
    vm.weir.expect(ev="close", verdict="allow", name="one.cdn.example", name_src="sni", sni="one.cdn.example")
    vm.weir.expect(ev="deny", reason="name.mismatch", sni="two.cdn.example", dst=endpoint(plan.cdn, 443))
    vm.weir.expect(ev="close", verdict="allow", name="two.cdn.example", name_src="host")
    vm.weir.expect(ev="deny", reason="name.mismatch", host="one.cdn.example", dst=endpoint(plan.cdn, 80))


def test_c12_openssl_sees_the_alert(lab, plan, world):
    vm = lab.vm("allow one.cdn.example tcp/443", "allow two.cdn.example tcp/80")
    vm.resolve("one.cdn.example")
    vm.resolve("two.cdn.example")
    for name, status in (("one.cdn.example", 0), ("two.cdn.example", 1)):
        done = vm.guest.run(["openssl", "s_client", "-connect", endpoint(plan.cdn, 443), "-servername", name,
                             "-CAfile", world.ca, "-verify_return_error"], stdin=subprocess.DEVNULL)
        assert done.returncode == status, done
        assert ("SSL alert number 49" in done.stderr) == (status == 1), done.stderr


def test_g04_a_server_name_in_capitals_with_a_dot(lab, plan):
    server = lab.serve(servers.swallow, plan.trap, 443)
    vm = lab.vm("allow trap.lab.example tcp/443")
    vm.resolve("TRAP.lab.example.")
    hello = tls.client_hello("trap.lab.example").replace(b"trap.lab.example", b"TraP.LAB.examplE")
    with vm.connect(plan.trap, 443) as sock:
        sock.sendall(hello)
        sock.shutdown(socket.SHUT_WR)
        assert server.result() == hello


def test_b02_a_name_does_not_hide_that_the_port_is_closed(lab, plan):
    """Every pinned name is allowed: the dial comes before the SYN-ACK, also where TLS is wanted."""
    vm = lab.vm("allow trap.lab.example tcp/443")
    vm.resolve("trap.lab.example")
    with pytest.raises(ConnectionRefusedError):
        vm.connect(plan.trap, 443)
    vm.weir.expect(reason="dial.refused", dst=endpoint(plan.trap, 443))


def test_c09_t43_tls_to_a_port_of_another_protocol_is_judged_too(lab, plan):
    server = lab.serve(servers.swallow, plan.trap)
    vm = lab.vm(f"allow trap.lab.example tcp/{server.port}")
    vm.resolve("trap.lab.example")
    with vm.connect(plan.trap, server.port) as sock:
        sock.sendall(tls.client_hello("evil.example"))
        assert refused_by_alert(sock)
    assert saw_nothing(server)
    vm.weir.expect(ev="deny", reason="name.mismatch", sni="evil.example")


def test_t47_a_guest_that_leaves_while_it_is_read(shared, plan):
    with shared.connect(plan.shared_trap, 443) as sock:
        sock.sendall(tls.client_hello("good.shared.example")[:20])
        servers.close_with_reset(sock)
    shared.weir.expect(reason="guest.closed")
    assert shared.traps[443].accepted == 0


def test_g06_a_deny_rule_hits_only_the_name_it_names(lab, plan):
    """Default allow with one denied name: its neighbour on the same address is not hit."""
    vm = lab.vm("deny two.cdn.example", args=["--default", "allow"])
    vm.resolve("one.cdn.example")
    context = tls.context(lab.world.ca)
    with vm.connect(plan.cdn, 443) as sock:
        with context.wrap_socket(sock, server_hostname="one.cdn.example") as wrapped:
            wrapped.sendall(http("one.cdn.example"))
            assert b"sni=one.cdn.example" in read_to_end(wrapped)
    with vm.connect(plan.cdn, 443) as sock:
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            context.wrap_socket(sock, server_hostname="two.cdn.example")
    vm.weir.expect(ev="deny", reason="deny.rule", sni="two.cdn.example", rule=1)
