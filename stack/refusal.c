#include "stack/refusal.h"

#include "base/cursor.h"
#include "stack/icmp4.h"
#include "stack/icmp6.h"
#include "stack/ip4.h"

enum { ICMP4_UNREACHABLE = 3 };

/* RFC 791: no options are sent by us, so a quoted packet of ours has none. */
static bool read_quoted4(struct cursor *c, struct refusal *out)
{
    uint8_t header[IP4_HEADER_BYTES];

    if (!cursor_bytes(c, header, sizeof(header)) || header[0] != 0x45 || header[9] != FRAME_PROTO_UDP ||
        (header[6] & 0x1f) != 0 || header[7] != 0) /* a later fragment has no ports */
        return false;
    out->peer = addr_from_v4(header + 12);
    out->guest = addr_from_v4(header + 16);
    return true;
}

/* A first fragment is behind its own header and is not looked into: the guest's other datagrams tell as well. */
static bool read_quoted6(struct cursor *c, struct refusal *out)
{
    uint8_t header[IP6_HEADER_BYTES];

    if (!cursor_bytes(c, header, sizeof(header)) || header[0] >> 4 != 6 || header[6] != FRAME_PROTO_UDP)
        return false;
    out->peer = addr_from_v6(header + 8);
    out->guest = addr_from_v6(header + 24);
    return true;
}

bool refusal_read(const struct frame *f, struct refusal *out_refusal)
{
    bool v6 = f->kind == FRAME_IPV6;
    struct cursor c = cursor_of(f->payload, f->payload_bytes);

    if (f->l4[0] != (v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE) ||
        f->l4[1] != (v6 ? ICMP6_PORT_UNREACHABLE : ICMP4_PORT_UNREACHABLE))
        return false;
    return (v6 ? read_quoted6(&c, out_refusal) : read_quoted4(&c, out_refusal)) &&
           cursor_u16(&c, &out_refusal->peer_port) && cursor_u16(&c, &out_refusal->guest_port) &&
           addr_equal(&out_refusal->guest, &f->src) && addr_equal(&out_refusal->peer, &f->dst);
}
