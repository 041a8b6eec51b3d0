/*
 * A guest's query. It is read to its last byte before anything of it is believed: one question, and behind it one OPT
 * record or nothing. Stubs send no more; what else stood there could only be meant for somebody the query never
 * reaches.
 */
#include "policy/dns.h"

#include <string.h>

#include "policy/dns_wire.h"

enum { UDP_BYTES_MIN = 512 /* RFC 1035 section 2.3.4, RFC 6891 section 6.2.3 */ };

_Static_assert(DNS_NAME_BYTES_MAX <= sizeof(((struct dns_query *)0)->qname), "a question's name fits");

/* RFC 6891 section 6.1.2: options are told apart by lengths that fill the record exactly. */
static bool options_fit(struct cursor options)
{
    uint16_t code, len;

    while (cursor_left(&options) > 0)
        if (!cursor_u16(&options, &code) || !cursor_u16(&options, &len) || !cursor_skip(&options, len))
            return false;
    return true;
}

/* Return: whether it is an OPT record of the only version there is. */
static bool opt_read(const uint8_t *message, struct cursor *c, struct dns_query *q)
{
    struct dns_record opt;

    /* The owner is the root, written out: nothing in a query is compressed. */
    if (cursor_left(c) == 0 || c->at[0] != 0 || dns_record_read(message, c, &opt) < 0 ||
        opt.type != DNS_TYPE_OPT || !options_fit(opt.rdata))
        return false;
    q->edns = true;
    q->dnssec_ok = (opt.ttl & DNS_OPT_DO) != 0;
    if (opt.klass > UDP_BYTES_MIN)
        q->udp_bytes_max = opt.klass < DNS_UDP_BYTES_MAX ? opt.klass : DNS_UDP_BYTES_MAX;
    return (opt.ttl >> 16 & 0xff) == 0;
}

static bool question_read(struct cursor *c, struct dns_query *q, struct dns_name *out_name)
{
    if (dns_name_read_plain(c, out_name) < 0 || !cursor_u16(c, &q->type) || !cursor_u16(c, &q->klass))
        return false;
    memcpy(q->qname, out_name->bytes, out_name->len);
    q->qname_len = out_name->len;
    return true;
}

enum dns_query_result dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *out_query)
{
    struct cursor c = cursor_of(bytes, len);
    struct dns_query *q = out_query;
    struct dns_header header;
    struct dns_name name;

    memset(q, 0, sizeof(*q));
    q->udp_bytes_max = UDP_BYTES_MIN;
    q->ede = DNS_EDE_NONE;
    /* An answer to an answer could be answered as well, for ever. */
    if (!dns_header_read(&c, &header) || header.flags & DNS_FLAG_QR)
        return DNS_QUERY_DROP;
    q->id = header.id;
    q->flags = header.flags;
    if (header.flags & DNS_FLAG_OPCODE)
        return DNS_QUERY_NOTIMP;
    if (header.questions != 1 || header.answers != 0 || header.authorities != 0 || header.additionals > 1)
        return DNS_QUERY_FORMERR;
    if (!question_read(&c, q, &name))
        return DNS_QUERY_FORMERR;
    if (header.additionals == 1 && !opt_read(bytes, &c, q))
        return DNS_QUERY_FORMERR;
    if (cursor_left(&c) > 0)
        return DNS_QUERY_FORMERR;
    if (q->klass != DNS_CLASS_IN || !(header.flags & DNS_FLAG_RD)) {
        q->ede = q->klass != DNS_CLASS_IN ? DNS_EDE_NOT_SUPPORTED : DNS_EDE_NOT_AUTHORITATIVE;
        return DNS_QUERY_REFUSED;
    }
    if (dns_name_to_text(&name, q->name) < 0) {
        q->ede = DNS_EDE_BLOCKED;
        return DNS_QUERY_INVALID_NAME;
    }
    return DNS_QUERY_OK;
}
