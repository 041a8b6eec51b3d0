"""A DNS client small enough to see every byte; dig and nslookup are used where the client is the point."""
import dataclasses
import os
import socket
import struct

A, CNAME, PTR, MX, TXT, AAAA, SRV, OPT = 1, 5, 12, 15, 16, 28, 33, 41
SVCB, HTTPS, IXFR, AXFR, ANY, CAA = 64, 65, 251, 252, 255, 257
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
RD, AD, CD = 0x0100, 0x0020, 0x0010


@dataclasses.dataclass
class Answer:
    rcode: int
    truncated: bool
    addrs: list
    ttls: list
    ede: object      # the info-code of RFC 8914, or None
    raw: bytes
    source: object   # who answered
    records: list = dataclasses.field(default_factory=list)  # (type, data) of the answer section

    @property
    def flags(self):
        return int.from_bytes(self.raw[2:4], "big")


def wire_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".")] if isinstance(name, str) else name
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query_bytes(name, kind=A, ident=None, edns=True, flags=RD, klass=1, dnssec=False):
    """The name is text, or a list of labels of any bytes."""
    ident = os.urandom(2) if ident is None else struct.pack(">H", ident)
    tail = b"\0" + struct.pack(">HHHHH", OPT, 1232, 0, 0x8000 * dnssec, 0) if edns else b""
    head = ident + struct.pack(">HHHHH", flags, 1, 0, 0, int(edns))
    return head + wire_name(name) + struct.pack(">HH", kind, klass) + tail


def _skip_name(raw, at):
    while raw[at]:
        if raw[at] >= 0xC0:
            return at + 2
        at += raw[at] + 1
    return at + 1


def parse(raw, source=None):
    _, flags, questions, *counts = struct.unpack(">HHHHHH", raw[:12])
    answer = Answer(flags & 15, bool(flags & 0x0200), [], [], None, raw, source)
    at = 12
    for _ in range(questions):
        at = _skip_name(raw, at) + 4
    for number in range(sum(counts)):
        at = _skip_name(raw, at)
        kind, _, ttl, size = struct.unpack(">HHIH", raw[at:at + 10])
        data = raw[at + 10:at + 10 + size]
        at += 10 + size
        if number < counts[0]:
            answer.records.append((kind, data))
        if kind in (A, AAAA):
            family = socket.AF_INET if kind == A else socket.AF_INET6
            answer.addrs.append(socket.inet_ntop(family, data))
            answer.ttls.append(ttl)
        elif kind == OPT:
            while len(data) >= 4:
                code, length = struct.unpack(">HH", data[:4])
                if code == 15:
                    answer.ede = struct.unpack(">H", data[4:6])[0]
                data = data[4 + length:]
    assert at == len(raw), "trailing bytes in a DNS answer"
    return answer


def ask(ns, server, name, kind=A, timeout=5, port=53, **options):
    """One query over UDP, from a socket that hears nobody but `server`."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with ns.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((server, port))
        message = query_bytes(name, kind, **options)
        sock.send(message)
        raw = sock.recv(65535)
        assert raw[:2] == message[:2]
        return parse(raw, sock.getpeername()[0])


def receive_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, "the connection ended early"
        data += chunk
    return data


def ask_tcp(ns, server, name, kind=A, timeout=5):
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with ns.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect((server, 53))
        message = query_bytes(name, kind)
        sock.sendall(struct.pack(">H", len(message)) + message)
        size = struct.unpack(">H", receive_exactly(sock, 2))[0]
        return parse(receive_exactly(sock, size))
