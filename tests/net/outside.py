"""The trap: a world in which every address there is takes what it is given, and nothing that leaves goes unseen.

    guest -- weir -- [ loopback device of the world: all addresses of the family are local ] -- servers on many ports
                                       |
                                    Watch: a copy of every packet

No address is left that would refuse a packet by itself, so that nothing is kept back but by weir.
"""
import socket
import time

import pytest

import frames
import lab as laboratory
import servers
from plan import endpoint
from programs import REFUSED_S, Inside
from waiting import undisturbed

TCP_PORTS = (22, 25, 80, 443, 853, 7000, 8443, 9418)
UDP_PORTS = (69, 123, 443, 500, 514, 853, 3478, 4500, 5353, 7000, 51820)
RESOLVER_PORT, HTTP_PORT = 53, 80

SECRET = "s3cr3t-t0k3n"
EXACT, PLAIN = "good.shared.example", "peer.lab.example"
RULES = (f"allow {EXACT} tcp/443", "allow *.cdn.example tcp/443", f"allow {PLAIN} tcp/80")


def thank(conn):
    """A web server that takes what comes to its end, and then says that it has it."""
    data = servers.swallow(conn)
    if data:
        conn.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    return data


class Watch:
    """Copies of all packets that a namespace sends from here on, whatever the device."""

    ETH_P_ALL, SO_RCVBUFFORCE = 3, 33

    def __init__(self, ns):
        self.sock = ns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(self.ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, 64 * 1024 * 1024)
        self.sock.setblocking(False)

    def packets(self):
        """Those since the last time. A packet is copied while the call that sends it runs."""
        found = []
        try:
            while True:
                data, (_, ethertype, kind, _, _) = self.sock.recvfrom(1 << 16)
                if kind == socket.PACKET_OUTGOING:  # on a loopback each comes in as well
                    found.append(frames.Packet(b"\0" * 12 + ethertype.to_bytes(2, "big") + data))
        except BlockingIOError:
            return found

    def close(self):
        self.sock.close()


class Outside:
    """The world with the trap in it. What goes to the resolver is what the resolver was asked; the rest has leaked."""

    def __init__(self, directory, plan):
        self.plan = plan
        self.world = laboratory.World(directory, plan)
        self.programs, self.tcp = [], {}
        try:
            self.world.ns.sh("ip link set hole0 down")  # whose kernel would speak of itself
            for family in ("-4", "-6"):
                self.world.ns.sh(f"ip {family} route add local default dev lo")
            self.world.programs.append(servers.start_dnsmasq(self.world.ns, directory, plan, plan.resolver))
            for port in TCP_PORTS:
                self._listen(servers.TcpServer(self.world.ns, plan.any, port, thank if port == HTTP_PORT else servers.swallow))
            for port in UDP_PORTS:
                self.programs.append(servers.UdpServer(self.world.ns, plan.any, port))
            self._listen(servers.TcpServer(self.world.ns, plan.foreign_resolver, RESOLVER_PORT, servers.swallow))
            self.programs.append(servers.UdpServer(self.world.ns, plan.foreign_resolver, RESOLVER_PORT))
            self.watch = Watch(self.world.ns)
            self.programs.append(self.watch)
        except BaseException:
            self.close()
            raise

    def _listen(self, server):
        self.tcp[server.port] = server
        self.programs.append(server)

    def leaked(self):
        """Packets of this turn that went anywhere but to and from the resolver; and what that one was sent, as bytes."""
        leaked, asked = [], b""
        for packet in self.watch.packets():
            ends = {(packet.src, getattr(packet, "sport", None)), (packet.dst, getattr(packet, "dport", None))}
            if (self.plan.resolver, RESOLVER_PORT) in ends:
                asked += packet.payload
            else:
                leaked.append(packet)
        return leaked, asked

    def close(self):
        for program in self.programs:
            program.close()
        self.world.close()


class Spy:
    """A guest with a secret, and the ledger of its tries.

    end() demands that weir's log holds exactly the refusals that refused() was told of, and that the trap saw nothing.
    `repeats` of them were tried more than once, for which there is one more record. Two kinds of (address, port) may
    have been dialled: `dialled` for an allowed name, but without a byte; `served` with bytes, but not with the secret.
    """

    def __init__(self, lab, outside):
        self.lab, self.outside, self.plan = lab, outside, outside.plan
        outside.leaked()  # of an earlier test
        self.vm = lab.vm(*RULES, args=["-v"])
        self.weir, self.guest = self.vm.weir, self.vm.guest
        self.inside = Inside(lab, self.vm)
        self.tries = 0
        self.asked = b""

    def refused(self, reason, ev="deny", **fields):
        """There is exactly one record with these fields."""
        record = self.weir.expect(ev=ev, reason=reason, verdict="deny", repeat=None, **fields)
        self.tries += 1
        return record

    def run(self, *argv, **kwargs):
        return self.inside.refused(*argv, **kwargs)

    def curl(self, *arguments, status):
        done = self.run("curl", "--silent", "--show-error", "--insecure", "--max-time", "10", *arguments)
        assert done.returncode == status, done
        return done

    def connect_refused(self, addr, port, source_port=0):
        """A connection that is refused by RST, at once."""
        with self.vm.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.plan.any, source_port))
            with undisturbed(self.weir.process.pid):
                start = time.monotonic()
                with pytest.raises(ConnectionRefusedError):
                    sock.connect((addr, port))
                assert time.monotonic() - start < REFUSED_S

    def datagram_refused(self, addr, port, data):
        """A datagram that is refused by ICMP, at once."""
        with self.vm.udp(addr, port, timeout=REFUSED_S) as sock:
            sock.send(data)
            with pytest.raises(OSError) as told:
                sock.recv(10)
            assert told.value.errno == self.plan.denied_errno, told.value

    def end(self, dialled=(), served=(), repeats=0):
        self.weir.stop()
        # A program asks for both families at once: a name's second question is a repeat.
        denied = [r for r in self.weir.records() if r["ev"] == "deny" or (r["ev"] == "dns" and "repeat" not in r)]
        assert len(denied) == self.tries + repeats, denied
        allowed = {r["dst"] for r in self.weir.records(verdict="allow")}
        assert allowed == {endpoint(*end) for end in served}
        leaked, self.asked = self.outside.leaked()
        for packet in leaked:
            ends = {(packet.src, getattr(packet, "sport", 0)), (packet.dst, getattr(packet, "dport", 0))}
            assert packet.proto == frames.TCP and ends & {*dialled, *served}, f"from, to {ends}: {packet.frame}"
            assert packet.data == b"" or ends & {*served}, packet.frame
            assert SECRET.encode() not in packet.frame
        assert SECRET.encode() not in self.asked.lower()
