"""Who lives where. Every test gets a Plan, once for each entry of FAMILIES."""
import dataclasses
import socket

FAMILIES = ["ipv4"]


@dataclasses.dataclass(frozen=True)
class Plan:
    family: int
    any: str             # the wildcard to bind
    network: str         # of the guest
    prefix_len: int
    gateway: str
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
    host_interface: str  # an address of the host's own, not public


IPV4 = Plan(
    family=socket.AF_INET, any="0.0.0.0",
    network="192.168.127.0/24", prefix_len=24, gateway="192.168.127.1", guest="192.168.127.2",
    alias="192.168.127.254", stranger="192.168.127.77",
    public="203.0.113.0/24", local="203.0.113.0/25", hole_net="203.0.113.128/26", source="203.0.113.1",
    web="203.0.113.10", cdn="203.0.113.11", peer="203.0.113.20", peer2="203.0.113.21", trap="203.0.113.22",
    shared_trap="203.0.113.23", resolver="203.0.113.53", silent_resolver="203.0.113.55",
    foreign_resolver="203.0.113.99", hole="203.0.113.130", unreachable="203.0.113.200",
    prohibited="203.0.113.201", host_interface="198.51.100.7")

PLANS = {"ipv4": IPV4}

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
