"""What the network said about datagrams: a socket's error queue, which tells a guest's program the ICMP behind errno."""
import dataclasses
import errno
import select
import socket
import struct

EXTENDED_ERROR = "IBBBBII"  # struct sock_extended_err (ip(7))
PMTUDISC_DONT, PMTUDISC_WANT, PMTUDISC_DO = 0, 1, 2


@dataclasses.dataclass
class Told:
    errno: int
    icmp: tuple     # type and code
    mtu: int        # with EMSGSIZE
    about: object   # (address, port) the datagram went to
    data: bytes     # how it began


def listen(sock, plan):
    """From here on errors are queued, those included that no program would hear of otherwise."""
    sock.setsockopt(plan.level, plan.recverr, 1)
    return sock


def told(sock, timeout=5):
    """The next error of the queue; errors of the guest's own kernel have ICMP type 0."""
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(timeout * 1000), "no error came"
    data, control, _, about = sock.recvmsg(65536, 512, socket.MSG_ERRQUEUE)
    number, _, kind, code, _, info, _ = struct.unpack_from(EXTENDED_ERROR, control[0][2])
    return Told(number, (kind, code), info if number == errno.EMSGSIZE else 0, about[:2], data)


def quiet(sock):
    """Whether no error is there now."""
    poll = select.poll()
    poll.register(sock, 0)
    return not poll.poll(0)
