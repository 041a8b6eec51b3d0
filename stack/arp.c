#include "stack/arp.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"

enum {
    HTYPE_ETHERNET = 1,
    PTYPE_IPV4 = 0x0800,
    OP_REQUEST = 1,
    OP_REPLY = 2,
    IP4_BYTES = 4,
};

struct arp {
    uint16_t op;
    uint8_t sender_mac[FRAME_MAC_BYTES];
    struct addr sender, target;
};

/* RFC 826, "Packet format". The target's hardware address means nothing in a question. */
static bool read_packet(const struct frame *f, struct arp *out)
{
    struct cursor c = cursor_of(f->ip, f->ip_bytes);
    uint16_t htype, ptype;
    uint8_t hlen, plen, sender[IP4_BYTES], target[IP4_BYTES];

    if (!cursor_u16(&c, &htype) || !cursor_u16(&c, &ptype) || !cursor_u8(&c, &hlen) ||
        !cursor_u8(&c, &plen) ||
        htype != HTYPE_ETHERNET || ptype != PTYPE_IPV4 || hlen != FRAME_MAC_BYTES || plen != IP4_BYTES)
        return false;
    if (!cursor_u16(&c, &out->op) || !cursor_bytes(&c, out->sender_mac, sizeof(out->sender_mac)) ||
        !cursor_bytes(&c, sender, sizeof(sender)) || !cursor_skip(&c, FRAME_MAC_BYTES) ||
        !cursor_bytes(&c, target, sizeof(target)))
        return false;
    out->sender = addr_from_v4(sender);
    out->target = addr_from_v4(target);
    return out->op == OP_REQUEST || out->op == OP_REPLY;
}

static bool answers_for(const struct guest *guest, const struct addr *a)
{
    return guest_is_gateway(guest, a) || (guest->alias_open && guest_is_alias(guest, a));
}

static void write_reply(const struct guest *guest, const struct arp *question, uint8_t out[static ARP_BYTES])
{
    struct writer w = writer_of(out, ARP_BYTES);

    writer_u16(&w, HTYPE_ETHERNET);
    writer_u16(&w, PTYPE_IPV4);
    writer_u8(&w, FRAME_MAC_BYTES);
    writer_u8(&w, IP4_BYTES);
    writer_u16(&w, OP_REPLY);
    writer_bytes(&w, guest->config.gateway_mac, FRAME_MAC_BYTES);
    writer_bytes(&w, question->target.bytes, IP4_BYTES);
    writer_bytes(&w, question->sender_mac, FRAME_MAC_BYTES);
    writer_bytes(&w, question->sender.bytes, IP4_BYTES);
}

int arp_answer(const struct guest *guest, const struct frame *f, uint8_t out[static ARP_BYTES])
{
    static const struct addr unspecified = {.family = ADDR_V4};
    struct arp arp;

    if (!read_packet(f, &arp) || memcmp(arp.sender_mac, f->src_mac, FRAME_MAC_BYTES) != 0)
        return -EBADMSG;
    /* A probe (RFC 5227 section 2.1) has no sender yet; it is answered, so that the conflict is seen. */
    if (!guest_owns4(guest, &arp.sender) && !addr_equal(&arp.sender, &unspecified))
        return -EPERM;
    if (guest_owns4(guest, &arp.target))
        return 0;
    if (arp.op != OP_REQUEST || !answers_for(guest, &arp.target))
        return -ENOENT;
    write_reply(guest, &arp, out);
    return 1;
}
