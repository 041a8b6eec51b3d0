"""Network namespaces that live as long as a descriptor of this process: nothing to clean up, no names."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{name}: {os.strerror(err)}")


class Namespace:
    """A network namespace. Sockets and processes made through it live in it."""

    def __init__(self):
        made = []

        def make():
            _call("unshare", CLONE_NEWNET)  # of this thread alone, which then ends
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise OSError("no network namespace could be made")
        self.fd = made[0]
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.sh("ip link set lo up")

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in the namespace inside the block; children it starts there stay."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _call("setns", self.fd, CLONE_NEWNET)
            yield
        finally:
            _call("setns", home, CLONE_NEWNET)
            os.close(home)

    def popen(self, argv, **kwargs):
        """Start a process in the namespace; it dies with this one, whatever happens."""
        with self.entered():
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)], **kwargs)

    def run(self, argv, timeout=20, **kwargs):
        """Run to the end. Output is captured as text unless told otherwise."""
        options = {"capture_output": True, "text": True, **kwargs}
        with self.entered():
            return subprocess.run(list(map(str, argv)), timeout=timeout, **options)

    def sh(self, script):
        """Run a shell script that must succeed; returns what it printed."""
        done = self.run(["sh", "-ec", script])
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def sysctl(self, key, value):
        with self.entered():  # /proc/sys/net shows the namespace of the thread that looks
            with open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as file:
                file.write(str(value))

    def socket(self, family, kind, proto=0):
        with self.entered():
            return socket.socket(family, kind, proto)

    def tun(self, name, kind=IFF_TUN):
        """A TUN or TAP device without a virtio-net header; whoever holds the descriptor is its wire."""
        with self.entered():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))
        return fd
