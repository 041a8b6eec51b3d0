"""What weir dials: scripted servers for faults, and real programs."""
import contextlib
import os
import queue
import socket
import struct
import subprocess
import threading

import plan as plans
from waiting import wait_until


def close_with_reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class TcpServer:
    """Runs `script(conn)` in a thread for each connection.

    What the script returns is given by result(); an exception of its own other than a broken
    connection fails the test when the server is closed.
    """

    def __init__(self, ns, addr, port, script, rcvbuf=None, backlog=512):
        self.script = script
        self.results = queue.Queue()
        self.accepted = 0
        self.peers = []
        self.errors = []
        self.conns = []
        self.threads = []
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        self.listener = ns.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind((addr, port))
        self.listener.listen(backlog)
        self.addr, self.port = addr, self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                conn, peer = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.peers.append(peer)
            self.conns.append(conn)
            thread = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, conn):
        try:
            self.results.put(self.script(conn))
        except OSError as error:
            self.results.put(error)
        except Exception as error:  # a bug of the script: told by close()
            self.errors.append(error)
            self.results.put(error)
        finally:
            conn.close()

    def result(self, timeout=30):
        try:
            return self.results.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no connection to {self.addr}:{self.port} ended in {timeout} s") from None

    def close(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for conn in self.conns:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(5)
        assert not self.errors, self.errors


def echo(conn):
    """Send back what comes; returns the number of bytes."""
    count = 0
    while chunk := conn.recv(65536):
        conn.sendall(chunk)
        count += len(chunk)
    return count


def swallow(conn):
    """Read to the end and say nothing; returns all bytes."""
    data = b""
    while chunk := conn.recv(65536):
        data += chunk
    return data


class UdpServer:
    """Answers each datagram with `script(data, peer)`; None is silence. Remembers who wrote what."""

    def __init__(self, ns, addr, port=0, script=lambda data, peer: data):
        self.script = script
        self.seen = []
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        self.sock = ns.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self.sock.bind((addr, port))
        self.addr, self.port = addr, self.sock.getsockname()[1]
        self.closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(65536)
            except ConnectionError:
                continue
            except OSError:
                return
            if self.closing:
                return
            self.seen.append((peer, data))
            answer = self.script(data, peer)
            if answer is not None:
                with contextlib.suppress(OSError):  # it may be gone
                    self.sock.sendto(answer, peer)

    def close(self):
        self.closing = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread
        except OSError:
            pass
        self.thread.join(5)
        self.sock.close()


class Program:
    """A real server as a child process; ended by pid."""

    def __init__(self, ns, argv, log, ready):
        with open(log, "ab") as out:
            self.process = ns.popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.log = log
        try:
            wait_until(lambda: self._alive() and ready(), 10, f"start of {argv[0]}")
        except BaseException:
            self.close()
            raise

    def _alive(self):
        assert self.process.poll() is None, open(self.log, encoding="utf-8", errors="replace").read()
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def answers_on(ns, addr, port):
    """Whether something accepts connections there."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    with ns.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        return sock.connect_ex((addr, port)) == 0


def make_certificates(directory):
    """An authority and one certificate for all the names; returns (ca, certificate, key) paths."""
    names = ",".join(f"DNS:{name}" for name in plans.NAMES)
    ca, ca_key = f"{directory}/ca.pem", f"{directory}/ca.key"
    cert, key, request = f"{directory}/server.pem", f"{directory}/server.key", f"{directory}/server.csr"
    extensions = f"{directory}/server.ext"
    with open(extensions, "w", encoding="ascii") as file:
        file.write(f"subjectAltName={names}\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for argv in (
        ["req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=lab authority"],
        ["req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=lab server"],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
         "-extfile", extensions, "-out", cert],
    ):
        subprocess.run(["openssl", *argv], check=True, capture_output=True)
    return ca, cert, key


NGINX = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 2048; }}
http {{
  access_log {dir}/nginx.access; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; client_max_body_size 0;
  server {{
    {listen}
    ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ return 200 "host=$host sni=$ssl_server_name\\n"; }}
    location /files/ {{ root {dir}/www; }}
  }}
}}
"""


def start_nginx(ns, directory, plan, cert, key):
    os.makedirs(f"{directory}/www/files")
    listen = "\n".join(f"listen {plans.endpoint(addr, port)}{tls};" for addr in (plan.web, plan.cdn)
                       for port, tls in ((80, ""), (443, " ssl"), (8443, " ssl http2")))
    config = f"{directory}/nginx.conf"
    with open(config, "w", encoding="ascii") as file:
        file.write(NGINX.format(dir=directory, listen=listen, cert=cert, key=key))
    return Program(ns, ["nginx", "-c", config, "-e", f"{directory}/nginx.err"], f"{directory}/nginx.log",
                   lambda: answers_on(ns, plan.web, 443))


# RFC 9460: priority 1, no other name; alpn h2, an IPv4 hint, "ech", an IPv6 hint. And what is left of it for guests.
HTTPS_RECORD = (b"\0\1\0" b"\0\1\0\3\2h2" b"\0\4\0\4\x0a\0\0\1" b"\0\5\0\3ech"
                b"\0\6\0\x10\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1")
HTTPS_RECORD_TOLD = b"\0\1\0" b"\0\1\0\3\2h2"


def start_dnsmasq(ns, directory, plan, addr):
    log = f"{directory}/dnsmasq.log"
    argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
            "--user=root", "--pid-file=", "--log-queries", "--log-facility=-", "--bind-interfaces", "--no-negcache",
            f"--listen-address={addr}", "--local-ttl=300", "--local=/example/", "--log-async=0"]
    for name, where in plans.NAMES.items():
        argv.append(f"--host-record={name},{getattr(plan, where)}")
    argv += [f"--host-record=rebind.lab.example,{plan.loopback}",
             f"--host-record=mixed.lab.example,{plan.private_host}",
             f"--host-record=mixed.lab.example,{plan.peer}", "--cname=alias.lab.example,peer.lab.example",
             f"--host-record=nowhere.lab.example,{plan.unrouted}",
             "--txt-record=web.lab.example,secret-of-the-zone", "--mx-host=lab.example,peer.lab.example,10",
             "--srv-host=_sip._tcp.lab.example,peer.lab.example,5060", f"--dns-rr=web.lab.example,65,{HTTPS_RECORD.hex()}",
             "--caa-record=lab.example,0,issue,ca.example"]
    argv += [f"--host-record=many.lab.example,{plan.numbered % n}" for n in range(1, 81)]
    argv += [f"--host-record=few.lab.example,{plan.numbered % n}" for n in range(1, 41)]
    return Program(ns, argv, log, lambda: answers_on(ns, addr, 53))


UNBOUND = """
server:
  interface: {addr}
  access-control: ::/0 allow
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  use-syslog: no
  log-queries: yes
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: ""
  module-config: "iterator"
remote-control:
  control-enable: no
auth-zone:
  name: "example"
  zonefile: "{dir}/zone"
  for-upstream: no
  fallback-enabled: no
"""

ZONE = """
$ORIGIN example.
@ 300 IN SOA ns.example. admin.example. 1 3600 600 86400 30
@ 300 IN NS ns.example.
alias.lab 300 IN CNAME peer.lab
lab 300 IN MX 10 peer.lab
_sip._tcp.lab 300 IN SRV 0 0 5060 peer.lab
web.lab 300 IN TXT "secret-of-the-zone"
"""


def start_unbound(ns, directory, plan, addr):
    """The same names as dnsmasq has, for as much as its tests ask."""
    record = "AAAA" if ":" in addr else "A"
    hosts = [(name, getattr(plan, where)) for name, where in plans.NAMES.items()]
    hosts += [("many.lab.example", plan.numbered % n) for n in range(1, 81)]
    with open(f"{directory}/zone", "w", encoding="ascii") as file:
        file.write(ZONE + "".join(f"{name}. 300 IN {record} {to}\n" for name, to in hosts))
        file.write(f"web.lab 300 IN TYPE65 \\# {len(HTTPS_RECORD)} {HTTPS_RECORD.hex()}\n")
    with open(f"{directory}/unbound.conf", "w", encoding="ascii") as file:
        file.write(UNBOUND.format(addr=addr, dir=directory))
    return Program(ns, ["unbound", "-d", "-c", f"{directory}/unbound.conf"], f"{directory}/unbound.log",
                   lambda: answers_on(ns, addr, 53))


SSHD = """
Port 22
ListenAddress {addr}
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
# The server's own users and run directory: nothing of this machine's is looked at or changed.
SSHD_ALONE = """
    mount -t tmpfs tmpfs /run
    mkdir /run/sshd
    for file in passwd shadow; do mount --bind "$1/$file" /etc/$file; done
    exec "$(command -v sshd)" -D -e -f "$1/sshd_config"
"""


def start_sshd(ns, directory, addr):
    """An SSH server that knows one user, root, with the key `user_key` of the directory and that directory as home."""
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{key}"], check=True)
    for name, text in (
        ("sshd_config", SSHD.format(addr=addr, dir=directory)),
        ("passwd", f"root:x:0:0::{directory}:/bin/sh\nsshd:x:991:65534::/run/sshd:/usr/sbin/nologin\n"),
        ("shadow", "root:*:19000::::::\nsshd:!:19000::::::\n"),
    ):
        with open(f"{directory}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    return Program(ns, ["unshare", "--mount", "sh", "-ec", SSHD_ALONE, "sh", directory], f"{directory}/sshd.log",
                   lambda: answers_on(ns, addr, 22))
