/*
 * The data of records that are told on: read by its type's format, and written anew with every name in full. What
 * stood in one message may lean on its other bytes (compression, RFC 1035 section 4.1.4); what is written here stands
 * by itself. Internal to policy/.
 */
#ifndef WEIR_POLICY_DNS_RDATA_H
#define WEIR_POLICY_DNS_RDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"

/* What became of a record's data. */
enum dns_rdata_fate {
    DNS_RDATA_WHOLE,
    DNS_RDATA_CUT,      /* parts were left out, for the guest's sake (dns_svcb_copy()) */
    DNS_RDATA_WITHHELD, /* nothing was written: without those parts it would be another record */
};

/**
 * Copy the data of a record of class IN.
 *
 * @message: first byte of the message it stands in
 * @rdata:   the data, within the message
 * @type:    not A or AAAA: addresses are never copied, but judged (policy/dns.h)
 * @w:       overflows when there is no room
 *
 * Names are expanded in all types that were ever allowed to compress them (RFC 3597 section 4), and are read as names,
 * uncompressed ones too, in others whose format this knows. The data of other types is copied as it is, as that section
 * says: a pointer that somebody put there all the same leads nowhere from it.
 *
 * Return: enum dns_rdata_fate, or -EBADMSG: it does not have its type's format.
 */
int dns_rdata_copy(const uint8_t *message, struct cursor rdata, uint16_t type, struct writer *w);

/**
 * The same for SVCB and HTTPS (RFC 9460 section 2.2), without what would lead past weir: the parameters ech, ipv4hint
 * and ipv6hint. A record that says one of them is mandatory is withheld: to clients that do not know the parameter it
 * does not exist (section 8), and to take the word out of it would say what its owner did not. In alias mode, where
 * parameters mean nothing (section 2.4.2), none is copied.
 */
int dns_svcb_copy(struct cursor rdata, struct writer *w);

#endif
