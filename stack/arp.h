/*
 * ARP (RFC 826): answers who-has for the gateway, and for the host alias while a rule opens it.
 * Learns nothing: the guest's MAC comes from its frames, its address from the configuration.
 */
#ifndef WEIR_STACK_ARP_H
#define WEIR_STACK_ARP_H

#include "stack/guest.h"

enum { ARP_BYTES = 28 };

/**
 * Answer one ARP packet.
 *
 * @f:   a frame of kind FRAME_ARP
 * @out: ARP_BYTES, filled when the return value is 1
 *
 * Return: 1 a reply is in @out, for f->src_mac; 0 it is about the guest's own address (a probe, an announcement:
 * RFC 5227), to which nothing is said; -ENOENT it is about an address that we do not answer for; -EBADMSG malformed;
 * -EPERM a sender address that is not the guest's.
 */
int arp_answer(const struct guest *guest, const struct frame *f, uint8_t out[static ARP_BYTES]);

#endif
