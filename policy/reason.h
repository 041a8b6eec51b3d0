/*
 * Reasons: the stable strings of flow records (docs/policy.md). One per verdict.
 */
#ifndef WEIR_POLICY_REASON_H
#define WEIR_POLICY_REASON_H

#define REASONS(X)                                                                                 \
    X(OK_RULE, "ok.rule")                                                                          \
    X(OK_DEFAULT, "ok.default")                                                                    \
    X(OK_HOOK, "ok.hook")                                                                          \
    X(DENY_DEFAULT, "deny.default")                                                                \
    X(DENY_RULE, "deny.rule")                                                                      \
    X(DENY_HOOK, "deny.hook")                                                                      \
    X(FLOOR_LOOPBACK, "deny.floor.loopback")                                                       \
    X(FLOOR_LINK_LOCAL, "deny.floor.link-local")                                                   \
    X(FLOOR_METADATA, "deny.floor.metadata")                                                       \
    X(FLOOR_MULTICAST, "deny.floor.multicast")                                                     \
    X(FLOOR_RESERVED, "deny.floor.reserved")                                                       \
    X(FLOOR_UNSPECIFIED, "deny.floor.unspecified")                                                 \
    X(FLOOR_HOST, "deny.floor.host")                                                               \
    X(FLOOR_PRIVATE, "deny.floor.private")                                                         \
    X(FLOOR_GUEST, "deny.floor.guest")                                                             \
    X(FLOOR_EMBEDDED, "deny.floor.embedded")                                                       \
    X(NAME_MISSING, "name.missing")                                                                \
    X(NAME_INVALID, "name.invalid")                                                                \
    X(NAME_MISMATCH, "name.mismatch")                                                              \
    X(NAME_UNPINNED, "name.unpinned")                                                              \
    X(NAME_AMBIGUOUS, "name.ambiguous")                                                            \
    X(ECH_DENIED, "ech.denied")                                                                    \
    X(HOST_MISMATCH, "host.mismatch")                                                              \
    X(TLS_MALFORMED, "tls.malformed")                                                              \
    X(TLS_TOO_BIG, "tls.too_big")                                                                  \
    X(TLS_SSLV2, "tls.sslv2")                                                                      \
    X(HTTP_MALFORMED, "http.malformed")                                                            \
    X(HTTP_TOO_BIG, "http.too_big")                                                                \
    X(PROTO_UNKNOWN, "proto.unknown")                                                              \
    X(PEEK_TIMEOUT, "peek.timeout")                                                                \
    X(QUIC_DENIED, "quic.denied")                                                                  \
    X(QUIC_VERSION, "quic.version")                                                                \
    X(QUIC_MALFORMED, "quic.malformed")                                                            \
    X(QUIC_NOINITIAL, "quic.noinitial")                                                            \
    X(QUIC_INCOMPLETE, "quic.incomplete")                                                          \
    X(DNS_DENIED, "dns.denied")                                                                    \
    X(DNS_TYPE, "dns.type")                                                                        \
    X(DNS_MALFORMED, "dns.malformed")                                                              \
    X(DNS_BUDGET, "dns.budget")                                                                    \
    X(DNS_BYPASS, "dns.bypass")                                                                    \
    X(DNS_REBIND, "dns.rebind")                                                                    \
    X(DNS_UPSTREAM, "dns.upstream")                                                                \
    X(LIMIT_FLOWS, "limit.flows")                                                                  \
    X(LIMIT_HALFOPEN, "limit.halfopen")                                                            \
    X(LIMIT_PEEK, "limit.peek")                                                                    \
    X(LIMIT_DIALS, "limit.dials")                                                                  \
    X(LIMIT_DNS, "limit.dns")                                                                      \
    X(LIMIT_RATE, "limit.rate")                                                                    \
    X(LIMIT_BYTES, "limit.bytes")                                                                  \
    X(POLICY_REVOKED, "policy.revoked")                                                            \
    X(POLICY_EXPIRED, "policy.expired")                                                            \
    X(HOOK_TIMEOUT, "hook.timeout")                                                                \
    X(DIAL_REFUSED, "dial.refused")                                                                \
    X(DIAL_UNREACHABLE, "dial.unreachable")                                                        \
    X(DIAL_TIMEOUT, "dial.timeout")                                                                \
    X(DIAL_RESET, "dial.reset")                                                                    \
    X(GUEST_CLOSED, "guest.closed")

enum reason {
#define X(id, text) REASON_##id,
    REASONS(X)
#undef X
    REASON_COUNT
};

const char *reason_text(enum reason reason);

#endif
