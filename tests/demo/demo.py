"""What `./dev run` shows: one rule, five attempts of a guest, and the flow log's word on each.

    demo.py PATH-OF-WEIR          (as root)

Nothing leaves the machine. Two network namespaces are made for the occasion: one with real servers (nginx with TLS and
plain HTTP, dnsmasq as the resolver) on addresses of 203.0.113.0/24, and one, joined to it by a veth pair, in which
`weir exec` runs. The guest is the command that weir runs: a shell with curl, whose only network is weir. That
documentation range counts as public here because `--group` says so.
Everything is taken down again at the end, on Ctrl-C and on failure.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

OK, EVIL, RESOLVER = "203.0.113.10", "203.0.113.20", "203.0.113.53"
RULE = "allow ok.example tcp/80,443"
READY_S, GUEST_S = 10, 45
COLUMN = 50

# What the guest tries: title, curl's arguments, what it should come to, and which record belongs to it.
ATTEMPTS = (
    ("https://ok.example/", ["https://ok.example/"], "the rule allows this name",
     lambda r: r["ev"] == "close" and r.get("name") == "ok.example"),
    ("http://evil.example/", ["http://evil.example/"], "no rule has this name: it is not even resolved",
     lambda r: r["ev"] == "dns" and r.get("name") == "evil.example"),
    (f"http://{EVIL}/", [f"http://{EVIL}/"], "the bare address of evil.example: refused at its SYN",
     lambda r: r["ev"] == "deny" and r.get("dst") == f"{EVIL}:80"),
    (f"https://evil.example/ at {OK}", ["--resolve", f"evil.example:443:{OK}", "https://evil.example/"],
     "ok.example's address, another name in the TLS hello",
     lambda r: r.get("verdict") == "deny" and r.get("dst") == f"{OK}:443"),
    ("http://169.254.169.254/", ["http://169.254.169.254/"], "cloud metadata: below the floor, whatever the rules say",
     lambda r: r["ev"] == "deny" and r.get("dst") == "169.254.169.254:80"),
)

NGINX_CONF = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.err; user root;
events {{ worker_connections 64; }}
http {{
    log_format seen '$server_addr:$server_port $host "$request"';
    access_log {work}/seen.log seen;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    ssl_certificate {work}/server.crt; ssl_certificate_key {work}/server.key;
    server {{
        listen {ok}:80; listen {ok}:443 ssl;
        location / {{ return 200 "hello from ok.example\\n"; }}
    }}
    server {{
        listen {evil}:80; listen {evil}:443 ssl;
        location / {{ return 200 "you should not see this\\n"; }}
    }}
}}
"""


class Failure(Exception):
    pass


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class World:
    """The namespaces, the servers in them and the files they need; close() undoes whatever was made."""

    def __init__(self):
        self.work = Path(tempfile.mkdtemp(prefix="weir-demo-"))
        self.work.chmod(0o755)
        self.servers_ns, self.host_ns = f"weir-demo-{os.getpid()}-net", f"weir-demo-{os.getpid()}-host"
        self.namespaces = []
        self.processes = []

    def open(self):
        for name in (self.servers_ns, self.host_ns):
            run("ip", "netns", "add", name)
            self.namespaces.append(name)
        run("ip", "link", "add", "demo0", "netns", self.servers_ns, "type", "veth",
            "peer", "name", "demo0", "netns", self.host_ns)
        for name, addresses in ((self.servers_ns, (OK, EVIL, RESOLVER)), (self.host_ns, ("203.0.113.1",))):
            run("ip", "-n", name, "link", "set", "lo", "up")
            for address in addresses:
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "demo0")
            run("ip", "-n", name, "link", "set", "demo0", "up")
        self._certificates()
        self._start_servers()

    def _certificates(self):
        """An authority of our own, which the guest is told to trust, and one certificate for both names."""
        at = lambda name: str(self.work / name)  # noqa: E731
        (self.work / "san").write_text("subjectAltName=DNS:ok.example,DNS:evil.example\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=weir demonstration CA",
            "-keyout", at("ca.key"), "-out", at("ca.crt"))
        run("openssl", "req", "-new", *key, "-subj", "/CN=ok.example", "-keyout", at("server.key"),
            "-out", at("server.csr"))
        run("openssl", "x509", "-req", "-days", "2", "-in", at("server.csr"), "-CA", at("ca.crt"),
            "-CAkey", at("ca.key"), "-CAcreateserial", "-extfile", at("san"), "-out", at("server.crt"))

    def _start_servers(self):
        (self.work / "nginx.conf").write_text(NGINX_CONF.format(work=self.work, ok=OK, evil=EVIL))
        self._start("nginx", "-e", str(self.work / "nginx.err"), "-c", str(self.work / "nginx.conf"))
        self._start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=",
                    "--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={RESOLVER}",
                    "--except-interface=lo", f"--address=/ok.example/{OK}", f"--address=/evil.example/{EVIL}")
        wanted = (f"{OK}:443", f"{EVIL}:80", f"{RESOLVER}:53")
        give_up = time.monotonic() + READY_S
        while not all(w in run("ip", "netns", "exec", self.servers_ns, "ss", "-Hltn") for w in wanted):
            for process in self.processes:
                if process.poll() is not None:
                    raise Failure(f"{process.args[4]} did not start: {process.stdout.read().strip()}")
            if time.monotonic() > give_up:
                raise Failure("the servers did not start")
            threading.Event().wait(0.02)

    def _start(self, *command):
        self.processes.append(subprocess.Popen(
            ["ip", "netns", "exec", self.servers_ns, *command], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True))

    def guest(self, weir):
        """Run all attempts in one `weir exec`. Returns (what curl said of each, the flow log's records)."""
        log = self.work / "flows.log"
        command = [str(weir), "exec", "--dns", RESOLVER, "--group", "public=203.0.113.0/24",
                   "--rule", RULE, "--log", str(log), "--", "sh", "-c", self._script()]
        print("the guest runs under:\n    weir " + " ".join(command[1:4]) +
              f" --group public=203.0.113.0/24 \\\n        --rule '{RULE}' --log FILE -- sh -c '...'\n")
        process = subprocess.Popen(["ip", "netns", "exec", self.host_ns, *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.processes.append(process)
        try:
            out, err = process.communicate(timeout=GUEST_S)
        except subprocess.TimeoutExpired:
            raise Failure("the guest did not finish") from None
        if process.returncode != 0:
            raise Failure(f"weir exec: exit status {process.returncode}: {err.strip() or out.strip()}")
        saw = [part.strip() for part in out.split("\x1e")[1:]]
        if not log.exists():
            raise Failure("weir wrote no flow log")
        return saw, [json.loads(line) for line in log.read_text().splitlines()]

    def _script(self):
        quote = lambda words: " ".join("'" + w + "'" for w in words)  # noqa: E731
        lines = []
        for _, arguments, _, _ in ATTEMPTS:
            lines.append("printf '\\036'")
            lines.append(f"curl -sS -m 8 --cacert {self.work}/ca.crt -w '(HTTP status %{{http_code}}, %{{time_total}} s)\\n' "
                         f"{quote(arguments)} 2>&1")
        return "\n".join(lines + ["exit 0"])

    def seen_by_servers(self):
        seen = self.work / "seen.log"
        return seen.read_text().splitlines() if seen.exists() else []

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], stdin=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.work, ignore_errors=True)


def in_words(record):
    """The fields of a record that tell the story; the file has all of them."""
    fields = ("ev", "proto", "dst", "name", "sni", "verdict", "reason", "rule", "layer", "stage", "up", "down", "close")
    return " ".join(f"{f}={record[f]}" for f in fields if f in record)


def side_by_side(left, right):
    left, right = (sum((textwrap.wrap(line, COLUMN - 2) or [""] for line in text.splitlines()), [])
                   for text in (left, right))
    for i in range(max(len(left), len(right))):
        print(f"   {left[i] if i < len(left) else '':{COLUMN}}| {right[i] if i < len(right) else ''}".rstrip())


def show(saw, records):
    """Print every attempt with its record. Returns how many attempts have none."""
    missing = 0
    print(f"   {'what the guest saw':{COLUMN}}| what the flow log says\n   {'-' * COLUMN}+{'-' * COLUMN}")
    for (title, _, why, is_record), seen in zip(ATTEMPTS, saw):
        record = next((r for r in records if is_record(r)), None)
        missing += record is None
        print(f"\n{title}  --  {why}")
        side_by_side(seen, in_words(record) if record else "(no record: this is a bug)")
    return missing


def main():
    if os.geteuid() != 0:
        raise Failure("network namespaces need root")
    weir = Path(sys.argv[1]).resolve()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda number, _: sys.exit(128 + number))
    world = World()
    try:
        world.open()
        saw, records = world.guest(weir)
        missing = show(saw, records)
        print("\nwhat the servers saw, all of it:")
        for line in world.seen_by_servers():
            print(f"   {line}")
    finally:
        world.close()
    return 1 if missing or len(saw) != len(ATTEMPTS) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"demo: {failure}")
