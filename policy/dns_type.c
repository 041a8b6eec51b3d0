#include "policy/dns_type.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "policy/dns.h"

/* The types of data that somebody might have a use for; any other is TYPE123. By number. */
static const struct {
    const char *name;
    uint16_t type;
} known[] = {
    {"A", DNS_TYPE_A}, {"NS", 2}, {"CNAME", DNS_TYPE_CNAME}, {"SOA", DNS_TYPE_SOA}, {"NULL", 10},
    {"PTR", DNS_TYPE_PTR}, {"HINFO", 13}, {"MX", 15}, {"TXT", 16}, {"RP", 17}, {"AFSDB", 18},
    {"AAAA", DNS_TYPE_AAAA}, {"LOC", 29}, {"SRV", 33}, {"NAPTR", 35}, {"KX", 36}, {"CERT", 37}, {"DNAME", 39},
    {"APL", 42}, {"DS", 43}, {"SSHFP", 44}, {"IPSECKEY", 45}, {"RRSIG", 46}, {"NSEC", 47}, {"DNSKEY", 48},
    {"NSEC3", 50}, {"NSEC3PARAM", 51}, {"TLSA", 52}, {"SMIMEA", 53}, {"HIP", 55}, {"CDS", 59},
    {"CDNSKEY", 60}, {"OPENPGPKEY", 61}, {"CSYNC", 62}, {"ZONEMD", 63}, {"SVCB", DNS_TYPE_SVCB},
    {"HTTPS", DNS_TYPE_HTTPS}, {"SPF", 99}, {"IXFR", 251}, {"AXFR", 252}, {"ANY", 255}, {"URI", 256},
    {"CAA", 257},
};

/* "TYPE" and a number without leading zeros. */
static int number_parse(const char *text, uint16_t *out_type)
{
    size_t len = strlen(text);
    unsigned n = 0;

    if (len < 5 || len > 9 || strncasecmp(text, "TYPE", 4) != 0 || (text[4] == '0' && len > 5))
        return -EINVAL;
    for (const char *c = text + 4; *c != '\0'; c++) {
        if (*c < '0' || *c > '9')
            return -EINVAL;
        n = 10 * n + (unsigned)(*c - '0');
    }
    if (n > UINT16_MAX)
        return -EINVAL;
    *out_type = (uint16_t)n;
    return 0;
}

int dns_type_parse(const char *text, uint16_t *out_type)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcasecmp(known[i].name, text) == 0) {
            *out_type = known[i].type;
            return 0;
        }
    }
    return number_parse(text, out_type);
}

char *dns_type_format(uint16_t type, char out[static DNS_TYPE_TEXT_MAX])
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].type == type)
            return strcpy(out, known[i].name);
    (void)snprintf(out, DNS_TYPE_TEXT_MAX, "TYPE%u", type);
    return out;
}

bool dns_type_is_data(uint16_t type)
{
    return type != 0 && type != DNS_TYPE_OPT && (type < 128 || type > 255) && type != UINT16_MAX;
}

static bool is_listed(const struct dns_types *types, uint16_t type)
{
    for (unsigned i = 0; i < types->count; i++)
        if (types->listed[i] == type)
            return true;
    return false;
}

int dns_types_add(struct dns_types *types, uint16_t type)
{
    if (type == DNS_TYPE_PTR || type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS || !dns_type_is_data(type))
        return -EPERM;
    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA || is_listed(types, type))
        return 0; /* those two are let through anyway */
    if (types->count == DNS_TYPES_MAX)
        return -E2BIG;
    types->listed[types->count++] = type;
    return 0;
}

enum dns_type_verdict dns_types_judge(const struct dns_types *types, uint16_t type, bool allow_default)
{
    if (!dns_type_is_data(type))
        return DNS_TYPE_REFUSED;
    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA || allow_default || is_listed(types, type))
        return DNS_TYPE_ASK;
    return DNS_TYPE_WITHHELD;
}
