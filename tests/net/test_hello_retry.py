"""HelloRetryRequest (RFC 8446 section 4.1.4) between real programs: the server takes no key share of the first hello."""
import hashlib
import socket
import ssl

import pytest

import pattern
import servers
import tls
from plan import endpoint, in_url

GOOD, EVIL = "good.shared.example", "evil.shared.example"
SIZE = 2 * pattern.MIB

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log {dir}/err;
events {{ worker_connections 64; }}
http {{
  access_log {dir}/access; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{
    listen {addr}:443 ssl; ssl_protocols TLSv1.3; ssl_ecdh_curve secp384r1;
    ssl_certificate {cert}; ssl_certificate_key {key};
    root {dir};
  }}
}}
"""


@pytest.fixture
def server(lab, plan, world):
    """nginx that speaks P-384 alone, on an address with two names; the digest of its one file."""
    directory = lab.fresh_directory()
    with open(f"{directory}/nginx.conf", "w", encoding="ascii") as file:
        file.write(NGINX.format(dir=directory, addr=in_url(plan.shared_trap), cert=world.cert, key=world.key))
    content = b"".join(pattern.blocks(SIZE))
    with open(f"{directory}/content", "wb") as file:
        file.write(content)
    program = servers.Program(world.ns, ["nginx", "-c", f"{directory}/nginx.conf", "-e", f"{directory}/err"],
                              f"{directory}/out", lambda: servers.answers_on(world.ns, plan.shared_trap, 443))
    lab.stack.callback(program.close)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def vm(lab, server):
    made = lab.vm(f"allow {GOOD} tcp/443")
    made.resolve(GOOD)
    return made


def s_client(vm, addr, groups):
    """A handshake of openssl's, and the messages of it: (exit status, number of hellos, output)."""
    done = vm.guest.run(["openssl", "s_client", "-connect", endpoint(addr, 443), "-servername", GOOD, "-verify_return_error",
                         "-verify_hostname", GOOD, "-CAfile", vm.world.ca, "-groups", groups, "-tls1_3", "-msg"], input="")
    hellos = [line for line in done.stdout.split("\n") if line.startswith(">>> ") and line.endswith("ClientHello")]
    return done.returncode, len(hellos), done.stdout + done.stderr


def test_t30_openssl_says_hello_twice(plan, vm):
    for groups, count in (("X25519:P-384", 2), ("P-384", 1)):  # so it is the server's answer that makes it two
        status, hellos, said = s_client(vm, plan.shared_trap, groups)
        assert (status, hellos) == (0, count), said
    vm.weir.expect(ev="close", reason="ok.rule", sni=GOOD, count=2)


def test_t30_between_s_server_and_s_client(lab, plan, world):
    argv = ["openssl", "s_server", "-accept", endpoint(plan.trap, 443), "-groups", "P-521", "-cert", world.cert, "-key", world.key,
            "-www", "-naccept", "2"]  # the first is the look whether it listens
    program = servers.Program(world.ns, argv, f"{lab.fresh_directory()}/out",
                              lambda: servers.answers_on(world.ns, plan.trap, 443))
    lab.stack.callback(program.close)
    made = lab.vm("allow trap.lab.example tcp/443")
    made.resolve("trap.lab.example")
    done = made.curl("--tlsv1.3", "--curves", "X25519:P-521", "--resolve", f"trap.lab.example:443:{in_url(plan.trap)}",
                     "https://trap.lab.example/")
    assert done.returncode == 0, done
    assert "Shared groups: secp521r1" in done.stdout
    made.weir.expect(ev="close", reason="ok.rule", sni="trap.lab.example")


def test_t30_data_flows_behind_the_second_hello(lab, plan, vm, server):
    path = f"{lab.fresh_directory()}/got"
    done = vm.curl("--curves", "X25519:P-384", "--resolve", f"{GOOD}:443:{in_url(plan.shared_trap)}", "--output", path,
                   f"https://{GOOD}/content")
    assert done.returncode == 0, done
    with open(path, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == server
    assert vm.weir.expect(ev="close", reason="ok.rule", sni=GOOD)["down"] > SIZE


class ByHand:
    """A real client whose bytes this test carries."""

    def __init__(self, vm, name):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = tls.context(vm.world.ca).wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.done = False

    def flight(self, received=b""):
        """What it says to what came."""
        self.incoming.write(received)
        try:
            self.client.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def first_exchange(sock, client):
    """Send the hello; the server's answer is a HelloRetryRequest. Return: the hello, and that."""
    hello = client.flight()
    sock.sendall(hello)
    answer = b""
    while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
        answer += sock.recv(65536)
    assert answer[11:43] == RETRY
    return hello, answer


@pytest.mark.parametrize("cut", [1, 10000])
def test_t30_t08_the_second_hello_in_pieces(plan, vm, cut):
    client = ByHand(vm, GOOD)
    with vm.connect(plan.shared_trap, 443) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, answer = first_exchange(sock, client)
        said = client.flight(answer)
        assert not client.done
        for at in range(0, len(said), cut):
            sock.sendall(said[at:at + cut])
        while not client.done:
            said = client.flight(sock.recv(65536))
    vm.weir.expect(ev="close", reason="ok.rule", sni=GOOD)


@pytest.mark.parametrize("ccs", [b"", b"\x14\3\3\0\1\1"], ids=["bare", "compatible"])
@pytest.mark.parametrize("second,reason", [(EVIL, "name.mismatch"), (None, "name.missing")])
def test_t30_another_name_in_the_second_hello_is_reset(plan, vm, second, reason, ccs):
    """It is refused by reset, for the server has spoken; nothing of it is sent. A change_cipher_spec in front of it,
    as clients send it to please other boxes (RFC 8446 appendix D.4), means nothing and passes."""
    with vm.connect(plan.shared_trap, 443) as sock:
        hello, _ = first_exchange(sock, ByHand(vm, GOOD))
        sock.sendall(ccs + tls.client_hello(second))
        with pytest.raises(ConnectionResetError):
            while sock.recv(65536):
                pass
    record = vm.weir.expect(ev="deny", stage="bytes", reason=reason, sni=second, close="policy",
                            dst=endpoint(plan.shared_trap, 443))
    assert record["up"] in (len(hello), len(hello + ccs))
    assert len(vm.weir.records()) == 1
