"""Frames by hand: a guest made of bytes on weir's stream link, for what a kernel would not send."""
import fcntl
import socket
import struct
import termios

from waiting import wait_until

ARP, IPV4 = 0x0806, 0x0800
TCP, UDP, ICMP = 6, 17, 1
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


def _pseudo(src, dst, proto, length):
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack(">BBH", 0, proto, length)


def udp(src, dst, sport, dport, data):
    head = struct.pack(">HHHH", sport, dport, 8 + len(data), 0)
    total = checksum(_pseudo(src, dst, UDP, 8 + len(data)) + head + data) or 0xFFFF
    return ipv4(src, dst, UDP, head[:6] + struct.pack(">H", total) + data)


def tcp(src, dst, sport, dport, flags, seq=0, ack=0, data=b"", window=65535, options=b""):
    words = (20 + len(options)) // 4
    head = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window,
                       0, 0) + options
    total = checksum(_pseudo(src, dst, TCP, len(head) + len(data)) + head + data)
    return ipv4(src, dst, TCP, head[:16] + struct.pack(">H", total) + head[18:] + data)


class Packet:
    """What of a received frame the tests look at."""

    def __init__(self, frame):
        self.frame = frame
        self.dst_mac, self.src_mac = frame[:6], frame[6:12]
        self.ethertype = struct.unpack(">H", frame[12:14])[0]
        self.proto = None
        body = frame[14:]
        if self.ethertype == ARP:
            self.operation = struct.unpack(">H", body[6:8])[0]
            self.sender = socket.inet_ntoa(body[14:18])
            self.sender_mac = body[8:14]
        elif self.ethertype == IPV4:
            size = struct.unpack(">H", body[2:4])[0]
            self.proto = body[9]
            self.src, self.dst = socket.inet_ntoa(body[12:16]), socket.inet_ntoa(body[16:20])
            self.payload = body[(body[0] & 15) * 4:size]
            if self.proto in (TCP, UDP):
                self.sport, self.dport = struct.unpack(">HH", self.payload[:4])
            if self.proto == TCP:
                self.seq, self.ack = struct.unpack(">II", self.payload[4:12])
                self.flags = self.payload[13] & 0x3F
                self.data = self.payload[(self.payload[12] >> 4) * 4:]
            elif self.proto == UDP:
                self.data = self.payload[8:]
            elif self.proto == ICMP:
                self.kind, self.code = self.payload[0], self.payload[1]


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
        self.send(self.eth(IPV4, packet))

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

    def find_gateway(self):
        self.send(self.arp_request(self.plan.gateway))
        self.gateway_mac = self.receive_where(lambda p: p.ethertype == ARP).sender_mac
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
