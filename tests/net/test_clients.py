"""Clients people use, unchanged, to real servers by name: what is allowed works, and what is not is told in the client's words."""
import os
import re
import shutil
import tempfile

import pytest

import servers
from plan import endpoint
from programs import Inside, environment

GOOD, EVIL = "one.cdn.example", "two.cdn.example"  # on one address
RULES = (f"allow {GOOD} tcp/80,443,8443", "allow peer.lab.example tcp/22")
PROTOCOLS = ",".join(["http/1.1", *(f"protocol-{n}" for n in range(60))])  # more than a record of 512 bytes holds
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def site(world, scratch):
    """An SSH server beside the web server, and one repository that both have."""
    home = tempfile.mkdtemp(prefix="site-", dir=scratch)
    bare = f"{world.directory}/www/files/repository.git"
    for argv in (["init", "--quiet", "--initial-branch=main", "work"],
                 ["-C", "work", "-c", "user.name=site", "-c", "user.email=site", "commit", "--quiet", "--allow-empty", "-m", "one"],
                 ["clone", "--quiet", "--bare", "work", bare], ["-C", bare, "update-server-info"],
                 ["clone", "--quiet", "--bare", "work", "repository.git"]):
        done = world.ns.run(["git", *argv], cwd=home, env=environment(home))
        assert done.returncode == 0, done.stderr
    server = servers.start_sshd(world.ns, home, world.plan.peer)
    yield home
    server.close()
    shutil.rmtree(bare)


@pytest.fixture
def inside(lab, plan, site):
    """A guest whose resolver tells it the allowed names, and whose hosts file knows where the other one is."""
    vm = lab.vm(*RULES)
    made = Inside(lab, vm, hosts={EVIL: plan.cdn, "trap.lab.example": plan.trap})
    vm.resolve(GOOD)
    shutil.copy(f"{site}/user_key", made.directory)
    with open(f"{site}/host_key.pub", encoding="ascii") as file:
        made.file("known_hosts", f"peer.lab.example,trap.lab.example {file.read()}")
    return made


# ---- TLS ----

PYTHON_URLLIB = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(f"https://{sys.argv[1]}/", context=context).read().decode())
"""
NODE_HTTPS = """
const [name, ca] = process.argv.slice(1);
require('https').get({host: name, ca: require('fs').readFileSync(ca)}, (response) => response.pipe(process.stdout));
"""
NODE_FRAGMENTS = """
const [name, ca, protocols] = process.argv.slice(1);
const socket = require('tls').connect({host: name, port: 443, servername: name, ca: require('fs').readFileSync(ca),
                                       ALPNProtocols: protocols.split(',')});
socket.setMaxSendFragment(512);
socket.pipe(process.stdout);
socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\\r\\nHost: ' + name + '\\r\\nConnection: close\\r\\n\\r\\n'));
"""
REQUEST = f"GET / HTTP/1.0\r\nHost: {GOOD}\r\n\r\n"

S_CLIENT = ["openssl", "s_client", "-ign_eof", "-verify_return_error", "-connect", "{name}:443", "-servername", "{name}",
            "-CAfile", "{ca}"]
TLS_CLIENTS = [
    # the program ({name}, {ca}), what it prints of the server's answer, what it says when the name is denied
    ("curl, HTTP/1.1", ["curl", "-sS", "--http1.1", "--cacert", "{ca}", "-w", "version=%{http_version}", "https://{name}/"],
     "version=1.1", "access denied"),
    ("curl, HTTP/2", ["curl", "-sS", "--cacert", "{ca}", "-w", "version=%{http_version}", "https://{name}:8443/"],
     "version=2", "access denied"),
    ("curl, TLS 1.2", ["curl", "-sS", "--tls-max", "1.2", "--cacert", "{ca}", "https://{name}/"], "", "access denied"),
    ("openssl", S_CLIENT, "", "SSL alert number 49"),
    ("urllib of Python", [PYTHON, "-c", PYTHON_URLLIB, "{name}", "{ca}"], "", "ACCESS_DENIED"),
    ("https of Node", ["node", "-e", NODE_HTTPS, "{name}", "{ca}"], "", "alert access denied"),
]


def try_both_names(inside, world, argv, port=443, **kwargs):
    """Run it for the name that is allowed and for the one that is not, and check the log; returns both ends."""
    def run(how, name):
        return how(*(a.replace("{name}", name).replace("{ca}", world.ca) for a in argv), **kwargs)

    good, evil = run(inside.run, GOOD), run(inside.refused, EVIL)
    assert good.returncode == 0 and f"sni={GOOD}\n" in good.stdout, good
    weir, there = inside.vm.weir, endpoint(world.plan.cdn, port)
    weir.expect(ev="deny", reason="name.mismatch", stage="bytes", sni=EVIL, dst=there)
    weir.expect(ev="close", verdict="allow", name=GOOD, name_src="sni", sni=GOOD, dst=there)
    return good, evil


@pytest.mark.parametrize("why,argv,says,denied", TLS_CLIENTS, ids=[row[0] for row in TLS_CLIENTS])
def test_c12_g08_a_tls_client(inside, world, why, argv, says, denied):
    good, evil = try_both_names(inside, world, argv, 8443 if ":8443" in argv[-1] else 443, input=REQUEST)
    assert says in good.stdout and denied in evil.stderr


@pytest.mark.parametrize("argv,proof,denied", [
    ([*S_CLIENT, "-msg", "-max_send_frag", "512", "-alpn", PROTOCOLS], " 16 03 01 02 00\n", "SSL alert number 49"),
    (["node", "--trace-tls", "-e", NODE_FRAGMENTS, "{name}", "{ca}", PROTOCOLS], "Length = 512\n", "alert access denied"),
], ids=["openssl", "Node"])
def test_t09_g08_a_hello_in_several_records(inside, world, argv, proof, denied):
    """As programs send it that limit their records to 512 bytes; `proof` is how they tell of one that was full."""
    for done in try_both_names(inside, world, argv, input=REQUEST):
        assert proof in done.stdout + done.stderr
    assert denied in done.stderr


# ---- HTTP ----

@pytest.mark.parametrize("argv,denied", [
    (["curl", "-sS", "--fail", "http://{name}/"], "error: 403"),
    (["busybox", "wget", "-q", "-O", "-", "http://{name}/"], "403 Forbidden"),
    ([PYTHON, "-c", "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())", "http://{name}/"], "HTTP Error 403"),
], ids=["curl", "busybox wget", "urllib of Python"])
def test_c10_t61_an_http_client(inside, plan, argv, denied):
    done = inside.run(*(a.replace("{name}", GOOD) for a in argv))
    assert done.returncode == 0 and f"host={GOOD} sni=\n" in done.stdout, done
    done = inside.refused(*(a.replace("{name}", EVIL) for a in argv))
    assert denied in done.stderr, done.stderr
    inside.vm.weir.expect(ev="deny", reason="name.mismatch", host=EVIL, dst=endpoint(plan.cdn, 80))
    inside.vm.weir.expect(ev="close", verdict="allow", name=GOOD, name_src="host")


# ---- DNS ----

@pytest.mark.parametrize("how", [[], ["+tcp"], ["+noedns"], ["+dnssec"], ["+cookie"]], ids=["udp", "tcp", "without EDNS", "DO", "cookie"])
def test_d01_d04_dig(inside, plan, how):
    answer = ["+noall", "+answer", "+comments", "+tries=1", *how]
    done = inside.run("dig", *answer, GOOD, plan.record_name)
    assert done.returncode == 0 and re.search(rf"^{GOOD}\..*\sIN\s+{plan.record_name}\s+{plan.cdn}$", done.stdout, re.M), done
    done = inside.run("dig", *answer, EVIL, plan.record_name)
    assert "status: NXDOMAIN" in done.stdout and EVIL not in done.stdout, done
    assert ("EDE: 15" in done.stdout) == ("+noedns" not in how), done.stdout
    inside.vm.weir.expect(ev="dns", reason="dns.denied", name=EVIL)


def test_d01_d04_the_c_librarys_resolver(inside, plan):
    done = inside.run("getent", "ahosts", "peer.lab.example")
    assert done.returncode == 0 and plan.peer in done.stdout, done
    inside.refused("getent", "ahosts", "web.lab.example")
    inside.vm.weir.expect(ev="dns", reason="dns.denied", name="web.lab.example", repeat=None)


# ---- SSH and git ----

def ssh(inside):
    return ["ssh", "-F", "none", "-i", f"{inside.directory}/user_key", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={inside.directory}/known_hosts", "-o", "GlobalKnownHostsFile=none"]


def test_h05_t41_ssh_whose_server_speaks_first(inside, plan):
    """The name decides by its pin, nothing waits for bytes; 1 MiB each way comes back as it was."""
    data = os.urandom(1 << 20)
    done = inside.run(*ssh(inside), "root@peer.lab.example", "cat", input=data, text=False, errors=None)
    assert done.returncode == 0 and done.stdout == data, done.stderr
    inside.vm.weir.expect(ev="close", verdict="allow", name="peer.lab.example", name_src="dns", dst=endpoint(plan.peer, 22))


def test_h05_ssh_to_others_is_refused(inside, plan):
    """A name that is not listed, found in the guest's own hosts file, and one that is not found."""
    done = inside.refused(*ssh(inside), "root@trap.lab.example", "true")
    assert "Connection refused" in done.stderr, done.stderr
    inside.vm.weir.expect(ev="deny", reason="name.unpinned", dst=endpoint(plan.trap, 22))
    done = inside.refused(*ssh(inside), "root@web.lab.example", "true")
    assert "Could not resolve hostname" in done.stderr, done.stderr
    inside.vm.weir.expect(ev="dns", reason="dns.denied", name="web.lab.example", repeat=None)


def git(inside, world, how, *argv):
    return how("git", *argv, env={"GIT_SSL_CAINFO": world.ca, "GIT_SSH_COMMAND": " ".join(ssh(inside)), "GIT_TERMINAL_PROMPT": "0",
                                  "GIT_AUTHOR_NAME": "guest", "GIT_AUTHOR_EMAIL": "guest", "GIT_COMMITTER_NAME": "guest",
                                  "GIT_COMMITTER_EMAIL": "guest"})


def test_c12_git_over_https(inside, plan, world):
    """Its TLS is GnuTLS, with the name late in the hello."""
    done = git(inside, world, inside.run, "clone", "--quiet", f"https://{GOOD}/files/repository.git", "copy")
    assert done.returncode == 0, done.stderr
    assert git(inside, world, inside.run, "-C", "copy", "log", "--format=%s").stdout == "one\n"
    done = git(inside, world, inside.refused, "clone", "--quiet", f"https://{EVIL}/files/repository.git", "other")
    assert "Access was denied" in done.stderr, done.stderr
    inside.vm.weir.expect(ev="deny", reason="name.mismatch", sni=EVIL, dst=endpoint(plan.cdn, 443))


def test_h05_git_over_ssh(inside, plan, site, world):
    """A clone, a push, and the clone that the push made; an unlisted remote gets none of it."""
    remote = f"ssh://root@peer.lab.example{site}/repository.git"
    branch = f"family-{plan.header}"
    for argv in (["clone", "--quiet", remote, "copy"], ["-C", "copy", "commit", "--quiet", "--allow-empty", "-m", branch],
                 ["-C", "copy", "push", "--quiet", "origin", f"HEAD:{branch}"],
                 ["clone", "--quiet", "--branch", branch, remote, "again"]):
        done = git(inside, world, inside.run, *argv)
        assert done.returncode == 0, done.stderr
    assert git(inside, world, inside.run, "-C", "again", "log", "--format=%s").stdout == f"{branch}\none\n"
    unlisted = remote.replace("peer", "trap")
    done = git(inside, world, inside.refused, "-C", "copy", "push", "--quiet", unlisted, "HEAD:x")
    assert "Connection refused" in done.stderr, done.stderr
    inside.vm.weir.expect(ev="deny", reason="name.unpinned", dst=endpoint(plan.trap, 22))
