/*
 * What an upstream is asked, and what it says. Of an answer, only what hangs together with the question is taken: the
 * records of the names on the CNAME chain that starts there, in whatever order they stand. The chain is followed by
 * walking the answer section once for every name on it; nothing is kept but the name sought.
 */
#include "policy/dns.h"

#include <errno.h>
#include <string.h>

#include "policy/dns_rdata.h"
#include "policy/dns_wire.h"

enum { RECORDS_MAX = 1024 /* of one section: every name of a chain walks the answers once */ };

int dns_query_write(uint8_t *out, size_t cap, uint16_t id, const char *name, uint16_t type)
{
    struct writer w = writer_of(out, cap);
    struct dns_name qname;
    long len;

    dns_name_from_text(name, &qname);
    writer_u16(&w, id);
    writer_u16(&w, DNS_FLAG_RD);
    writer_u16(&w, 1);
    writer_u32(&w, 0);
    writer_u16(&w, 1);
    writer_bytes(&w, qname.bytes, qname.len);
    writer_u16(&w, type);
    writer_u16(&w, DNS_CLASS_IN);
    writer_u8(&w, 0);
    writer_u16(&w, DNS_TYPE_OPT);
    writer_u16(&w, DNS_UDP_BYTES_MAX);
    writer_u32(&w, 0);
    writer_u16(&w, 0);
    len = writer_done(&w);
    return len < 0 ? -ENOSPC : (int)len;
}

/* An answer's sections, each from its first record on. */
struct message {
    const uint8_t *bytes; /* borrowed */
    struct dns_header header;
    struct cursor answers, authorities, additionals;
};

/* What is gathered of one answer, and where on the chain that stands. */
struct gather {
    struct dns_answer answer;
    struct writer records; /* into answer.records */
    struct dns_name name;  /* whose records are sought */
    uint16_t type;
    bool timed;            /* answer.ttl_s holds something */
    bool found;            /* there is a record of the type asked for */
};

/* Step over a section. Return: 0, or -EBADMSG. */
static int section_skip(const struct message *m, struct cursor *c, unsigned count)
{
    struct dns_record record;

    if (count > RECORDS_MAX)
        return -EBADMSG;
    for (unsigned i = 0; i < count; i++)
        if (dns_record_read(m->bytes, c, &record) < 0)
            return -EBADMSG;
    return 0;
}

static int sections_find(struct message *m, struct cursor c)
{
    m->answers = c;
    if (section_skip(m, &c, m->header.answers) < 0)
        return -EBADMSG;
    m->authorities = c;
    if (section_skip(m, &c, m->header.authorities) < 0)
        return -EBADMSG;
    m->additionals = c;
    if (section_skip(m, &c, m->header.additionals) < 0)
        return -EBADMSG;
    return cursor_left(&c) == 0 ? 0 : -EBADMSG;
}

static void ttl_take(struct gather *g, uint32_t ttl_s)
{
    if (ttl_s > INT32_MAX)
        ttl_s = 0; /* RFC 2181 section 8 */
    if (!g->timed || ttl_s < g->answer.ttl_s)
        g->answer.ttl_s = ttl_s;
    g->timed = true;
}

static void addr_take(struct dns_answer *answer, const struct addr *addr)
{
    for (size_t i = 0; i < answer->addr_count; i++)
        if (addr_equal(&answer->addrs[i], addr))
            return;
    if (answer->addr_count < DNS_ADDRS_MAX)
        answer->addrs[answer->addr_count++] = *addr;
}

/* Take what is no address. Return: 0, -EBADMSG or -E2BIG. */
static int record_take(const struct message *m, struct gather *g, const struct dns_record *record)
{
    struct writer *w = &g->records;
    size_t start = w->len;
    int fate;

    writer_u16(w, 0);
    fate = dns_rdata_copy(m->bytes, record->rdata, record->type, w);
    if (fate < 0)
        return fate;
    if (w->overflow || g->answer.record_count == DNS_RECORDS_MAX)
        return -E2BIG;
    g->answer.cut = g->answer.cut || fate != DNS_RDATA_WHOLE;
    if (fate == DNS_RDATA_WITHHELD) {
        w->len = start;
        return 0;
    }
    writer_patch_u16(w, start, (uint16_t)(w->len - start - 2));
    g->answer.record_count++;
    return 0;
}

/* Take the data of a record of the type asked for. Return: 0, -EBADMSG or -E2BIG. */
static int data_take(const struct message *m, struct gather *g, const struct dns_record *record)
{
    size_t size = record->type == DNS_TYPE_A ? 4 : 16;
    struct addr addr;

    if (record->type != DNS_TYPE_A && record->type != DNS_TYPE_AAAA)
        return record_take(m, g, record);
    if (cursor_left(&record->rdata) != size)
        return -EBADMSG;
    addr = size == 4 ? addr_from_v4(record->rdata.at) : addr_from_v6(record->rdata.at);
    addr_take(&g->answer, &addr);
    return 0;
}

/* The CNAME's target: a name and nothing else. */
static int target_read(const struct message *m, const struct dns_record *record, struct dns_name *out_target)
{
    struct cursor rdata = record->rdata;

    if (dns_name_read(m->bytes, &rdata, out_target) < 0)
        return -EBADMSG;
    return cursor_left(&rdata) == 0 ? 0 : -EBADMSG;
}

/*
 * Gather the records of the name sought.
 *
 * Return: 1 it is an alias, @out_target says of what; 0 it is none; -EBADMSG; -E2BIG.
 */
static int name_gather(const struct message *m, struct gather *g, struct dns_name *out_target)
{
    struct cursor c = m->answers;
    bool alias = false, data = false;
    int err;

    for (unsigned i = 0; i < m->header.answers; i++) {
        struct dns_record record;
        struct dns_name target;

        if (dns_record_read(m->bytes, &c, &record) < 0)
            return -EBADMSG;
        if (record.klass != DNS_CLASS_IN || !dns_name_equal(&record.owner, &g->name))
            continue;
        if (record.type == g->type) {
            data = true;
            ttl_take(g, record.ttl);
            err = data_take(m, g, &record);
            if (err < 0)
                return err;
        } else if (record.type == DNS_TYPE_CNAME) {
            if (target_read(m, &record, &target) < 0 || (alias && !dns_name_equal(&target, out_target)))
                return -EBADMSG;
            ttl_take(g, record.ttl);
            *out_target = target;
            alias = true;
        }
    }
    g->found = data;
    /* RFC 1034 section 3.6.2: an alias has no other data. */
    return alias && data ? -EBADMSG : alias;
}

/* Return: 0, -EBADMSG or -E2BIG. */
static int chain_follow(const struct message *m, struct gather *g)
{
    for (unsigned hops = 0; hops <= DNS_CHAIN_MAX; hops++) {
        struct dns_name target;
        int r = name_gather(m, g, &target);

        if (r <= 0)
            return r;
        g->name = target;
    }
    return -EBADMSG;
}

/* RFC 2308 section 5: how long "there is none" may be believed, by the SOA of a zone around the name. */
static int negative_read(const struct message *m, struct gather *g)
{
    struct cursor c = m->authorities;

    for (unsigned i = 0; i < m->header.authorities; i++) {
        struct dns_record record;
        struct dns_name name;
        uint32_t minimum;

        if (dns_record_read(m->bytes, &c, &record) < 0)
            return -EBADMSG;
        if (record.type != DNS_TYPE_SOA || record.klass != DNS_CLASS_IN ||
            !dns_name_within(&g->name, &record.owner))
            continue;
        if (dns_name_read(m->bytes, &record.rdata, &name) < 0 ||
            dns_name_read(m->bytes, &record.rdata, &name) < 0 || !cursor_skip(&record.rdata, 16) ||
            !cursor_u32(&record.rdata, &minimum) || cursor_left(&record.rdata) > 0)
            return -EBADMSG;
        ttl_take(g, record.ttl);
        ttl_take(g, minimum);
        return 0;
    }
    g->answer.ttl_s = 0;
    return 0;
}

/* The upper bits of the rcode. Return: 0, or -EBADMSG: more than one OPT (RFC 6891 section 6.1.1). */
static int opt_read(const struct message *m, struct gather *g)
{
    struct cursor c = m->additionals;
    bool seen = false;

    for (unsigned i = 0; i < m->header.additionals; i++) {
        struct dns_record record;

        if (dns_record_read(m->bytes, &c, &record) < 0)
            return -EBADMSG;
        if (record.type != DNS_TYPE_OPT)
            continue;
        if (seen || record.owner.len != 1)
            return -EBADMSG;
        seen = true;
        g->answer.rcode |= (int)(record.ttl >> 24) << 4;
    }
    return 0;
}

/* The very bytes that were sent, in their case too: whoever answers copies them, whoever guesses may not. */
static bool is_question(struct cursor *c, const struct dns_header *header, const struct dns_name *name,
                        uint16_t type)
{
    struct dns_name qname;
    uint16_t qtype, klass;

    if (header->questions != 1 || dns_name_read_plain(c, &qname) < 0 || !cursor_u16(c, &qtype) ||
        !cursor_u16(c, &klass))
        return false;
    return qname.len == name->len && memcmp(qname.bytes, name->bytes, name->len) == 0 && qtype == type &&
           klass == DNS_CLASS_IN;
}

int dns_answer_read(const uint8_t *bytes, size_t len, uint16_t id, const char *name, uint16_t type,
                    struct dns_answer *out_answer)
{
    struct cursor c = cursor_of(bytes, len);
    struct message m = {.bytes = bytes};
    struct gather g = {.type = type};
    int err;

    g.records = writer_of(g.answer.records, sizeof(g.answer.records));
    dns_name_from_text(name, &g.name);
    if (!dns_header_read(&c, &m.header) || m.header.id != id || !(m.header.flags & DNS_FLAG_QR) ||
        m.header.flags & DNS_FLAG_OPCODE || !is_question(&c, &m.header, &g.name, type))
        return -ENOENT;
    g.answer.rcode = m.header.flags & DNS_FLAG_RCODE;
    g.answer.truncated = (m.header.flags & DNS_FLAG_TC) != 0;
    /* What a truncated answer still holds may end anywhere, and is half the truth. */
    if (!g.answer.truncated) {
        if (sections_find(&m, c) < 0 || opt_read(&m, &g) < 0)
            return -EBADMSG;
        err = chain_follow(&m, &g);
        if (err < 0)
            return err;
        g.answer.records_len = g.records.len;
        if (g.answer.rcode != DNS_NOERROR) {
            g.answer.addr_count = g.answer.record_count = 0;
            g.answer.records_len = 0;
        }
        if ((g.answer.rcode != DNS_NOERROR || !g.found) && negative_read(&m, &g) < 0)
            return -EBADMSG;
    }
    *out_answer = g.answer;
    return 0;
}
