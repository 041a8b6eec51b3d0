/*
 * What a guest is told: a message written from nothing. The question's name stands at offset 12, and every other name
 * that is needed is a pointer there or written out.
 */
#include "policy/dns.h"

#include <errno.h>

#include "base/check.h"
#include "policy/dns_wire.h"

enum {
    QNAME_POINTER = 0xc000 | DNS_HEADER_BYTES,
    OPT_BYTES = 11,         /* without options */
    OPTION_EDE = 15,        /* RFC 8914 section 2 */
    EDE_BYTES = 6,          /* with the option's head; no text: what the rules say is not the guest's to know */
    COUNTS_OFFSET = 4,      /* of the four section counts */
};

/* RFC 1035 section 3.3.13. The zone is nobody's; only its last number matters (RFC 2308 section 4). */
static const char soa_server[] = "gateway.weir.internal", soa_mailbox[] = "hostmaster.weir.internal";
enum { SOA_SERIAL = 1, SOA_REFRESH_S = 3600, SOA_RETRY_S = 600, SOA_EXPIRE_S = 86400 };

/* A reply on its way. */
struct reply {
    struct writer w;
    size_t tail_bytes; /* kept free for the OPT record */
    bool truncated;
};

/* Whether one more record of @bytes fits; once one did not, TC is set and what follows is left out as well. */
static bool has_room(struct reply *r, size_t bytes)
{
    if (r->truncated || r->w.cap - r->w.len < bytes + r->tail_bytes)
        r->truncated = true;
    return !r->truncated;
}

static void record_head(struct reply *r, uint16_t owner_pointer, uint16_t type, uint32_t ttl_s,
                        size_t rdata_bytes)
{
    if (owner_pointer > 0)
        writer_u16(&r->w, owner_pointer);
    else
        writer_u8(&r->w, 0);
    writer_u16(&r->w, type);
    writer_u16(&r->w, DNS_CLASS_IN);
    writer_u32(&r->w, ttl_s);
    writer_u16(&r->w, (uint16_t)rdata_bytes);
}

enum { RECORD_HEAD_BYTES = 12 };

/* Records that are told as they came. Return: records written. */
static uint16_t records_write(struct reply *r, const struct dns_query *query, const struct dns_reply *reply)
{
    struct cursor records = cursor_of(reply->answer->records, reply->answer->records_len), data;
    uint16_t count = 0, len;

    while (cursor_u16(&records, &len) && cursor_sub(&records, len, &data)) {
        if (!has_room(r, RECORD_HEAD_BYTES + len))
            break;
        record_head(r, QNAME_POINTER, query->type, reply->ttl_s, len);
        writer_bytes(&r->w, data.at, len);
        count++;
    }
    return count;
}

/* Return: records written. */
static uint16_t answers_write(struct reply *r, const struct dns_query *query, const struct dns_reply *reply)
{
    enum addr_family family = query->type == DNS_TYPE_A      ? ADDR_V4
                              : query->type == DNS_TYPE_AAAA ? ADDR_V6
                                                             : ADDR_NONE;
    uint16_t count = 0;

    if (reply->answer)
        return records_write(r, query, reply);
    for (size_t i = 0; i < reply->addr_count && family != ADDR_NONE; i++) {
        const struct addr *addr = &reply->addrs[i];

        if (addr->family != family)
            continue;
        if (!has_room(r, RECORD_HEAD_BYTES + addr_size(addr)))
            return count;
        record_head(r, QNAME_POINTER, query->type, reply->ttl_s, addr_size(addr));
        writer_bytes(&r->w, addr->bytes, addr_size(addr));
        count++;
    }
    if (reply->ptr && query->type == DNS_TYPE_PTR) {
        struct dns_name target;

        dns_name_from_text(reply->ptr, &target);
        if (!has_room(r, RECORD_HEAD_BYTES + target.len))
            return count;
        record_head(r, QNAME_POINTER, DNS_TYPE_PTR, reply->ttl_s, target.len);
        writer_bytes(&r->w, target.bytes, target.len);
        count++;
    }
    return count;
}

/* The name above the question's, as the zone that could say there is none: never the name denied itself. */
static uint16_t zone_pointer(const struct dns_query *query)
{
    if (query->qname_len < 2 || query->qname[1u + query->qname[0]] == 0)
        return 0; /* the root */
    return (uint16_t)(QNAME_POINTER + 1u + query->qname[0]);
}

/* Return: records written. */
static uint16_t soa_write(struct reply *r, const struct dns_query *query, const struct dns_reply *reply)
{
    struct dns_name server, mailbox;
    size_t rdata_bytes;

    if (!reply->soa || query->qname_len == 0)
        return 0;
    dns_name_from_text(soa_server, &server);
    dns_name_from_text(soa_mailbox, &mailbox);
    rdata_bytes = (size_t)server.len + mailbox.len + 20;
    if (!has_room(r, RECORD_HEAD_BYTES + rdata_bytes))
        return 0;
    record_head(r, zone_pointer(query), DNS_TYPE_SOA, reply->ttl_s, rdata_bytes);
    writer_bytes(&r->w, server.bytes, server.len);
    writer_bytes(&r->w, mailbox.bytes, mailbox.len);
    writer_u32(&r->w, SOA_SERIAL);
    writer_u32(&r->w, SOA_REFRESH_S);
    writer_u32(&r->w, SOA_RETRY_S);
    writer_u32(&r->w, SOA_EXPIRE_S);
    writer_u32(&r->w, reply->ttl_s);
    return 1;
}

static void opt_write(struct reply *r, const struct dns_query *query, const struct dns_reply *reply)
{
    bool ede = reply->ede != DNS_EDE_NONE;

    writer_u8(&r->w, 0);
    writer_u16(&r->w, DNS_TYPE_OPT);
    writer_u16(&r->w, DNS_UDP_BYTES_MAX);
    writer_u32(&r->w, query->dnssec_ok ? DNS_OPT_DO : 0);
    writer_u16(&r->w, ede ? EDE_BYTES : 0);
    if (ede) {
        writer_u16(&r->w, OPTION_EDE);
        writer_u16(&r->w, EDE_BYTES - 4);
        writer_u16(&r->w, (uint16_t)reply->ede);
    }
}

static void question_write(struct reply *r, const struct dns_query *query)
{
    if (query->qname_len == 0)
        return;
    writer_bytes(&r->w, query->qname, query->qname_len);
    writer_u16(&r->w, query->type);
    writer_u16(&r->w, query->klass);
}

int dns_reply_write(uint8_t *out, size_t cap, size_t max, const struct dns_query *query,
                    const struct dns_reply *reply)
{
    struct reply r = {.w = writer_of(out, cap < max ? cap : max)};
    uint16_t flags =
        DNS_FLAG_QR | DNS_FLAG_RA | (query->flags & (DNS_FLAG_OPCODE | DNS_FLAG_RD | DNS_FLAG_CD));
    uint16_t answers, authorities;
    long len;

    CHECK(reply->rcode >= 0 && reply->rcode <= DNS_FLAG_RCODE);
    if (query->edns)
        r.tail_bytes = OPT_BYTES + (reply->ede != DNS_EDE_NONE ? EDE_BYTES : 0);
    writer_u16(&r.w, query->id);
    writer_u16(&r.w, 0);
    writer_u16(&r.w, query->qname_len > 0);
    writer_u32(&r.w, 0);
    writer_u16(&r.w, query->edns);
    question_write(&r, query);
    if (r.w.overflow || r.w.cap - r.w.len < r.tail_bytes)
        return -ENOSPC;
    answers = answers_write(&r, query, reply);
    authorities = soa_write(&r, query, reply);
    if (query->edns)
        opt_write(&r, query, reply);
    writer_patch_u16(&r.w, 2, (uint16_t)(flags | (r.truncated ? DNS_FLAG_TC : 0) | reply->rcode));
    writer_patch_u16(&r.w, COUNTS_OFFSET + 2, answers);
    writer_patch_u16(&r.w, COUNTS_OFFSET + 4, authorities);
    len = writer_done(&r.w);
    CHECK(len > 0); /* every record was given its room before */
    return (int)len;
}

/* --- reverse names ---------------------------------------------------------------------------- */

/* A decimal byte without leading zeros, as one label. */
static bool octet_read(const char **text, uint8_t *out_byte)
{
    const char *p = *text;
    unsigned v = 0;

    if (p[0] == '0' && p[1] != '.')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = 10 * v + (unsigned)(*p - '0');
        if (v > UINT8_MAX)
            return false;
    }
    if (p == *text || *p != '.')
        return false;
    *text = p + 1;
    *out_byte = (uint8_t)v;
    return true;
}

static bool nibble_read(const char **text, uint8_t *out_nibble)
{
    const char *p = *text;

    if (p[0] >= '0' && p[0] <= '9')
        *out_nibble = (uint8_t)(p[0] - '0');
    else if (p[0] >= 'a' && p[0] <= 'f')
        *out_nibble = (uint8_t)(p[0] - 'a' + 10);
    else
        return false;
    if (p[1] != '.')
        return false;
    *text = p + 2;
    return true;
}

/* RFC 1035 section 3.5, RFC 3596 section 2.5: last byte first. */
int dns_ptr_addr(const char *name, struct addr *out_addr)
{
    const char *at = name;
    uint8_t bytes[16];
    unsigned n = 0;

    while (n < 4 && octet_read(&at, &bytes[3 - n]))
        n++;
    if (n == 4 && strcmp(at, "in-addr.arpa") == 0) {
        *out_addr = addr_from_v4(bytes);
        return 0;
    }
    at = name;
    for (n = 0; n < 16; n++) {
        uint8_t low, high;

        if (!nibble_read(&at, &low) || !nibble_read(&at, &high))
            return -EINVAL;
        bytes[15 - n] = (uint8_t)(high << 4 | low);
    }
    if (strcmp(at, "ip6.arpa") != 0)
        return -EINVAL;
    *out_addr = addr_from_v6(bytes);
    return 0;
}
