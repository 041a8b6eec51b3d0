"""Who lives where. Every test gets a Plan, once for each entry of FAMILIES."""
import dataclasses
import errno
import socket

import dnsq

FAMILIES = ["ipv4", "ipv6"]


@dataclasses.dataclass(frozen=True)
class Plan:
    family: int
    any: str             # the wildcard to bind
    network: str         # of the guest
    prefix_len: int
    gateway: str         # and resolver
    guest: str
    alias: str           # the host alias, closed unless a rule opens `host`
    stranger: str        # an address of the guest's network that is nobody's
    public: str          # all the addresses below, moved into the group `public`
    local: str           # those of them that servers may bind
    hole_net: str        # those that swallow everything
    source: str          # what servers see as weir's address
    web: str             # nginx, one name
    cdn: str             # nginx, two names
    peer: str            # scripted servers
    peer2: str
    trap: str            # scripted, with a name of its own
    shared_trap: str     # scripted, with two names
    resolver: str        # dnsmasq
    silent_resolver: str # takes queries, never answers
    foreign_resolver: str  # some resolver a guest might ask directly
    hole: str
    unreachable: str     # EHOSTUNREACH on the host
    prohibited: str      # EACCES on the host
    unrouted: str        # public, but the host has no way there
    host_interface: str  # an address of the host's own, not public
    late_interface: str  # one that it may get later
    loopback: str        # of the host
    private: str         # a network of the group `private`
    private_host: str    # in it; nobody's
    block: str           # a small network among the servers
    in_block: str
    numbered: str        # `numbered % n` for n from 1 is an address among the servers'
    record: int          # the DNS type of the family's addresses
    other_record: int    # and of the other family's
    record_name: str
    header: int          # bytes of an IP header without options
    udp_max: int         # bytes of the largest datagram
    pause_s: int         # how long programs that pause do: the long one in one family is enough
    ip: str              # the command with this family
    nodad: str           # behind an address given by it: it may be used at once, not when the kernel gets to it
    proto_icmp: int
    unreachable_port: tuple  # ICMP type and code: nobody listens on that port
    unreachable_admin: tuple # a rule forbids it
    denied_errno: int    # what a program is told after unreachable_admin
    ping_denied: str     # and how ping(8) says it
    level: int           # of socket options
    recverr: int         # the option for errors that are not fatal (IP_RECVERR, IPV6_RECVERR)
    mtu_discover: int    # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER
    mtu: int             # IP_MTU, IPV6_MTU


IPV4 = Plan(
    family=socket.AF_INET, any="0.0.0.0",
    network="192.168.127.0/24", prefix_len=24, gateway="192.168.127.1", guest="192.168.127.2",
    alias="192.168.127.254", stranger="192.168.127.77",
    public="203.0.113.0/24", local="203.0.113.0/25", hole_net="203.0.113.128/26", source="203.0.113.1",
    web="203.0.113.10", cdn="203.0.113.11", peer="203.0.113.20", peer2="203.0.113.21", trap="203.0.113.22",
    shared_trap="203.0.113.23", resolver="203.0.113.53", silent_resolver="203.0.113.55",
    foreign_resolver="203.0.113.99", hole="203.0.113.130", unreachable="203.0.113.200",
    prohibited="203.0.113.201", unrouted="203.0.113.210", host_interface="198.51.100.7", late_interface="9.9.9.9",
    loopback="127.0.0.1", private="10.0.0.0/8", private_host="10.0.0.5", block="203.0.113.16/30",
    in_block="203.0.113.19", numbered="203.0.113.%u", record=dnsq.A, other_record=dnsq.AAAA, record_name="A",
    header=20, udp_max=65507, pause_s=5, ip="ip -4", nodad="", proto_icmp=1, unreachable_port=(3, 3), unreachable_admin=(3, 13),
    denied_errno=errno.EHOSTUNREACH, ping_denied="Packet filtered",
    level=socket.IPPROTO_IP, recverr=11, mtu_discover=10, mtu=14)

IPV6 = Plan(
    family=socket.AF_INET6, any="::",
    network="fd77:6569:72::/64", prefix_len=64, gateway="fd77:6569:72::1", guest="fd77:6569:72::2",
    alias="fd77:6569:72:0:ffff:ffff:ffff:fffe", stranger="fd77:6569:72::77",
    public="2001:db8:113::/48", local="2001:db8:113::/64", hole_net="2001:db8:113:1::/64", source="2001:db8:113::1",
    web="2001:db8:113::10", cdn="2001:db8:113::11", peer="2001:db8:113::20", peer2="2001:db8:113::21",
    trap="2001:db8:113::22", shared_trap="2001:db8:113::23", resolver="2001:db8:113::53",
    silent_resolver="2001:db8:113::55", foreign_resolver="2001:db8:113::99", hole="2001:db8:113:1::130",
    unreachable="2001:db8:113:2::200", prohibited="2001:db8:113:2::201", unrouted="2001:db8:113:3::210",
    host_interface="2001:db8:100::7", late_interface="2620:fe::9",
    loopback="::1", private="fd00:1::/32", private_host="fd00:1::5", block="2001:db8:113::18/126",
    in_block="2001:db8:113::19", numbered="2001:db8:113::%u", record=dnsq.AAAA, other_record=dnsq.A,
    record_name="AAAA", header=40, udp_max=65527, pause_s=1, ip="ip -6", nodad="nodad", proto_icmp=58, unreachable_port=(1, 4), unreachable_admin=(1, 1),
    denied_errno=errno.EACCES, ping_denied="Administratively prohibited",
    level=socket.IPPROTO_IPV6, recverr=25, mtu_discover=23, mtu=24)

PLANS = {"ipv4": IPV4, "ipv6": IPV6}
ROUTER6 = "fe80::1"  # the gateway's link-local address, which routers are known by


def endpoint(addr, port):
    """An address and a port in one word, as logs and programs write it."""
    return f"{in_url(addr)}:{port}"


def in_url(addr):
    return f"[{addr}]" if ":" in addr else addr


# Names the upstream resolver knows, by the address they have.
NAMES = {
    "web.lab.example": "web",
    "one.cdn.example": "cdn",
    "two.cdn.example": "cdn",
    "trap.lab.example": "trap",
    "good.shared.example": "shared_trap",
    "evil.shared.example": "shared_trap",
    "peer.lab.example": "peer",
    "secret.elsewhere.example": "peer2",
}
