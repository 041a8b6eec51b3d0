"""TCP as exact segments: a guest made of bytes against weir and a real server."""
import struct

import pytest

import frames
import servers
from frames import ACK, FIN, RST, SYN


class Guest:
    """A wire with the means for one connection at a time."""

    def __init__(self, lab, plan, server, args=()):
        self.vm = lab.vm(f"allow {plan.peer} any", link="wire", args=["-v", *args])
        self.wire = frames.Wire(plan, self.vm.path).find_gateway()
        self.peer, self.port = plan.peer, server.port

    def send(self, sport, flags, **fields):
        self.wire.tcp(self.peer, sport, self.port, flags, **fields)

    def connect(self, sport, seq=1000, **fields):
        """The three-way handshake; returns (our next sequence number, theirs)."""
        self.send(sport, SYN, seq=seq, **fields)
        answer = self.wire.tcp_reply(sport)
        assert answer.flags == SYN | ACK and answer.ack == seq + 1
        self.send(sport, ACK, seq=seq + 1, ack=answer.seq + 1)
        return seq + 1, answer.seq + 1

    def collect(self, sport, ours, theirs, count):
        """Receive `count` bytes, acknowledging each segment: (bytes, the longest segment)."""
        data, longest = b"", 0
        while len(data) < count:
            packet = self.wire.tcp_reply(sport)
            assert not packet.flags & (RST | FIN)
            longest = max(longest, len(packet.data))
            if packet.seq == theirs + len(data):
                data += packet.data
            self.send(sport, ACK, seq=ours, ack=theirs + len(data))
        return data, longest


def mss(size):
    return struct.pack(">BBH", 2, 4, size)


@pytest.mark.per_family("offered,longest", ipv4=[(536, 536), (1460, 1460), (9000, 1460)],
                        ipv6=[(1220, 1220), (1440, 1440), (9000, 1440)])
def test_a07_a08_no_segment_above_the_peers_mss_or_the_mtu(lab, plan, offered, longest):
    def script(conn):
        conn.sendall(b"x" * 20000)
        return conn.recv(1)

    guest = Guest(lab, plan, lab.serve(script))
    ours, theirs = guest.connect(4000, options=mss(offered))
    data, seen = guest.collect(4000, ours, theirs, 20000)
    assert data == b"x" * 20000 and seen == longest


@pytest.mark.per_family("mtu", ipv4=[576, 9000, 65520], ipv6=[1280, 9000, 65520])
def test_a07_the_mtu_is_the_bound(lab, plan, mtu):
    size = 200000

    def script(conn):
        conn.sendall(b"x" * size)
        return conn.recv(1)

    guest = Guest(lab, plan, lab.serve(script), args=["--mtu", str(mtu)])
    ours, theirs = guest.connect(4000, options=mss(65495))
    data, seen = guest.collect(4000, ours, theirs, size)
    assert len(data) == size and seen == mtu - plan.header - 20


def corrupt(packet, at):
    return packet[:at] + bytes([packet[at] ^ 0x55]) + packet[at + 1:]


def test_a11_a_wrong_checksum_is_dropped_and_counted(lab, plan):
    server = lab.serve_udp()
    guest = Guest(lab, plan, server)
    good = frames.udp(plan.guest, plan.peer, 4000, server.port, b"good")
    bad = frames.udp(plan.guest, plan.peer, 4000, server.port, b"bad!")
    syn = frames.tcp(plan.guest, plan.peer, 4001, server.port, SYN, seq=1)
    wrong = [corrupt(bad, plan.header + 6), corrupt(bad, plan.header + 10), corrupt(syn, plan.header + 16)]
    if plan.header == 20:
        wrong.append(corrupt(bad, 10))  # only IPv4's header has one
    for packet in (*wrong, good):
        guest.wire.send_ip(packet)
    answer = guest.wire.receive_where(lambda p: p.proto in (frames.TCP, frames.UDP))
    assert answer.proto == frames.UDP and answer.data == b"good"
    assert [data for _, data in server.seen] == [b"good"]
    guest.vm.weir.stop()
    assert guest.vm.weir.counter("frame.csum") == len(wrong)


def test_b20_a_stray_segment_gets_rst(lab, plan):
    guest = Guest(lab, plan, lab.serve(servers.swallow))
    guest.send(4000, ACK, seq=5, ack=77, data=b"who are you")
    answer = guest.wire.tcp_reply(4000)
    assert answer.flags & RST and answer.seq == 77  # RFC 9293 section 3.5.2
    guest.send(4001, FIN, seq=5)
    answer = guest.wire.tcp_reply(4001)
    assert answer.flags & RST and answer.ack == 6
    guest.vm.weir.stop()
    assert guest.vm.weir.counter("tcp.stray") == 2


def test_b20_a_syn_that_is_sent_again_is_one_connection(lab, plan):
    server = lab.serve(servers.echo)
    guest = Guest(lab, plan, server)
    guest.send(4000, SYN, seq=1000)
    first = guest.wire.tcp_reply(4000)
    guest.send(4000, SYN, seq=1000)
    again = guest.wire.tcp_reply(4000)
    assert (first.flags, again.flags) == (SYN | ACK, SYN | ACK) and first.seq == again.seq
    guest.send(4000, ACK, seq=1001, ack=first.seq + 1, data=b"hi")
    data, _ = guest.collect(4000, 1003, first.seq + 1, 2)
    assert data == b"hi" and server.accepted == 1


def test_b21_a_reset_outside_the_window_is_no_reset(lab, plan):
    server = lab.serve(servers.echo)
    guest = Guest(lab, plan, server)
    ours, theirs = guest.connect(4000)
    for seq in (ours - 1, ours + 8 * 1024 * 1024, ours ^ 0x80000000):
        guest.send(4000, RST, seq=seq)
    guest.send(4000, ACK, seq=ours, ack=theirs, data=b"still here")
    data, _ = guest.collect(4000, ours + 10, theirs, 10)
    assert data == b"still here"
    guest.send(4000, RST, seq=ours + 10)
    assert isinstance(server.result(), ConnectionResetError)


def test_b22_initial_sequence_numbers_cannot_be_guessed(lab, plan):
    guest = Guest(lab, plan, lab.serve(servers.swallow))
    numbers = []
    for sport in range(4000, 4300):
        guest.send(sport, SYN, seq=1000)
        answer = guest.wire.tcp_reply(sport)
        assert answer.flags == SYN | ACK
        numbers.append(answer.seq)
        guest.send(sport, RST, seq=1001)
    steps = {(b - a) & 0xFFFFFFFF for a, b in zip(numbers, numbers[1:])}
    assert len(set(numbers)) == len(numbers) and len(steps) > len(numbers) * 0.9
    # Not merely a fast clock: the numbers go up and down, and use all of the space.
    downs = sum(b < a for a, b in zip(numbers, numbers[1:]))
    assert len(numbers) * 0.3 < downs < len(numbers) * 0.7
    assert all(any(n >> 30 == quarter for n in numbers) for quarter in range(4))


def test_c13_t49_what_was_judged_is_what_is_sent(lab, plan):
    """Overlapping segments that differ: the server gets one stream, the first bytes that came."""
    server = lab.serve(servers.swallow)
    guest = Guest(lab, plan, server)
    ours, theirs = guest.connect(4000)
    guest.send(4000, ACK, seq=ours + 5, ack=theirs, data=b"-second")  # out of order, waits
    guest.send(4000, ACK, seq=ours, ack=theirs, data=b"first")
    guest.send(4000, ACK, seq=ours, ack=theirs, data=b"WRONG-WRONGG!")  # covers both, one byte is new
    guest.send(4000, ACK | FIN, seq=ours + 13, ack=theirs)
    assert server.result() == b"first-second!"


def test_a05_a_source_port_or_address_zero_is_no_flow(lab, plan):
    server = lab.serve(servers.swallow)
    guest = Guest(lab, plan, server)
    guest.wire.send_ip(frames.tcp(plan.guest, plan.peer, 0, server.port, SYN, seq=1))
    guest.wire.send_ip(frames.tcp(plan.guest, plan.peer, 4000, 0, SYN, seq=1))
    guest.wire.send_ip(frames.tcp(plan.any, plan.peer, 4000, server.port, SYN, seq=1))
    ours, theirs = guest.connect(4001)
    guest.send(4001, ACK | FIN, seq=ours, ack=theirs)
    server.result()
    assert server.accepted == 1
