"""Frames by hand: a guest made of bytes on weir's stream link, for what a kernel would not send."""
import ctypes
import fcntl
import socket
import struct
import termios

from plan import ROUTER6
from waiting import wait_until

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TCP, UDP, ICMP, ICMPV6, FRAGMENT = 6, 17, 1, 58, 44
ECHO, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT, REDIRECT = range(133, 138)
FIN, SYN, RST, ACK = 1, 2, 4, 16
BROADCAST = b"\xff" * 6
SIOCOUTQ = termios.TIOCOUTQ


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src, dst, proto, payload):
    src, dst = socket.inet_aton(src), socket.inet_aton(dst)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, proto, 0) + src + dst
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def packed(addr):
    return socket.inet_pton(socket.AF_INET6 if ":" in addr else socket.AF_INET, addr)


def ipv6(src, dst, proto, payload, hop_limit=64):
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, hop_limit) + packed(src) + packed(dst) + payload


def ip(src, dst, proto, payload):
    return (ipv6 if ":" in dst else ipv4)(src, dst, proto, payload)


def _pseudo(src, dst, proto, length):
    if ":" in dst:
        return packed(src) + packed(dst) + struct.pack(">II", length, proto)
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack(">BBH", 0, proto, length)


def udp(src, dst, sport, dport, data):
    head = struct.pack(">HHHH", sport, dport, 8 + len(data), 0)
    total = checksum(_pseudo(src, dst, UDP, 8 + len(data)) + head + data) or 0xFFFF
    return ip(src, dst, UDP, head[:6] + struct.pack(">H", total) + data)


def tcp(src, dst, sport, dport, flags, seq=0, ack=0, data=b"", window=65535, options=b""):
    words = (20 + len(options)) // 4
    head = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window,
                       0, 0) + options
    total = checksum(_pseudo(src, dst, TCP, len(head) + len(data)) + head + data)
    return ip(src, dst, TCP, head[:16] + struct.pack(">H", total) + head[18:] + data)


def icmp(src, dst, kind, code, body, hop_limit=64):
    """An ICMP or ICMPv6 message; `body` is what follows the checksum."""
    message = struct.pack(">BBH", kind, code, 0) + body
    pseudo = _pseudo(src, dst, ICMPV6, len(message)) if ":" in dst else b""
    message = message[:2] + struct.pack(">H", checksum(pseudo + message)) + body
    return ipv6(src, dst, ICMPV6, message, hop_limit) if ":" in dst else ipv4(src, dst, ICMP, message)


def echo(src, dst, ident, seq, data):
    return icmp(src, dst, ECHO[6 if ":" in dst else 4], 0, struct.pack(">HH", ident, seq) + data)


def fragments(packet, size, ident=7):
    """The packet in fragments of `size` bytes, a multiple of eight."""
    v6 = packet[0] >> 4 == 6
    header, payload = packet[:40 if v6 else 20], packet[40 if v6 else 20:]
    for at in range(0, len(payload), size):
        piece, more = payload[at:at + size], at + size < len(payload)
        if v6:
            piece = struct.pack(">BBHI", header[6], 0, at | more, ident) + piece
            yield header[:4] + struct.pack(">HB", len(piece), FRAGMENT) + header[7:] + piece
        else:
            head = header[:2] + struct.pack(">HHH", 20 + len(piece), ident, more << 13 | at // 8) + header[8:10]
            head += b"\0\0" + header[12:]
            yield head[:10] + struct.pack(">H", checksum(head)) + head[12:] + piece


# ---- neighbour discovery (RFC 4861) ----

def solicited_node(addr):
    return socket.inet_ntop(socket.AF_INET6, packed("ff02::1:ff00:0")[:13] + packed(addr)[13:])


def group_mac(addr):
    return b"\x33\x33" + packed(addr)[12:]


def neighbour_solicitation(mac, src, target, dst=None):
    option = b"" if src == "::" else b"\1\1" + mac  # RFC 4861 section 4.3
    body = b"\0" * 4 + packed(target) + option
    return icmp(src, dst or solicited_node(target), NEIGHBOUR_SOLICITATION, 0, body, hop_limit=255)


class Packet:
    """What of a received frame the tests look at."""

    def __init__(self, frame):
        self.frame = frame
        self.dst_mac, self.src_mac = frame[:6], frame[6:12]
        self.ethertype = struct.unpack(">H", frame[12:14])[0]
        self.proto = None
        self.neighbour = None  # who says by ARP or ND that it is there: (address, MAC)
        body = frame[14:]
        if self.ethertype == ARP:
            self.operation = struct.unpack(">H", body[6:8])[0]
            self.sender = socket.inet_ntoa(body[14:18])
            self.sender_mac = body[8:14]
            if self.operation == 2:
                self.neighbour = (self.sender, self.sender_mac)
        elif self.ethertype == IPV4:
            size = struct.unpack(">H", body[2:4])[0]
            self.proto = body[9]
            self.src, self.dst = socket.inet_ntoa(body[12:16]), socket.inet_ntoa(body[16:20])
            self.payload = body[(body[0] & 15) * 4:size]
        elif self.ethertype == IPV6:
            self.proto = body[6]
            self.src, self.dst = (socket.inet_ntop(socket.AF_INET6, body[at:at + 16]) for at in (8, 24))
            self.payload = body[40:40 + struct.unpack(">H", body[4:6])[0]]
        if self.ethertype in (IPV4, IPV6):
            if self.proto in (TCP, UDP):
                self.sport, self.dport = struct.unpack(">HH", self.payload[:4])
            if self.proto == TCP:
                self.seq, self.ack = struct.unpack(">II", self.payload[4:12])
                self.flags = self.payload[13] & 0x3F
                self.data = self.payload[(self.payload[12] >> 4) * 4:]
            elif self.proto == UDP:
                self.data = self.payload[8:]
            elif self.proto in (ICMP, ICMPV6):
                self.kind, self.code = self.payload[0], self.payload[1]
                if self.proto == ICMPV6 and self.kind == NEIGHBOUR_ADVERTISEMENT:
                    self.neighbour = (socket.inet_ntop(socket.AF_INET6, self.payload[8:24]), self.payload[26:32])

    def is_error(self):
        """Whether it is an ICMP error; what it quotes is then in payload[8:]."""
        return (self.proto == ICMP and self.kind in (3, 11)) or (self.proto == ICMPV6 and self.kind < 128)


class Wire:
    """The guest's end of a stream link, connected to weir's socket."""

    def __init__(self, plan, path, mac="02:00:00:00:00:02"):
        self.plan = plan
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.gateway_mac = None
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.rest = b""

    def close(self):
        self.sock.close()

    # ---- bytes ----

    @staticmethod
    def framed(frame):
        return struct.pack(">I", len(frame)) + frame

    def eth(self, ethertype, payload, dst=None):
        return (dst or self.gateway_mac) + self.mac + struct.pack(">H", ethertype) + payload

    def send(self, frame):
        self.sock.sendall(self.framed(frame))

    def send_ip(self, packet):
        self.send(self.eth(IPV6 if packet[0] >> 4 == 6 else IPV4, packet))

    def send_split(self, data, at):
        """Send so that weir reads data[:at] before there is any more."""
        self.sock.sendall(data[:at])
        wait_until(lambda: self.unread() == 0, what="weir reading what was sent")
        self.sock.sendall(data[at:])

    def unread(self):
        return struct.unpack("i", fcntl.ioctl(self.sock, SIOCOUTQ, b"\0" * 4))[0]

    def receive(self, timeout=5):
        """The next frame as a Packet; None when the link was closed."""
        self.sock.settimeout(timeout)
        while True:
            if len(self.rest) >= 4:
                end = 4 + struct.unpack(">I", self.rest[:4])[0]
                if len(self.rest) >= end:
                    frame, self.rest = self.rest[4:end], self.rest[end:]
                    return Packet(frame)
            try:
                chunk = self.sock.recv(1 << 20)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self.rest += chunk

    def receive_where(self, wanted, timeout=5):
        """The next frame that wanted(packet) is true of; others are thrown away."""
        while True:
            packet = self.receive(timeout)
            assert packet is not None, "weir closed the link"
            if wanted(packet):
                return packet

    # ---- a little of a network stack ----

    def arp_request(self, target, sender=None):
        asked = self.mac + socket.inet_aton(sender or self.plan.guest) + b"\0" * 6 + socket.inet_aton(target)
        return self.eth(ARP, struct.pack(">HHBBH", 1, IPV4, 6, 4, 1) + asked, BROADCAST)

    def solicitation(self, target):
        """Ask who has an address, by ARP or ND."""
        if ":" not in target:
            return self.arp_request(target)
        packet = neighbour_solicitation(self.mac, self.plan.guest, target)
        return self.eth(IPV6, packet, group_mac(solicited_node(target)))

    def neighbour(self):
        """The next (address, MAC) that says it is there."""
        return self.receive_where(lambda p: p.neighbour).neighbour

    def find_gateway(self):
        self.send(self.solicitation(self.plan.gateway))
        self.gateway_mac = self.neighbour()[1]
        return self

    def tcp(self, dst, sport, dport, flags, **fields):
        self.send_ip(tcp(fields.pop("src", self.plan.guest), dst, sport, dport, flags, **fields))

    def tcp_reply(self, sport, timeout=5):
        return self.receive_where(lambda p: p.proto == TCP and p.dport == sport, timeout)

    def udp(self, dst, sport, dport, data, src=None):
        self.send_ip(udp(src or self.plan.guest, dst, sport, dport, data))


DISCOVER, OFFER, REQUEST, ACKNOWLEDGE, REFUSE = 1, 2, 3, 5, 6


def dhcp(mac, kind, options=b""):
    """A client's message as an IP packet from 0.0.0.0 to everyone."""
    message = struct.pack(">BBBBIHH16x", 1, 1, 6, 0, 0x12345678, 0, 0x8000) + mac + b"\0" * 202
    message += bytes([0x63, 0x82, 0x53, 0x63, 53, 1, kind]) + options + b"\xff"
    return udp("0.0.0.0", "255.255.255.255", 68, 67, message)


def dhcp_options(message):
    """The options of a reply's BOOTP message, by code."""
    found, at = {}, 240
    while message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        code, size = message[at], message[at + 1]
        found[code] = message[at + 2:at + 2 + size]
        at += 2 + size
    return found


# ---- many frames ----

def with_sport(packet, sport):
    """The same TCP packet from another port; its checksum follows (RFC 1624)."""
    ip_header, packet = (packet[:20], packet[20:]) if packet[0] >> 4 == 6 else (b"", packet)  # the rest is as long
    old, total = struct.unpack(">H", packet[20:22])[0], struct.unpack(">H", packet[36:38])[0]
    total = (~total & 0xFFFF) + (~old & 0xFFFF) + sport
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (ip_header + packet[:20] + struct.pack(">H", sport) + packet[22:36] +
            struct.pack(">H", ~total & 0xFFFF) + packet[38:])


# A socket filter: frames with a neighbour advertisement and nothing else.
LOAD_BYTE, JUMP_IF_EQUAL, RETURN = 0x30, 0x15, 0x06
ADVERTISEMENTS = ((LOAD_BYTE, 0, 0, 14 + 6), (JUMP_IF_EQUAL, 0, 3, ICMPV6), (LOAD_BYTE, 0, 0, 14 + 40),
                  (JUMP_IF_EQUAL, 0, 1, NEIGHBOUR_ADVERTISEMENT), (RETURN, 0, 0, 0xFFFF), (RETURN, 0, 0, 0))


class Injector(Wire):
    """Frames from a real guest's own device that its kernel knows nothing of; and what comes back.

    fence() returns once weir has read everything that was sent before it: with one in every BURST frames the device's
    queue (8192 where weir makes the TAP) loses none, neither of these nor of the kernel's.
    """

    BURST = 2048
    SNAP_BYTES = 128  # enough of a frame for its headers, and for what scripted flows receive
    SO_RCVBUFFORCE, SO_ATTACH_FILTER = 33, 26

    def __init__(self, vm, device="eth0"):  # nothing of Wire's: there is no socket of weir's here
        self.plan = vm.plan
        v6 = ":" in self.plan.guest
        self.ethertype = IPV6 if v6 else IPV4
        self.sock = self._packet_socket(vm.guest, device, self.ethertype)
        # In IPv6 the link-local address: the guest's own kernel, which knows the other one, never asks for it.
        self.asked = ROUTER6 if v6 else self.plan.gateway
        self.arp_sock = self._packet_socket(vm.guest, device, IPV6 if v6 else ARP, ADVERTISEMENTS if v6 else ())
        self.mac = self.sock.getsockname()[4]
        self.gateway_mac = self.fence()

    def _packet_socket(self, ns, device, ethertype, program=()):
        sock = ns.socket(socket.AF_PACKET, socket.SOCK_RAW)  # protocol 0: it hears nothing before it is bound
        sock.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, 64 * 1024 * 1024)
        if program:
            code = b"".join(struct.pack("HBBI", *step) for step in program)
            buffer = ctypes.create_string_buffer(code)
            sock.setsockopt(socket.SOL_SOCKET, self.SO_ATTACH_FILTER,
                            struct.pack("HxxxxxxL", len(program), ctypes.addressof(buffer)))
        sock.bind((device, ethertype))
        return sock

    def close(self):
        self.sock.close()
        self.arp_sock.close()

    @staticmethod
    def framed(frame):
        return frame

    def fence(self):
        """A solicitation and its answer, which is the gateway's address."""
        self.send(self.solicitation(self.asked))
        self.arp_sock.settimeout(10)
        while True:
            found = Packet(self.arp_sock.recv(self.SNAP_BYTES)).neighbour
            if found and found[0] == self.asked:
                return found[1]

    def burst(self, packets):
        """Send IP packets at once; the caller sees to the fence."""
        head = self.eth(self.ethertype, b"")
        for packet in packets:
            self.sock.send(head + packet)

    def receive(self, timeout=5):
        self.sock.settimeout(timeout)
        return Packet(self.sock.recv(self.SNAP_BYTES))

    def answers(self):
        """The TCP packets that have come so far."""
        found = []
        try:
            while True:
                packet = self.receive(0)
                if packet.proto == TCP:
                    found.append(packet)
        except BlockingIOError:
            return found
