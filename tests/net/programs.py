"""Programs in a guest: unchanged, with a resolv.conf and a hosts file of the guest's own."""
import os
import subprocess
import time

from waiting import undisturbed

# What a program with the files below sees of the host is the rest of its file system.
IN_THE_GUEST = """
    mount --bind "$1/resolv.conf" /etc/resolv.conf
    mount --bind "$1/hosts" /etc/hosts
    cd "$1"
    shift
    exec "$@"
"""
REFUSED_S = 2  # a refusal is told sooner: less than what is read may take, and than any program's patience


def environment(home):
    """An environment in which neither this machine's settings nor its user's (proxies, git) are seen."""
    return {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}


class Inside:
    """Where a guest's programs run. hosts: names the guest believes to know, with their addresses."""

    def __init__(self, lab, vm, resolver=None, hosts=None):
        self.vm, self.directory = vm, lab.fresh_directory()
        self.file("resolv.conf", f"nameserver {resolver or vm.plan.gateway}\n")
        self.file("hosts", "".join(f"{addr} {name}\n" for name, addr in (hosts or {}).items()))
        self.took = 0

    def file(self, name, text):
        with open(f"{self.directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, *argv, **kwargs):
        """Run a program to its end; `took` says how long it was at it."""
        options = {"stdin": subprocess.DEVNULL, "errors": "replace", **kwargs}
        env = {**environment(self.directory), **options.pop("env", {})}
        if "input" in options:
            del options["stdin"]
        start = time.monotonic()
        done = self.vm.guest.run(["unshare", "--mount", "sh", "-ec", IN_THE_GUEST, "sh", self.directory, *argv],
                                 env=env, **options)
        self.took = time.monotonic() - start
        return done

    def refused(self, *argv, **kwargs):
        """Run a program that must fail, and soon: nothing is left to its own patience."""
        with undisturbed(self.vm.weir.process.pid):
            done = self.run(*argv, timeout=2 * REFUSED_S, **kwargs)
        assert done.returncode != 0, done
        assert self.took < REFUSED_S, f"{argv[0]} waited {self.took:.1f} s: {done}"
        return done
