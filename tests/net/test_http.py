"""Plain HTTP between real clients and nginx, request by request: what is said on one connection after the first."""
import hashlib
import http.client
import os
import re
import socket

import pytest

import pattern
import servers
from plan import endpoint, in_url
from waiting import wait_until

LINKS = ["tap", "stream"]
GOOD, EVIL = "good.shared.example", "evil.shared.example"
UPLOAD_BYTES = 4 * pattern.MIB

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log {dir}/err;
events {{ worker_connections 256; }}
http {{
  log_format one '$connection $host $request_method $uri $status $http_range';
  access_log {dir}/access one; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; client_max_body_size 0;
  server {{
    listen {addr}:80;
    location / {{ root {dir}/www; gzip on; gzip_types text/plain; }}
    location /up/ {{ root {dir}/www; dav_methods PUT; create_full_put_path on; }}
    location /ws {{
      proxy_pass http://{addr}:8081; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
  }}
}}
"""
PAGE = b"a page of the good site\n"
LONG = b"".join(b"line %d of a long text\n" % n for n in range(20000))


class Site:
    """nginx on an address with two names, and the guest's files for real clients."""

    def __init__(self, lab, plan):
        self.world, self.plan, self.fences = lab.world, plan, 0
        self.directory = lab.fresh_directory()
        self.www = f"{self.directory}/www"
        os.makedirs(f"{self.www}/up")
        for name, content in (("page", PAGE), ("long.txt", LONG)):
            with open(f"{self.www}/{name}", "wb") as file:
                file.write(content)
        config = f"{self.directory}/nginx.conf"
        with open(config, "w", encoding="ascii") as file:
            file.write(NGINX.format(dir=self.directory, addr=in_url(plan.shared_trap)))
        self.program = servers.Program(lab.world.ns, ["nginx", "-c", config, "-e", f"{self.directory}/err"],
                                       f"{self.directory}/out", lambda: servers.answers_on(lab.world.ns, plan.shared_trap, 80))
        lab.stack.callback(self.program.close)

    def log(self):
        """What the server saw: a line for each request, as a list of words; the first is the connection's number."""
        with open(f"{self.directory}/access", encoding="ascii") as file:
            return [line.split() for line in file]

    def saw(self, *hosts, connections=None):
        """Whether it saw requests to these hosts and no others. It writes of a request when that is over: one of our
        own, behind all that has reached it, is the last one it can know of."""
        with self.world.ns.socket(self.plan.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect((self.plan.shared_trap, 80))
            sock.sendall(http_request("fence", more="Connection: close\r\n"))
            read_to_end(sock)
        self.fences += 1
        wait_until(lambda: [words[1] for words in self.log()].count("fence") == self.fences, what="the fence")
        wait_until(lambda: len(self.requests()) >= len(hosts), what=f"{len(hosts)} requests")
        assert [words[1] for words in self.requests()] == list(hosts)
        return connections is None or len({words[0] for words in self.requests()}) == connections

    def requests(self):
        return [words for words in self.log() if words[1] != "fence"]

    def sha_of(self, name):
        with open(f"{self.www}/up/{name}", "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


class Client:
    """A guest whose names are resolved by its gateway, as its programs do it."""

    def __init__(self, lab, plan, rule=f"allow {GOOD} tcp/80", **kwargs):
        self.vm = lab.vm(rule, **kwargs)
        self.weir = self.vm.weir
        self.resolv_conf = f"{lab.fresh_directory()}/resolv.conf"
        with open(self.resolv_conf, "w", encoding="ascii") as file:
            file.write(f"nameserver {plan.gateway}\n")

    def run(self, *argv, **kwargs):
        enter = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /etc/resolv.conf; exec "$@"', self.resolv_conf]
        return self.vm.guest.run([*enter, *argv], timeout=30, **kwargs)

    def curl(self, *arguments, **kwargs):
        done = self.run("curl", "--silent", "--show-error", "--max-time", "20", *arguments, **kwargs)
        assert done.returncode == 0, done
        return done.stdout

    def connect(self):
        return self.vm.connect(self.vm.resolve(GOOD), 80)


@pytest.fixture
def site(lab, plan):
    return Site(lab, plan)


@pytest.fixture
def client(lab, plan, site):
    """Its server is there when it starts."""
    return Client(lab, plan)


def http_request(host=GOOD, path="/page", method="GET", more=""):
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def read_to_end(sock):
    """All bytes, and whether a reset ended them."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        return data, True
    return data, False


# ---- several requests on one connection ----

CODES = ["--write-out", "%{http_code} %{num_connects}\\n", "--output", "/dev/null"]


@pytest.mark.parametrize("link", LINKS)
def test_c17_c10_curl_keeps_its_connection_for_allowed_requests(lab, plan, site, link):
    client = Client(lab, plan, link=link)
    url = [*CODES, f"http://{GOOD}/page"]
    assert client.curl(*url, "--next", *url, "--next", *url) == "200 1\n200 0\n200 0\n"
    assert site.saw(*[GOOD] * 3, connections=1)
    client.weir.expect(ev="close", reason="ok.rule", name=GOOD, host=GOOD)


@pytest.mark.parametrize("link", LINKS)
def test_c17_t65_a_denied_host_on_the_same_connection_is_answered_with_403(lab, plan, site, link):
    client = Client(lab, plan, link=link)
    url = [*CODES, f"http://{GOOD}/page"]
    said = client.curl(*url, "--next", "--header", f"Host: {EVIL}", "--dump-header", "-", *url)
    assert said.startswith("200 1\n") and said.endswith("\n403 0\n")
    assert "x-egress-reason: name.mismatch" in said.lower()
    assert site.saw(GOOD)
    client.weir.expect(ev="deny", stage="bytes", reason="name.mismatch", host=EVIL, dst=endpoint(plan.shared_trap, 80))


def test_c17_both_names_of_one_connection_where_both_are_allowed(lab, plan, site):
    client = Client(lab, plan, "allow .shared.example tcp/80")
    client.vm.resolve(EVIL)
    url = [*CODES, f"http://{GOOD}/page"]
    assert client.curl(*url, "--next", "--header", f"Host: {EVIL}", *url) == "200 1\n200 0\n"
    assert site.saw(GOOD, EVIL, connections=1)


def test_c17_http_first_judges_no_further(lab, plan, site):
    client = Client(lab, plan, f"allow {GOOD} tcp/80 http=first")
    url = [*CODES, f"http://{GOOD}/page"]
    assert client.curl(*url, "--next", "--header", f"Host: {EVIL}", *url) == "200 1\n200 0\n"
    assert site.saw(GOOD, EVIL)


def test_c17_an_address_rule_delays_nothing_and_judges_nothing(lab, plan, site):
    client = Client(lab, plan, f"allow {plan.shared_trap} tcp/80")
    url = [*CODES, "--header", f"Host: {EVIL}", f"http://{endpoint(plan.shared_trap, 80)}/page"]
    assert client.curl(*url, "--next", *url) == "200 1\n200 0\n"
    assert site.saw(EVIL, EVIL)


def test_c17_t65_a_denied_host_behind_the_answers_of_pythons_client(client, site):
    connection = http.client.HTTPConnection(GOOD)
    connection.sock = client.connect()
    for n in range(100):
        connection.request("GET", "/long.txt" if n % 10 == 0 else "/page")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == (LONG if n % 10 == 0 else PAGE)
    connection.request("GET", "/page", headers={"Host": EVIL})
    answer = connection.getresponse()
    assert answer.status == 403 and answer.headers["X-Egress-Reason"] == "name.mismatch"
    connection.close()
    assert site.saw(*[GOOD] * 100, connections=1)
    client.weir.expect(ev="deny", reason="name.mismatch", host=EVIL)


# ---- answers whose end is not where their length says ----

@pytest.mark.parametrize("why,arguments,status", [
    ("an answer to HEAD has no body", ["--head"], "200"),
    ("not modified: no body either", ["--header", "If-None-Match: {etag}"], "304"),
    ("one range", ["--range", "100-199"], "206"),
    ("several ranges are several parts", ["--range", "0-9,100-199,5000-"], "206"),
    ("no such range", ["--range", "99999999-"], "416"),
    ("a chunked answer", ["--compressed"], "200"),
    ("no such file", ["--request-target", "/nothing"], "404"),
    ("OPTIONS", ["--request", "OPTIONS"], "405"),
], ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "")
def test_c17_t65_a_request_behind_an_answer_of_another_kind(client, site, why, arguments, status):
    """Where weir's count of the answer's bytes is wrong, the 403 of the last request is a reset, or the one before
    does not come back."""
    headers = client.curl("--head", f"http://{GOOD}/long.txt")
    etag = re.search(r'(?i)etag: ("[^"]*")', headers).group(1)
    arguments = [argument.format(etag=etag) for argument in arguments]
    said = client.curl(*arguments, *CODES, f"http://{GOOD}/long.txt",
                       "--next", *CODES, f"http://{GOOD}/page",
                       "--next", "--header", f"Host: {EVIL}", *CODES, f"http://{GOOD}/page")
    assert said.split("\n")[:3] == [f"{status} 1", "200 0", "403 0"], why
    assert site.saw(GOOD, GOOD, GOOD)


def test_c17_t66_an_answer_up_to_the_servers_end(lab, plan):
    """HTTP/1.0 style: bytes without a length. They are the answer's, whatever they look like."""
    body = b"HTTP/1.1 101 Switching Protocols\r\n\r\nbehind\n"

    def script(conn):
        head = conn.recv(65536)
        conn.sendall(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n" + body)
        return head

    server = lab.serve(script, plan.shared_trap, 80)
    client = Client(lab, plan)
    assert client.curl(f"http://{GOOD}/", text=False) == body
    assert server.result().startswith(b"GET / HTTP/1.1\r\nHost: " + GOOD.encode())


# ---- uploads ----

@pytest.fixture(scope="module")
def upload(scratch):
    """A file, and its digest."""
    path = f"{scratch}/upload"
    with open(path, "wb") as file:
        for block in pattern.blocks(UPLOAD_BYTES):
            file.write(block)
    return path, pattern.digest_of(UPLOAD_BYTES)[1]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("how", ["length", "chunked", "expect-and-length", "expect-and-chunked"])
def test_c17_h03_uploads_arrive_whole_and_the_connection_goes_on(lab, plan, site, upload, link, how):
    """With Expect the body waits for nginx's 100; without it, it is on its way before any answer."""
    client, (path, digest) = Client(lab, plan, link=link), upload
    expect = ["--header", "Expect: 100-continue", "--expect100-timeout", "20"] if "expect" in how else ["--header", "Expect:"]
    source = "-" if "chunked" in how else path
    with open(path, "rb") as file:
        said = client.curl("--http1.1", *expect, "--upload-file", source, *CODES, f"http://{GOOD}/up/{how}",
                           "--next", *CODES, f"http://{GOOD}/up/{how}",
                           "--next", "--header", f"Host: {EVIL}", *CODES, f"http://{GOOD}/page", stdin=file)
    assert said == "201 1\n200 0\n403 0\n"
    assert site.sha_of(how) == digest
    assert site.saw(GOOD, GOOD)
    record = client.weir.expect(ev="deny", reason="name.mismatch")
    assert record["up"] > UPLOAD_BYTES and record["down"] > UPLOAD_BYTES


def test_c17_t65_a_request_inside_a_body_is_the_bodys(client, site):
    inner = http_request(EVIL)
    connection = http.client.HTTPConnection(GOOD)
    connection.sock = client.connect()
    for body, options in ((inner, {}), (iter([inner, inner[:10], inner[10:]]), {"encode_chunked": True})):
        connection.request("PUT", "/up/inner", body, **options)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (201, 204)
    connection.close()
    assert site.saw(GOOD, GOOD)
    with open(f"{site.www}/up/inner", "rb") as file:
        assert file.read() == inner * 2


def test_c17_t66_a_server_that_answers_before_the_body_is_there(client, site):
    """nginx refuses on the head; the body is still on its way, and counts as one: what is behind it is a request."""
    with client.connect() as sock:
        sock.sendall(http_request(method="POST", more="Content-Length: 100000\r\n"))
        said = b""
        while b"405 Not Allowed" not in said:
            said += sock.recv(65536)
        sock.sendall(b"x" * 100000)
        sock.sendall(http_request(EVIL))
        said, reset = read_to_end(sock)
    assert b"403 Forbidden" in said or reset
    assert site.saw(GOOD)
    client.weir.expect(ev="deny", reason="name.mismatch", host=EVIL)


# ---- pipelining ----

def test_c17_more_pipelined_requests_than_are_followed_at_a_time(client, site):
    count = 100
    with client.connect() as sock:
        sock.sendall(http_request() * count)
        said = b""
        while said.count(PAGE) < count:
            chunk = sock.recv(65536)
            assert chunk, "the connection ended"
            said += chunk
    assert said.count(b"HTTP/1.1 200 OK") == count
    assert site.saw(*[GOOD] * count, connections=1)


@pytest.mark.parametrize("cut", [1, 3, 40, 10000])
def test_c17_t65_a_denied_request_in_a_pipeline_stops_there(lab, client, site, cut):
    """In one write, or byte by byte: whole requests before it are the most that reaches the server. (What was not
    written yet goes down with the flow.)"""
    data = http_request() * 2 + http_request(EVIL) + http_request()
    with client.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(0, len(data), cut):
                sock.sendall(data[at:at + cut])
        except (ConnectionResetError, BrokenPipeError):
            pass  # it was refused before its end was written
        read_to_end(sock)
    record = client.weir.expect(ev="deny", reason="name.mismatch", host=EVIL)
    passed, rest = divmod(record["up"], len(http_request()))
    assert rest == 0 and passed <= 2
    site.saw(*[GOOD] * passed)


# ---- upgrades ----

def websocket_server(conn):
    """Read a head, switch, and echo what comes; returns the head."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.recv(65536)
    head, _, rest = head.partition(b"\r\n\r\n")
    conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + rest)
    servers.echo(conn)
    return head


@pytest.mark.parametrize("through", ["nginx", "none"])
def test_c17_t68_behind_101_both_directions_are_opaque(lab, plan, request, through):
    """Bytes that look like a request to another host, or like nothing in HTTP, are the new protocol's."""
    server = lab.serve(websocket_server, plan.shared_trap, 8081)
    request.getfixturevalue("site")
    port = 80 if through == "nginx" else 8081
    client = Client(lab, plan, f"allow {GOOD} tcp/{port} need=host")
    data = http_request(EVIL) + bytes(range(256)) * 1000
    with client.vm.connect(client.vm.resolve(GOOD), port) as sock:
        sock.sendall(http_request(path="/ws", more="Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        sock.sendall(data)
        got = b""
        while len(got) < len(data):
            got += sock.recv(65536)
        assert got == data
    assert b"pgrade: websocket" in server.result()
    client.weir.expect(ev="close", reason="ok.rule", host=GOOD)


def test_c17_t68_an_upgrade_that_is_not_taken_is_a_request_like_others(client, site):
    with client.connect() as sock:
        sock.sendall(http_request(more="Upgrade: websocket\r\nConnection: Upgrade\r\n") + http_request(EVIL))
        said, _ = read_to_end(sock)
    assert said.startswith(b"HTTP/1.1 200 OK") and PAGE in said and b"403 Forbidden" in said
    assert site.saw(GOOD)
    client.weir.expect(ev="deny", reason="name.mismatch", host=EVIL)


@pytest.mark.parametrize("how", ["--http2-prior-knowledge", "--http2"])
def test_c17_t67_h2c_is_refused(client, site, how):
    """HTTP/2 in clear names a host in every stream, in a form that is not read here."""
    done = client.run("curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}",
                      how, f"http://{GOOD}/page")
    assert done.returncode != 0 or done.stdout == "403"
    assert site.saw()
    client.weir.expect(ev="deny", reason="proto.unknown")


# ---- another client ----

def test_c17_busybox_wget(client, site):
    done = client.run("busybox", "wget", "-q", "-O", "-", f"http://{GOOD}/page")
    assert (done.returncode, done.stdout) == (0, PAGE.decode()), done
    done = client.run("busybox", "wget", "-O", "-", "--header", f"Host: {EVIL}", f"http://{GOOD}/page")
    assert done.returncode != 0 and "403 Forbidden" in done.stderr, done
    assert site.saw(GOOD)
