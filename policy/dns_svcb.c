/*
 * SVCB and HTTPS records (RFC 9460): priority, target, and parameters by number. A record is checked as its clients
 * would have to check it, since what one of them could read differently is refused; then it is written without the
 * parameters that lead past weir.
 */
#include "policy/dns_rdata.h"

#include <errno.h>

#include "policy/dns_wire.h"

/* RFC 9460 section 14.3.2 */
enum {
    KEY_MANDATORY = 0,
    KEY_ALPN = 1,
    KEY_NO_DEFAULT_ALPN = 2,
    KEY_PORT = 3,
    KEY_IPV4HINT = 4,
    KEY_ECH = 5,
    KEY_IPV6HINT = 6,
};

/* Addresses are told by A and AAAA alone, which are judged and pinned; ECH hides the name that is judged. */
static bool leads_past(uint16_t key)
{
    return key == KEY_IPV4HINT || key == KEY_ECH || key == KEY_IPV6HINT;
}

/* Step to the value behind a key. Both keys and callers ascend, so nothing is walked twice. */
static bool seek_key(struct cursor *params, uint16_t wanted)
{
    uint16_t key, len;

    while (cursor_u16(params, &key) && cursor_u16(params, &len) && cursor_skip(params, len))
        if (key >= wanted)
            return key == wanted;
    return false;
}

/* Section 8: keys in ascending order, each of which the record has, and not this one. */
static bool mandatory_fits(struct cursor value, struct cursor params, bool *out_withheld)
{
    int32_t before = KEY_MANDATORY;
    uint16_t key;

    if (cursor_left(&value) == 0)
        return false;
    while (cursor_left(&value) > 0) {
        if (!cursor_u16(&value, &key) || key <= before || !seek_key(&params, key))
            return false;
        before = key;
        *out_withheld = *out_withheld || leads_past(key);
    }
    return true;
}

/* Section 7.1.1: protocol ids, none of them empty. */
static bool alpn_fits(struct cursor value)
{
    uint8_t len;

    if (cursor_left(&value) == 0)
        return false;
    while (cursor_left(&value) > 0)
        if (!cursor_u8(&value, &len) || len == 0 || !cursor_skip(&value, len))
            return false;
    return true;
}

/* Whether a value has its key's format; that of a key without one here is the client's business. */
static bool value_fits(uint16_t key, struct cursor value, struct cursor params, bool *out_withheld)
{
    size_t len = cursor_left(&value);

    switch (key) {
    case KEY_MANDATORY:
        return mandatory_fits(value, params, out_withheld);
    case KEY_ALPN:
        return alpn_fits(value);
    case KEY_NO_DEFAULT_ALPN:
        return len == 0;
    case KEY_PORT:
        return len == 2;
    case KEY_IPV4HINT:
        return len > 0 && len % 4 == 0;
    case KEY_IPV6HINT:
        return len > 0 && len % 16 == 0;
    default:
        return true;
    }
}

/* Section 2.2: keys in ascending order, each once. Return: enum dns_rdata_fate, or -EBADMSG. */
static int params_check(struct cursor params)
{
    struct cursor c = params, value;
    bool withheld = false, cut = false;
    int32_t before = -1;
    uint16_t key, len;

    while (cursor_left(&c) > 0) {
        if (!cursor_u16(&c, &key) || !cursor_u16(&c, &len) || !cursor_sub(&c, len, &value))
            return -EBADMSG;
        if (key <= before || !value_fits(key, value, params, &withheld))
            return -EBADMSG;
        before = key;
        cut = cut || leads_past(key);
    }
    return withheld ? DNS_RDATA_WITHHELD : cut ? DNS_RDATA_CUT : DNS_RDATA_WHOLE;
}

/* Parameters that were checked. */
static void params_copy(struct cursor params, struct writer *w)
{
    struct cursor value;
    uint16_t key, len;

    while (cursor_u16(&params, &key) && cursor_u16(&params, &len) && cursor_sub(&params, len, &value)) {
        if (leads_past(key))
            continue;
        writer_u16(w, key);
        writer_u16(w, len);
        writer_bytes(w, value.at, len);
    }
}

int dns_svcb_copy(struct cursor rdata, struct writer *w)
{
    struct dns_name target;
    uint16_t priority;
    int fate;

    if (!cursor_u16(&rdata, &priority) || dns_name_read_plain(&rdata, &target) < 0)
        return -EBADMSG;
    fate = params_check(rdata);
    if (fate < 0 || (fate == DNS_RDATA_WITHHELD && priority > 0))
        return fate;
    writer_u16(w, priority);
    writer_bytes(w, target.bytes, target.len);
    if (priority > 0)
        params_copy(rdata, w);
    return priority > 0 || cursor_left(&rdata) == 0 ? fate : DNS_RDATA_CUT;
}
