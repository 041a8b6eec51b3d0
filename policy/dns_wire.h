/*
 * What reading and writing of DNS messages share: names and records in wire form (RFC 1035 sections 3.1, 3.2.1 and
 * 4.1.4). Internal to policy/.
 *
 * The reader is ours, not libresolv's: ns_name_unpack() follows compression pointers forward, ns_initparse() does not
 * tell a second question or OPT record from a first, and both flatten labels to text, where a dot inside a label looks
 * like the dot between two.
 */
#ifndef WEIR_POLICY_DNS_WIRE_H
#define WEIR_POLICY_DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "policy/name.h"

enum {
    DNS_HEADER_BYTES = 12,
    DNS_NAME_BYTES_MAX = 255, /* RFC 1035 section 2.3.4, with length bytes and the root's */
    DNS_HOPS_MAX = 64,        /* compression pointers followed in one name */
    DNS_CLASS_IN = 1,

    DNS_FLAG_QR = 1 << 15,
    DNS_FLAG_OPCODE = 15 << 11,
    DNS_FLAG_TC = 1 << 9,
    DNS_FLAG_RD = 1 << 8,
    DNS_FLAG_RA = 1 << 7,
    DNS_FLAG_CD = 1 << 4, /* RFC 4035 section 3.2.2 */
    DNS_FLAG_RCODE = 15,

    DNS_OPT_DO = 1 << 15, /* in the lower half of an OPT record's TTL (RFC 3225 section 3) */
};

/* A name as it stands on the wire, uncompressed, case kept. Value type. */
struct dns_name {
    uint8_t bytes[DNS_NAME_BYTES_MAX];
    uint8_t len; /* with the root's zero byte: 1 is the root; 0: no name */
};

struct dns_header {
    uint16_t id, flags;
    uint16_t questions, answers, authorities, additionals;
};

/* One record. Of OPT, `klass` is the sender's UDP size and `ttl` rcode, version and flags (RFC 6891 section 6.1.3). */
struct dns_record {
    struct dns_name owner;
    uint16_t type, klass;
    uint32_t ttl;
    struct cursor rdata; /* borrowed from the message */
};

/** Return: whether all twelve bytes were there. */
bool dns_header_read(struct cursor *c, struct dns_header *out_header);

/**
 * Read a name without compression, as questions carry it.
 *
 * Return: 0, or -EBADMSG: cut off, a pointer, another label type, or above DNS_NAME_BYTES_MAX.
 */
int dns_name_read_plain(struct cursor *c, struct dns_name *out_name);

/**
 * Read a name that may be compressed.
 *
 * @message: first byte of the message, into which pointers lead
 * @c:       stands at the name, within the message
 *
 * A pointer leads to before the name that holds it, and what it leads to ends before that name: so following ends.
 *
 * Return: 0, or -EBADMSG.
 */
int dns_name_read(const uint8_t *message, struct cursor *c, struct dns_name *out_name);

/** Read one record of any type; its data is only framed. Return: 0, or -EBADMSG. */
int dns_record_read(const uint8_t *message, struct cursor *c, struct dns_record *out_record);

/** RFC 4343: without case, label by label. */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);

/** Whether @name is @ancestor or lies below it. */
bool dns_name_within(const struct dns_name *name, const struct dns_name *ancestor);

/** A canonical name in wire form. */
void dns_name_from_text(const char *name, struct dns_name *out_name);

/**
 * The canonical text of a wire name.
 *
 * Return: length (> 0), or -EBADMSG: what name_canonical() refuses, and labels with a dot inside, which text could not
 * tell from two labels.
 */
int dns_name_to_text(const struct dns_name *name, char out_text[static NAME_TEXT_MAX + 1]);

#endif
