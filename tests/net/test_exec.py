"""weir exec: a command whose only network is weir."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import lab as laboratory
import servers
from plan import in_url
from waiting import undisturbed, wait_until

NOBODY = 65534
once = pytest.mark.families("ipv4")  # nothing about it depends on the family


def exec_argv(world, arguments, command, weir=None):
    return [weir or laboratory.WEIR, "exec", "--group", f"public={world.plan.public}",
            "--dns", world.plan.resolver, *arguments, "--", *command]


def run(world, arguments, command, **kwargs):
    """weir exec to its end, with what it said; a sanitizer's report fails the test."""
    done = world.ns.run(exec_argv(world, arguments, command), **kwargs)
    assert not any(word in done.stderr for word in laboratory.SANITIZER_WORDS), done.stderr
    return done


def inside(world, code, *arguments):
    """Run Python in weir exec; returns its output."""
    done = run(world, arguments, ["/usr/bin/python3", "-c", code])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- the network ----

def test_c05_exec_allowed_denied_and_logged(lab, plan, world):
    log = f"{lab.fresh_directory()}/log"
    url = ["curl", "-sS", "--max-time", "10", "--cacert", world.ca]
    allow = ["--allow", "web.lab.example tcp/443", "--log", log]
    good = run(world, allow, [*url, "https://web.lab.example/"])
    assert good.stdout == "host=web.lab.example sni=web.lab.example\n", good
    records = open(log, encoding="utf-8").read()
    assert records.count('"ev":"close"') == 1 and '"name":"web.lab.example"' in records, records
    assert run(world, allow, [*url, "https://one.cdn.example/"]).returncode == 6   # could not resolve
    assert run(world, allow, [*url, f"http://{in_url(plan.cdn)}/"]).returncode == 7        # could not connect
    assert '"reason":"deny.default"' in open(log, encoding="utf-8").read()


def test_d13_exec_with_a_fake_address_for_each_name(lab, plan, world):
    """A program that knows nothing of it: it asks, and connects to what it is told."""
    log = f"{lab.fresh_directory()}/log"
    done = run(world, ["--dns-mode", "fake-ip", "--rule", "allow web.lab.example tcp/80", "--log", log],
               ["curl", "-sS", f"-{plan.ip[-1]}", "-w", "%{remote_ip}", "http://web.lab.example/"])
    assert done.returncode == 0 and "host=web.lab.example" in done.stdout, done
    assert plan.web not in done.stdout
    with open(log, encoding="utf-8") as file:
        assert [json.loads(line)["peer"] for line in file] == [f"{in_url(plan.web)}:80"]


@once
def test_c05_exec_without_rules_says_that_all_is_denied(world, plan):
    done = run(world, [], ["curl", "-sS", "--max-time", "5", f"http://{in_url(plan.web)}/"])
    assert done.returncode == 7
    assert "everything is denied" in done.stderr


@once
def test_exec_log_to_stderr(world, plan):
    done = run(world, ["--log", "-"], ["curl", "-s", "--max-time", "5", f"http://{in_url(plan.web)}/"])
    assert '"ev":"deny"' in done.stderr and done.stdout == ""


def test_c21_exec_has_no_other_way_out(lab, world, plan):
    """Interfaces: loopback and weir's. The world's loopback and abstract sockets are out of reach."""
    server = lab.serve(servers.swallow, addr=plan.loopback)
    abstract = world.ns.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    abstract.bind(f"\0weir-net-{os.getpid()}")
    abstract.listen(1)
    out = inside(world, f"""
import os, socket
print(sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else "")
print(sorted(n for _, n in socket.if_nameindex()))
abstract = "\\0weir-net-{os.getpid()}"
for family, addr in ((socket.{plan.family.name}, ("{plan.loopback}", {server.port})), (socket.AF_UNIX, abstract)):
    try:
        socket.socket(family).connect(addr)
        print("reached", addr)
    except OSError as e:
        print("refused")
""", "--allow", "any")
    abstract.close()
    assert out.splitlines()[1] == "['eth0', 'lo']" and out.count("refused") == 2, out
    assert server.accepted == 0


@pytest.mark.families("ipv4")  # in which the guest asks for both
def test_exec_resolv_conf_is_its_own(world, plan):
    done = run(world, [], ["cat", "/etc/resolv.conf"])
    assert re.findall(r"^nameserver (.*)$", done.stdout, re.M) == [plan.gateway]
    done = run(world, [], ["grep", "^hosts:", "/etc/nsswitch.conf"])
    assert done.stdout.split() == ["hosts:", "files", "dns"]


def test_exec_address_and_routes_are_there_from_the_start(world, plan):
    done = run(world, [], ["sh", "-c", f"{plan.ip} -o addr show dev eth0; {plan.ip} route"])
    assert f" {plan.guest}/{plan.prefix_len} " in done.stdout, done
    assert f"default via {plan.gateway} " in done.stdout, done
    (own,) = [line for line in done.stdout.splitlines() if f" {plan.guest}/" in line]
    assert "tentative" not in own and ("nodad" in own) == (plan.nodad != ""), "it could not be sent from yet"


def is_sanitized():
    with open(laboratory.WEIR, "rb") as file:
        return b"libasan" in file.read()


@once
def test_exec_starts_fast(world):
    took = []
    for _ in range(5):
        with undisturbed():
            start = time.time()
            done = run(world, [], ["date", "+%s.%N"])
        took.append(float(done.stdout) - start)
    assert sorted(took)[2] < (0.400 if is_sanitized() else 0.100), took  # sanitizers map terabytes first


# ---- statuses and signals ----

@pytest.mark.parametrize("command,status", [
    (["true"], 0), (["false"], 1), (["sh", "-c", "exit 77"], 77), (["sh", "-c", "exit 255"], 255),
    (["sh", "-c", "kill -TERM $$"], 143), (["sh", "-c", "kill -SEGV $$"], 139),
    (["sh", "-c", "kill -KILL $$"], 137), (["/nonexistent/program"], 127), (["no-such-program-anywhere"], 127),
    (["/etc/passwd"], 126), (["/"], 126),
])
@once
def test_exec_exit_status(world, command, status):
    assert run(world, [], command).returncode == status


@once
@pytest.mark.parametrize("arguments", [["exec"], ["exec", "--"], ["exec", "--colour", "--", "true"],
                                       ["exec", "--rule", "allow", "--", "true"]])
def test_exec_usage_is_exit_2(world, arguments):
    done = world.ns.run([laboratory.WEIR, *arguments])
    assert done.returncode == 2 and done.stderr.strip()


class Terminal:
    """A command in the foreground of a terminal of its own; it has said that it is ready."""

    def __init__(self, world, script):
        self.keyboard, inside = os.openpty()
        argv = ["setsid", "--ctty", *exec_argv(world, [], ["sh", "-c", script])]
        self.process = world.ns.popen(argv, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.close(inside)
        assert self.process.stdout.readline() == "ready\n"

    def type(self, data):
        os.write(self.keyboard, data)

    def finish(self):
        """The exit status, and what was said after "ready"."""
        try:
            out, err = self.process.communicate(timeout=10)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.keyboard)
        assert not any(word in err for word in laboratory.SANITIZER_WORDS), err
        return self.process.returncode, out


TRAPPED = 'trap "echo caught; exit 7" INT TERM; echo ready; while :; do sleep 0.1; done'


@once
def test_exec_ctrl_c_reaches_the_command_once_and_its_status_is_told(world):
    terminal = Terminal(world, TRAPPED)
    terminal.type(b"\x03")
    assert terminal.finish() == (7, "caught\n")


@once
def test_exec_ctrl_c_ends_a_command_that_does_not_catch_it(world):
    terminal = Terminal(world, "echo ready; exec sleep 1000")
    terminal.type(b"\x03")
    assert terminal.finish()[0] == 130


@once
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exec_a_signal_to_weir_is_passed_on(world, number):
    terminal = Terminal(world, TRAPPED)
    terminal.process.send_signal(number)
    assert terminal.finish() == (7, "caught\n")


@once
def test_exec_leaves_no_process_behind(world):
    mark = f"86{os.getpid()}"
    assert run(world, [], ["sh", "-c", f"sleep {mark} & exit 3"]).returncode == 3

    def left():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read() == f"sleep\0{mark}\0".encode():
                        found.append(pid)
            except OSError:
                pass
        return found
    wait_until(lambda: not left(), what="the end of the background process")


# ---- what the command gets and does not get ----

@once
def test_exec_passes_stdin_and_stdout_through(world):
    data = bytes(range(256)) * 4096
    done = world.ns.run(exec_argv(world, [], ["cat"]), input=data, text=False)
    assert done.returncode == 0 and done.stdout == data
    done = run(world, [], ["sh", "-c", "echo out; echo err >&2"])
    assert done.stdout == "out\n" and "err\n" in done.stderr


@once
def test_exec_passes_arguments_environment_and_directory(world):
    done = run(world, [], ["sh", "-c", 'printf "%s|" "$@" "$MARK" "$PWD"', "-", "a b", "", "--allow"],
               cwd="/usr", env={**os.environ, "MARK": "m"})
    assert done.stdout == "a b||--allow|m|/usr|"


@once
def test_exec_gives_no_descriptors_beyond_the_three(world):
    extra = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(extra, True)
    try:
        script = "n=0; while [ $n -lt 100 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n + 1)); done; true"
        done = run(world, [], ["sh", "-c", script], pass_fds=[extra])
    finally:
        os.close(extra)
    assert done.stdout.split() == ["0", "1", "2"], done.stdout


@once
def test_c21_exec_families_and_calls_that_leave_the_namespace_are_refused(world):
    out = inside(world, """
import ctypes, socket
for family in (40, 38, 17, 16, 10, 2, 1):   # vsock, alg, packet, netlink, inet6, inet, unix
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind, 0).close()
            print(family, "made")
            break
        except PermissionError:
            print(family, "EPERM")
        except OSError as error:
            print(family, error.errno)
libc = ctypes.CDLL(None, use_errno=True)
print("uring", libc.syscall(425, 1, 0), ctypes.get_errno())
""")
    assert "40 made" not in out and "38 made" not in out, out
    for family in (16, 10, 2, 1):
        assert f"{family} made" in out, out
    assert re.search(r"uring -1 (1|38)$", out.strip()), out


@once
def test_exec_a_namespace_of_its_own(world):
    script = "ls -A /run; ls -d /proc/[0-9]* | wc -l; grep NoNewPrivs /proc/self/status; id -u"
    runtime, processes, privileges, uid = run(world, [], ["sh", "-c", script]).stdout.splitlines()
    assert runtime == "weir", "/run holds more than weir's own files"
    assert int(processes) <= 5
    assert privileges.split() == ["NoNewPrivs:", "1"]
    assert uid == str(os.getuid())


CALL = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    print("reached")
except OSError as error:
    print("no")
"""


@once
def test_c21_exec_reaches_no_service_of_the_host(lab, world):
    """A unix socket in the file system is no network namespace's; --share gives the one back that it names."""
    path = f"{lab.fresh_directory()}/service"
    with world.ns.socket(socket.AF_UNIX, socket.SOCK_STREAM) as service:
        service.bind(path)
        service.listen(8)
        for arguments, said in (([], "no\n"), (["--share", path], "reached\n")):
            done = run(world, arguments, ["/usr/bin/python3", "-c", CALL, path])
            assert done.stdout == said, done.stdout + done.stderr


@once
def test_exec_share_gives_a_path_back(world):
    mark = f"/run/weir-net-{os.getpid()}"
    os.mkdir(mark)
    try:
        open(f"{mark}/file", "w", encoding="ascii").close()
        assert run(world, [], ["ls", mark]).returncode != 0
        done = run(world, ["--share", mark], ["ls", mark])
        assert done.stdout == "file\n", done
    finally:
        shutil.rmtree(mark)


# ---- an ordinary user ----

ORDINARY = """
mknod "$1/tun" c 10 200 && chmod 666 "$1/tun" && mount --bind "$1/tun" /dev/net/tun
shift
exec setpriv --reuid %d --regid %d --clear-groups -- "$@"
""" % (NOBODY, NOBODY)


def as_ordinary_user(lab, world, arguments, command):
    """The test's own mount namespace has a tun node that everyone may open."""
    if subprocess.run(["setpriv", "--reuid", str(NOBODY), "--clear-groups", "unshare", "-Ur", "true"],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("ordinary users may not make user namespaces here")
    directory = lab.fresh_directory()
    os.chmod(lab.directory, 0o755)
    shutil.copy(laboratory.WEIR, f"{directory}/weir")  # the build may lie where others cannot look
    os.chmod(f"{directory}/weir", 0o755)
    done = world.ns.run(["unshare", "--mount", "sh", "-ec", ORDINARY, "-", directory,
                         *exec_argv(world, arguments, command, f"{directory}/weir")], cwd="/")
    assert not any(word in done.stderr for word in laboratory.SANITIZER_WORDS), done.stderr
    return done


@once
def test_h19_exec_works_as_an_ordinary_user(lab, world, plan):
    done = as_ordinary_user(lab, world, ["--allow", "web.lab.example tcp/80"],
                            ["sh", "-c", "id -u; curl -sS --max-time 10 http://web.lab.example/; "
                             f"curl -s --max-time 5 http://{in_url(plan.peer)}/; echo $?"])
    assert done.stdout.splitlines() == [str(NOBODY), "host=web.lab.example sni=", "7"], done


@once
def test_h19_exec_as_root_of_its_own_namespace(lab, world, plan):
    done = as_ordinary_user(lab, world, ["--root"], ["id", "-u"])
    assert (done.returncode, done.stdout) == (0, "0\n"), done


@once
def test_c21_exec_root_inside_gains_nothing(lab, world, plan):
    """With full root inside, other routes and addresses open nothing."""
    server = lab.serve(servers.swallow, plan.trap, 443)
    script = f"""
        ip addr add 192.168.127.9/24 dev eth0
        ip route replace default dev eth0 src 192.168.127.9
        ip route add {plan.trap} dev eth0
        curl -s --max-time 3 --interface 192.168.127.9 https://{in_url(plan.trap)}/
        echo $?"""
    arguments = ["--root", "--allow", "web.lab.example tcp/443"]
    done = as_ordinary_user(lab, world, arguments, ["sh", "-c", script])
    assert done.returncode == 0 and done.stdout.strip() in ("7", "28"), done
    assert server.accepted == 0
