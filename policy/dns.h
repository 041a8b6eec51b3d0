/*
 * DNS messages (RFC 1035, RFC 6891, RFC 8914): the guest's query read strictly, the upstream's
 * answer read strictly, and fresh messages written. Nothing is ever relayed.
 *
 *   dns_query.c   what a guest asks          dns_reply.c   what it is told
 *   dns_answer.c  what an upstream is asked, and says
 */
#ifndef WEIR_POLICY_DNS_H
#define WEIR_POLICY_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/name.h"

enum {
    DNS_UDP_BYTES_MAX = 1232,   /* largest answer over UDP, whatever the client offers */
    DNS_MESSAGE_BYTES_MAX = 65535,
    DNS_ADDRS_MAX = 64,         /* addresses taken from one answer */
    DNS_CHAIN_MAX = 16,         /* CNAMEs followed in one answer */
    DNS_RECORDS_MAX = 256,      /* records of other types taken from one answer, and their bytes in all */
    DNS_RECORDS_BYTES_MAX = 16384,

    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_SVCB = 64,
    DNS_TYPE_HTTPS = 65,

    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,

    /* Extended errors (RFC 8914 section 4) */
    DNS_EDE_NONE = -1,
    DNS_EDE_FORGED_ANSWER = 4,      /* no failure, but not all that the zone has */
    DNS_EDE_CACHED_ERROR = 13,
    DNS_EDE_NOT_READY = 14,         /* nobody could be asked */
    DNS_EDE_BLOCKED = 15,
    DNS_EDE_NOT_AUTHORITATIVE = 20, /* to questions that want no recursion */
    DNS_EDE_NOT_SUPPORTED = 21,
    DNS_EDE_NO_REACHABLE_AUTHORITY = 22,
    DNS_EDE_NETWORK_ERROR = 23,     /* somebody answered, and nothing of use */
};

/* A query as far as it could be understood. Value type. */
struct dns_query {
    uint16_t id;
    uint16_t flags;               /* as received: RD and CD are echoed */
    uint16_t type, klass;         /* klass: the question's class */
    char name[NAME_TEXT_MAX + 1]; /* canonical; "" when the question has none */
    uint8_t qname[256];           /* the question's name exactly as sent (case kept), wire form */
    uint8_t qname_len;            /* 0: there is no question to echo */
    bool edns;                    /* the query had an OPT record */
    bool dnssec_ok;               /* its DO bit, echoed (RFC 3225 section 3); no signatures come with it */
    uint16_t udp_bytes_max;       /* what an answer over UDP may take: 512..DNS_UDP_BYTES_MAX */
    int ede;                      /* what is wrong with it: DNS_EDE_* */
};

enum dns_query_result {
    DNS_QUERY_OK,
    DNS_QUERY_DROP,         /* too short to answer, or itself a response */
    DNS_QUERY_FORMERR,      /* qdcount != 1, records in answer/authority, compression in the question, anything in
                               additional but one OPT, an EDNS version other than 0, trailing bytes */
    DNS_QUERY_NOTIMP,       /* opcode other than QUERY */
    DNS_QUERY_REFUSED,      /* class other than IN, or no recursion desired: there is no zone of ours to ask */
    DNS_QUERY_INVALID_NAME, /* readable question, name.invalid: answered with NXDOMAIN */
};

/**
 * Read a guest's query; @out_query is filled as far as needed to answer (id, flags, and qname when readable).
 *
 * An EDNS version other than 0 gets FORMERR where RFC 6891 section 6.1.3 has BADVERS: the answer's own OPT record says
 * 0 all the same, and there is no other version.
 */
enum dns_query_result dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *out_query);

/* An answer, positive or negative, as read from an upstream. Value type. */
struct dns_answer {
    int rcode;                      /* with its upper bits out of OPT (RFC 6891 section 6.1.3) */
    bool truncated;                 /* TC: ask again over TCP; nothing else is filled but rcode's lower bits */
    uint32_t ttl_s;                 /* the smallest along the chain; of negatives, per RFC 2308; 0 when unknown */
    struct addr addrs[DNS_ADDRS_MAX]; /* each once; those beyond DNS_ADDRS_MAX are left out */
    size_t addr_count;              /* 0 unless rcode is DNS_NOERROR */
    bool cut;                       /* something of the records was left out (dns_rdata_copy()) */
    unsigned record_count;          /* of other types than A and AAAA; 0 unless rcode is DNS_NOERROR */
    size_t records_len;
    uint8_t records[DNS_RECORDS_BYTES_MAX]; /* their data: a length in 2 bytes, and so many bytes, names in full */
};

/**
 * Write the query an upstream gets: one question, RD set, an OPT record with DNS_UDP_BYTES_MAX.
 *
 * Return: bytes written, or -ENOSPC. @name is canonical; 512 bytes are always enough.
 */
int dns_query_write(uint8_t *out, size_t cap, uint16_t id, const char *name, uint16_t type);

/**
 * Read an upstream's answer to (@id, @name, @type).
 *
 * Takes only records on the CNAME chain that starts at the question, in whatever order they stand; others are
 * ignored. A loop, a chain above DNS_CHAIN_MAX, a name with two targets or with a target and addresses are malformed.
 * Compression pointers only backward. The question must be echoed byte for byte, as dns_query_write() wrote it. For A
 * and AAAA queries `addrs` is filled, for other types `records`.
 *
 * Return: 0; -ENOENT when it is not an answer to this question (id, QR, question: to be ignored, T108);
 * -EBADMSG malformed; -E2BIG more records than fit: part of a set is told to nobody. @out_answer is written only on
 * success.
 */
int dns_answer_read(const uint8_t *bytes, size_t len, uint16_t id, const char *name, uint16_t type,
                    struct dns_answer *out_answer);

/* What the guest is to be told. */
struct dns_reply {
    int rcode;
    int ede;                     /* DNS_EDE_*, written only if the query had OPT */
    uint32_t ttl_s;
    const struct addr *addrs;    /* borrowed; those of the question's family become A or AAAA records */
    size_t addr_count;
    const struct dns_answer *answer; /* borrowed, or NULL: its records are told, which are of the question's type */
    const char *ptr;             /* borrowed: PTR target, or NULL */
    bool soa;                    /* a synthetic SOA in Authority (negative answers; RFC 2308) */
};

/**
 * Write the answer to @query: a fresh message with the question echoed byte for byte, RA set, AA clear, AD clear.
 *
 * @max: for UDP query->udp_bytes_max: what does not fit is left out and TC is set; for TCP 65535
 *
 * Return: bytes written (> 0), or -ENOSPC when @cap or @max cannot hold even an empty answer.
 */
int dns_reply_write(uint8_t *out, size_t cap, size_t max, const struct dns_query *query,
                    const struct dns_reply *reply);

/** The address a PTR name (in-addr.arpa, ip6.arpa) asks for. Return: 0, or -EINVAL. */
int dns_ptr_addr(const char *name, struct addr *out_addr);

#endif
