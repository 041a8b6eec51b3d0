/*
 * Every drop, refusal and bound that was hit has exactly one counter here, by the name users see.
 * Names with the strings of docs/policy.md are reasons; the others count events of the engine.
 */
#ifndef WEIR_BASE_COUNTERS_H
#define WEIR_BASE_COUNTERS_H

#include <stdint.h>

#define COUNTERS(X)                                                                                \
    /* frames from the guest */                                                                    \
    X(FRAMES_IN, "frames.in")                                                                      \
    X(FRAMES_OUT, "frames.out")                                                                    \
    X(FRAME_BAD, "frame.bad")           /* runt, oversize, lengths that contradict each other */   \
    X(FRAME_CSUM, "frame.csum")         /* a checksum that does not hold */                        \
    X(FRAME_ETHERTYPE, "frame.ethertype")                                                          \
    X(SPOOF_SRC, "spoof.src")                                                                      \
    X(IP_OPTIONS, "ip.options")         /* and IPv6 extension headers */                           \
    X(IP_FRAG, "ip.frag")               /* fragments dropped: overlap, bound, time */              \
    X(PROTO_L3, "proto.l3")                                                                        \
    X(IPV6_OFF, "ipv6.off")             /* IPv6 frames while IPv6 is off */                        \
    X(ARP_BAD, "arp.bad")                                                                          \
    X(ND_BAD, "nd.bad")                 /* neighbour discovery: malformed, or in fragments */      \
    X(ARP_IGNORED, "arp.ignored")       /* who-has for an address we do not answer for */          \
    X(GROUP_REPORT, "group.report")     /* IGMP, MLD: no drop; there are no groups to keep */      \
    X(DHCP_BAD, "dhcp.bad")                                                                        \
    X(DHCP_NAK, "dhcp.nak")                                                                        \
    X(ICMP_IGNORED, "icmp.ignored")                                                                \
    X(MULTICAST, "multicast")           /* group and broadcast datagrams: never relayed */         \
    X(TCP_STRAY, "tcp.stray")           /* segments of no flow: answered with RST */               \
    X(TCP_POOL_FULL, "tcp.pool_full")   /* payload dropped before lwIP: the pool is full */        \
    X(TCP_OPT_MSS, "tcp.opt_mss")       /* MSS option outside a SYN overwritten */                 \
    X(HEAP_FULL, "heap.full")           /* lwIP's bounded heap said no */                          \
    X(POOL_FULL, "pool.full")           /* buffers refused: the reserve alone is left */           \
    X(LINK_FULL_TCP, "link.full_tcp")   /* TCP frames kept: the link was full */                   \
    X(LINK_FULL_DROP, "link.full_drop") /* other frames dropped: the link was full */              \
    X(LINK_DOWN, "link.down")           /* frames dropped: no guest, or its link broke */          \
    X(LINK_BAD_LENGTH, "link.bad_length")                                                          \
    X(LINK_LOST, "link.lost")                                                                      \
    X(LINK_REENTERED, "link.reentered") /* frames from inside a callback of ours: dropped */       \
    X(UDP_TOO_BIG, "udp.too_big")                                                                  \
    X(UDP_NOT_CONTACTED, "udp.not_contacted") /* reply from a peer the guest never wrote to */     \
    X(UDP_HELD_DROP, "udp.held_drop")   /* too many before it was known where to */  \
    X(UDP_HOST_DROP, "udp.host_drop")   /* the host socket would not take it */                    \
    X(QUIC_DROPPED, "quic.dropped")     /* datagrams that are no part of a judged connection */    \
    X(RELAY_ERROR, "relay.error")       /* ICMP errors and the like, of datagrams sent */          \
    X(PING_FORBIDDEN, "ping.forbidden") /* the host lets this user send no pings */                \
    X(LIMIT_PING, "limit.ping")         /* echoes too large, or above a guest's budget */          \
    X(LIMIT_OWN_SOCKETS, "limit.own_sockets") /* busy UDP flows that share the socket of their endpoint */ \
    /* flows */                                                                                    \
    X(FLOWS_OPENED, "flows.opened")                                                                \
    X(FLOWS_DENIED, "flows.denied")                                                                \
    X(LIMIT_FLOWS, "limit.flows")                                                                  \
    X(LIMIT_HALFOPEN, "limit.halfopen")                                                            \
    X(LIMIT_RATE, "limit.rate")         /* new flows above a rule's rate= */                       \
    X(LIMIT_BYTES, "limit.bytes")       /* flows that met their rule's up= or down= */             \
    X(LIMIT_DIALS, "limit.dials")                                                                  \
    X(HOOK_FULL, "hook.full")           /* the embedder owes too many answers: refused */           \
    X(LIMIT_PEEK, "limit.peek")                                                                    \
    X(LIMIT_PINS, "limit.pins")                                                                    \
    X(LIMIT_DNS, "limit.dns")                                                                      \
    X(HOST_FD, "host.fd")               /* EMFILE, ENFILE, ENOBUFS, ENOMEM from a host socket */   \
    X(DIAL_REFUSED, "dial.refused")                                                                \
    X(DIAL_UNREACHABLE, "dial.unreachable")                                                        \
    X(DIAL_TIMEOUT, "dial.timeout")                                                                \
    /* resolver */                                                                                 \
    X(DNS_QUERIES, "dns.queries")                                                                  \
    X(DNS_CACHED, "dns.cached")         /* answered without an upstream */                         \
    X(DNS_DENIED, "dns.denied")                                                                    \
    X(DNS_BUDGET, "dns.budget")         /* too many new names under one wildcard */                \
    X(DNS_TYPE, "dns.type")                                                                        \
    X(DNS_MALFORMED, "dns.malformed")                                                              \
    X(DNS_REBIND, "dns.rebind")                                                                    \
    X(DNS_UNROUTED, "dns.unrouted")     /* addresses left out of answers: the host has no route */ \
    X(DNS_UPSTREAM, "dns.upstream")     /* no upstream answered in time */                         \
    X(DNS_UPSTREAM_BAD, "dns.upstream_bad") /* answers that did not fit their question */          \
    /* log */                                                                                      \
    X(LOG_LOST, "log.lost")

enum counter {
#define X(id, name) COUNTER_##id,
    COUNTERS(X)
#undef X
    COUNTER_COUNT
};

struct counters {
    uint64_t n[COUNTER_COUNT];
};

const char *counter_name(enum counter c);

static inline void counter_bump(struct counters *counters, enum counter c)
{
    counters->n[c]++;
}

#endif
