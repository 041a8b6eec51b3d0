/*
 * Record types: what they are called, and which of them a guest's questions may take upstream (docs/policy.md, "DNS").
 */
#ifndef WEIR_POLICY_DNS_TYPE_H
#define WEIR_POLICY_DNS_TYPE_H

#include <stdbool.h>
#include <stdint.h>

enum { DNS_TYPES_MAX = 32, DNS_TYPE_TEXT_MAX = 16 };

/* The types that are let through beside A and AAAA where the default is deny. Value type; zeroes: none. */
struct dns_types {
    uint16_t listed[DNS_TYPES_MAX];
    unsigned count;
};

/**
 * Read a type's name, in any case, or "TYPE123" (RFC 3597 section 5).
 *
 * Return: 0, or -EINVAL.
 */
int dns_type_parse(const char *text, uint16_t *out_type);

/** The name, or "TYPE123". Return: @out. */
char *dns_type_format(uint16_t type, char out[static DNS_TYPE_TEXT_MAX]);

/** Whether records of the type exist: no transfers, ANY and their like (RFC 6895 section 3.1). */
bool dns_type_is_data(uint16_t type);

/**
 * List one more type; one that is listed already stays so.
 *
 * Return: 0; -EPERM for a type that never goes upstream where the default is deny (no data; PTR, which the pins answer;
 * SVCB and HTTPS, which carry addresses and keys); -E2BIG beyond DNS_TYPES_MAX.
 */
int dns_types_add(struct dns_types *types, uint16_t type);

enum dns_type_verdict {
    DNS_TYPE_ASK,      /* it may go upstream */
    DNS_TYPE_WITHHELD, /* the guest is told that there is none of it */
    DNS_TYPE_REFUSED,  /* no type of data */
};

/**
 * Judge a question's type, once its name may go upstream.
 *
 * @allow_default: policy_allows_by_default()
 */
enum dns_type_verdict dns_types_judge(const struct dns_types *types, uint16_t type, bool allow_default);

#endif
