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


class Inside:
    """Where a guest's programs run. hosts: names the guest believes to know, with their addresses."""

    def __init__(self, lab, vm, resolver=None, hosts=None):
        self.vm, self.directory = vm, lab.fresh_directory()
        self.file("resolv.conf", f"nameserver {resolver or vm.plan.gateway}\n")
        self.file("hosts", "".join(f"{addr} {name}\n" for name, addr in (hosts or {}).items()))
        self.took = 0

    def file(self, name, text, mode=0o644):
        """Make a file, and return its path."""
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as file:
            file.write(text)
        return path

    def run(self, *argv, **kwargs):
        """Run a program to its end; `took` says how long it was at it."""
        options = {"stdin": subprocess.DEVNULL, "errors": "replace", **kwargs}
        environment = {**os.environ, "HOME": self.directory, "LC_ALL": "C.UTF-8", **options.pop("env", {})}
        if "input" in options:
            del options["stdin"]
        with undisturbed(self.vm.weir.process.pid):
            start = time.monotonic()
            done = self.vm.guest.run(["unshare", "--mount", "sh", "-ec", IN_THE_GUEST, "sh", self.directory, *argv],
                                     env=environment, **options)
            self.took = time.monotonic() - start
        return done

    def refused(self, *argv, **kwargs):
        """Run a program that must fail, and soon: nothing is left to its own patience."""
        done = self.run(*argv, timeout=2 * REFUSED_S, **kwargs)
        assert done.returncode != 0, done
        assert self.took < REFUSED_S, f"{argv[0]} waited {self.took:.1f} s: {done}"
        return done
